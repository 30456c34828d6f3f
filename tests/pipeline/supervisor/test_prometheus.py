"""Stock tools accept what is exported: promtool, and a real Prometheus that scrapes a running pipeline.

Both come from ``PATH``, or from Debian's package ``prometheus``, unpacked in a temporary folder.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from infra.app.supervisor import Supervisor
from infra.host import target_file
from infra.host.parent_death import before_exec
from infra.lab.bench.load import Load
from infra.lab.docgen import alerts, dashboards, promql
from infra.lab.docgen.__main__ import ROOT
from infra.telemetry import metric_table as table
from tests.pipeline.supervisor.watching import page, scripted, until
from tests.ports import free_port

#: Seconds that the download may take.
_DOWNLOAD_S = 60
_RULES = ROOT / "infra" / "deploy" / "prometheus" / "alerts.yml"


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with ``prometheus`` and ``promtool``."""
    found = shutil.which("promtool")
    if found and shutil.which("prometheus"):
        return Path(found).parent
    folder = tmp_path_factory.mktemp("prometheus")
    try:
        unpack = "apt-get download prometheus && dpkg -x prometheus_*.deb unpacked"
        subprocess.run(
            ["/bin/sh", "-c", unpack], cwd=folder, check=True, capture_output=True, timeout=_DOWNLOAD_S
        )
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"neither prometheus on PATH, nor Debian's package: {error}")
    return folder / "unpacked" / "usr" / "bin"


def promtool(tools: Path, *arguments: str, given: str | None = None) -> str:
    """What promtool says; an objection fails the test."""
    done = subprocess.run(
        [tools / "promtool", *arguments], input=given, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_alert_rules_are_accepted(tools: Path) -> None:
    assert f"{len(alerts.ALERTS)} rules found" in promtool(tools, "check", "rules", str(_RULES))


def test_the_expressions_of_the_dashboards_are_accepted(tools: Path, tmp_path: Path) -> None:
    asked = [
        query.expr.replace(promql.GRAFANA, "5m")
        for board in dashboards.EVERY
        for _, panels in board.rows
        for panel in panels
        for query in panel.queries
    ]
    rules = [{"record": f"dashboard:expression:{number}", "expr": each} for number, each in enumerate(asked)]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}))
    promtool(tools, "check", "rules", str(file))


@asynccontextmanager
async def scraping(tools: Path, folder: Path, data_dir: Path) -> AsyncIterator[str]:
    """A Prometheus that scrapes what a pipeline lists; its URL."""
    config = yaml.safe_load(alerts.scrape_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(_RULES)]
    (job,) = config["scrape_configs"]
    job["file_sd_configs"][0]["files"] = [str(data_dir / target_file.FILE)]
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    with (folder / "prometheus.log").open("wb") as log:
        server = await asyncio.create_subprocess_exec(
            tools / "prometheus",
            f"--config.file={file}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address={address}",
            stdout=log,
            stderr=log,
            preexec_fn=before_exec(),
            env={"PATH": os.environ["PATH"]},
        )
    try:
        yield f"http://{address}"
    finally:
        server.terminate()
        await server.wait()


async def api(url: str, path: str) -> Any:
    """What its API answers; ``None`` while it does not."""
    text = await page(url, f"/api/v1/{path}")
    return None if text is None else json.loads(text)["data"]


async def value(url: str, expression: str) -> float | None:
    """The only value of an expression."""
    found = (await api(url, f"query?query={quote(expression)}") or {"result": []})["result"]
    return float(found[0]["value"][1]) if len(found) == 1 else None


async def test_a_real_prometheus_scrapes_the_running_pipeline(tools: Path, tmp_path: Path) -> None:
    rules = [{"match": {"request_id": "fb-*"}, "do": "refuse"}]
    settings = scripted(tmp_path, rules=rules)
    async with Supervisor(settings) as supervised, Load(supervised.reached) as load:
        await until(lambda: page(supervised.metrics_url, "/readyz"), "the pipeline is ready")
        await load.burst([*(f"r-{number}" for number in range(20)), *(f"fb-{number}" for number in range(5))])
        async with scraping(tools, tmp_path, settings.data_dir) as url:
            processes = supervised.pids.keys() - {"broker"}
            for expression, expected in (
                (f"sum({table.RESULTS.name})", 25),
                (f"sum({promql.pick(table.RESULTS, status='fail_fallback')})", 5),
                (f"sum({table.REQUESTS.name})", 25),
                (f"sum({table.PROVIDER_TOKENS.name}) > bool 0", 1),
                (f"count({promql.pick(table.PROCESS_READY)} == 1)", len(supervised.pids)),
                (f"count({promql.pick(table.READY)} == 1)", len(processes)),
                ('count(up{job="understudy"} == 1)', len(processes) + 1),
            ):

                async def shows(expression: str = expression, expected: int = expected) -> bool:
                    return await value(url, expression) == expected

                await until(shows, f"{expression} is {expected}")
            targets = (await api(url, "targets"))["activeTargets"]
            assert {each["lastError"] for each in targets} == {""}
            assert {each["labels"].get("process") for each in targets} == {*processes, None}

            async def evaluated() -> bool:
                groups = (await api(url, "rules") or {"groups": []})["groups"]
                return bool(groups) and {rule["health"] for rule in groups[0]["rules"]} == {"ok"}

            await until(evaluated, "Prometheus has evaluated every alert")
        relayed = await page(supervised.metrics_url, "/metrics")
        for text in (
            relayed,
            *[await page(f"http://{each['labels']['instance']}", "/metrics") for each in targets],
        ):
            assert text
            assert promtool(tools, "check", "metrics", given=text) == ""
