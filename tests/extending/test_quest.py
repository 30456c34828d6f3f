"""Is what a separate package brings used by the whole pipeline?"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.extending.conftest import PACKAGE, PATIENCE_S, Installed
from tests.import_path import ROOT

_OTHERS = ("LAYOUT", "PLOT", "SCENE", "DIALOGUE", "TRANSITION", "CUSTOM")
_PROBE = """
import asyncio, json
from contracts import pipeline, subjects
from contracts.content.registry import CONTENTS
from contracts.events import Params
from contracts.nodes.node import Node
from contracts.ports import Prompt
from infra.app.process_plan import environment
from infra.nats import topology
from infra.providers import routing
from infra.providers.scripted import Match, ScriptedProvider
from infra.settings.settings import load

settings = load(use_local_model=True)
again = load(use_local_model=True)
ask = Prompt(text="find the bell", kind="quest", stage="structuring", request_id="r")
params = Params(temperature=0, top_p=1, max_tokens=100, seed=7, timeout_s=5)
answer = asyncio.run(ScriptedProvider().generate(ask, params))
print(json.dumps({
    "subjects": pipeline.stream_subjects("REQUESTS"),
    "wanted": topology.desired_topology(settings).streams["REQUESTS"]["subjects"],
    "parsed": subjects.parse("gen.requested.quest.a").kind,
    "faults": CONTENTS.faults("quest", json.loads(answer.text), None),
    "placeholder": CONTENTS.placeholder("quest", None),
    "node": Node.model_validate({"generation_type": "quest"}).generation_type,
    "match": Match.model_validate({"kind": "quest"}).kind,
    "child": environment(settings, "nats://x", {})["UNDERSTUDY_NARRATIVE__PROVIDERS__QUEST"],
    "route": routing.routes(settings)["quest"],
    "same": settings.narrative == again.narrative,
}))
"""


@pytest.fixture(scope="module")
def installed(target: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    variables = {f"UNDERSTUDY_NARRATIVE__PROVIDERS__{kind}": "scripted" for kind in _OTHERS}
    return Installed(
        target,
        USE_LOCAL_MODEL="true",
        UNDERSTUDY_DATA_DIR=str(tmp_path_factory.mktemp("data")),
        UNDERSTUDY_BROKER__SYNC_INTERVAL="2m",
        **variables,
    )


@pytest.fixture(scope="module")
def running(installed: Installed) -> Iterator[Installed]:
    """The whole pipeline, with the package installed."""
    with subprocess.Popen(
        installed.program("up", "--json"), env=installed.variables, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            # Log lines come first.
            assert any('"ready":true' in line for line in process.stdout)
            yield installed
        finally:
            process.terminate()
            process.communicate(timeout=PATIENCE_S)


def _result(running: Installed, *options: str) -> dict[str, object]:
    done = running.run("request", "find the lost bell", "--kind", "quest", "--wait", "--json", *options)
    return json.loads(done.stdout)


@pytest.mark.timeout(300)
def test_the_new_provider_writes_the_new_kind(running: Installed) -> None:
    result = _result(running, "--id", "quest-1")
    assert (result["status"], result["origin"]) == ("success", "live")
    assert result["content"] == {
        "goal": "find the lost bell",
        "title": "find the lost bell",
        "steps": ["find the lost bell"],
    }
    meta = result["meta"]
    assert isinstance(meta, dict)
    assert (meta["provider"], meta["model"], meta["prompt_version"]) == ("echo", "echo-1", "quest@1")


@pytest.mark.timeout(300)
def test_its_golden_sample_stands_in_for_it(running: Installed) -> None:
    result = _result(running, "--id", "quest-2", "--deadline-ms", "1")
    assert (result["status"], result["origin"]) == ("fail_fallback", "golden_sample")
    assert result["stand_in"] is not None
    assert result["stand_in"]["name"] == "sample_lost_bell.json"


def test_everything_that_lists_kinds_has_it(installed: Installed) -> None:
    found = installed.python(_PROBE)
    assert "gen.requested.quest.*" in found["subjects"]
    assert found["wanted"] == found["subjects"]
    assert (found["parsed"], found["node"], found["match"]) == ("quest",) * 3
    assert found["faults"] == []
    assert found["placeholder"]["title"] == "[placeholder] Quest"
    assert found["child"] == "echo"
    assert found["route"] == "echo:understudy-quest@1.0"
    assert found["same"]


def test_the_check_reports_its_code(installed: Installed) -> None:
    node = '{"generationType": "quest", "purpose": "original", "strategy": "once", "seedSource": "fixed"}'
    done = installed.run("validate", "-", given=node)
    assert done.returncode == 0
    assert "warning QST001 constraints: the quest names nothing to find" in done.stdout
    sarif = installed.run("validate", "-", "--format", "sarif", given=node)
    rules = json.loads(sarif.stdout)["runs"][0]["tool"]["driver"]["rules"]
    assert "QST001" in {rule["id"] for rule in rules}


def test_its_files_are_listed_with_the_others(installed: Installed) -> None:
    rows = json.loads(installed.run("samples", "check", "--json").stdout)
    assert {"file": "sample_lost_bell.json", "kind": "quest", "ok": True}.items() <= next(
        row.items() for row in rows if row["kind"] == "quest"
    )
    versions = json.loads(installed.run("prompts", "ls", "--json").stdout)
    assert "quest@1" in {each["id"] for each in versions}


def test_doctor_lists_each_extension(installed: Installed) -> None:
    rows = json.loads(installed.run("doctor", "--json").stdout)["checks"]
    found = {row["check"]: row["detail"] for row in rows if row["check"].startswith("extension")}
    assert found == {
        "extension: provider echo": "understudy-quest 1.0 (understudy_quest.provider:ECHO)",
        "extension: content kind quest": "understudy-quest 1.0 (understudy_quest.kind:QUEST)",
        "extension: checks quest": "understudy-quest 1.0 (understudy_quest.checks:CHECKS)",
    }


def test_a_misspelt_provider_is_refused_with_the_list(installed: Installed) -> None:
    done = installed.run("up", UNDERSTUDY_NARRATIVE__PROVIDERS__PLOT="ehco")
    assert done.returncode == 2
    assert "did you mean 'echo'?; known are local, openai, scripted, gguf, echo" in " ".join(
        done.stderr.split()
    )
    assert "Traceback" not in done.stderr


def test_without_the_package_its_kind_is_unknown(tmp_path: Path) -> None:
    bare = Installed(UNDERSTUDY_DATA_DIR=str(tmp_path))
    done = bare.run("request", "x", "--kind", "quest")
    assert done.returncode == 2
    assert "quest" in done.stderr


def _blocks(page: str) -> list[str]:
    return re.findall(r"^```(?:python|toml|markdown|json)[^\n]*\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    "file",
    [
        "pyproject.toml",
        "understudy_quest/kind.py",
        "understudy_quest/provider.py",
        "understudy_quest/checks.py",
        "understudy_quest/prompts/quest/1.md",
        "understudy_quest/samples/sample_lost_bell.json",
    ],
)
def test_the_page_shows_the_package_that_is_tested(file: str) -> None:
    page = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    assert (PACKAGE / file).read_text(encoding="utf-8") in _blocks(page)
