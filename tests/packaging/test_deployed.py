"""Commands of the files in infra/deploy, run as they stand there, against the broker that they configure.

There is no container engine here: commands, environment, keys and health checks are those of compose.yaml, the Containerfile
and the units; the folders and ports are the test's.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import venv
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from understudy_client import Client

from contracts.pipeline import STAGES
from infra.host import parent_death
from infra.lab.docgen.deploy import facts
from infra.nats.server_config import find_binary
from infra.security import secured
from tests.import_path import IMPORT_PATH
from tests.ports import free_ports

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "infra" / "deploy"
ROLES = (facts.PROVISIONER, *STAGES, facts.GATEWAY, "client")
_READY_S = 90

pytestmark = pytest.mark.timeout(600)


class Deployed:
    """A broker as compose.yaml configures it, and what its services need."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.monitor = free_ports(2)
        self.compose: dict[str, Any] = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def key(self, role: str) -> Path:
        return self.folder / facts.key_file(role)

    def write_keys(self) -> None:
        """As the page says, with the name under which the broker's file includes the users."""
        made = secured.write(self.folder, groups=())
        made.config.rename(self.folder / "users.conf")

    @contextmanager
    def broker(self) -> Iterator[None]:
        text = (DEPLOY / "compose" / "nats-server.conf").read_text()
        for stands, ours in (
            ("port: 4222", f"host: 127.0.0.1\nport: {self.port}"),
            ("http: 8222", f"http: 127.0.0.1:{self.monitor}"),
            ("store_dir: /data", f"store_dir: {self.folder / 'data'}"),
        ):
            assert stands in text
            text = text.replace(stands, ours)
        config = self.folder / "nats-server.conf"
        config.write_text(text)
        server = subprocess.Popen(
            [find_binary(), "--config", config],
            preexec_fn=parent_death.before_exec(),  # noqa: PLW1509 - no other thread holds a lock that this needs
            stderr=subprocess.DEVNULL,
        )
        try:
            yield
        finally:
            server.terminate()
            server.wait()

    def environment(self, given: Mapping[str, Any], metrics: int) -> dict[str, str]:
        """A service's own variables, with this machine's addresses."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("UNDERSTUDY_", "USE_LOCAL"))
        }
        found = {name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(value)) for name, value in given.items()}
        found |= {
            "UNDERSTUDY_NATS_URL": self.url,
            "UNDERSTUDY_DATA_DIR": str(self.folder / "state"),
            "UNDERSTUDY_METRICS": f"127.0.0.1:{metrics}",
            "PYTHONPATH": IMPORT_PATH,
        }
        # PostgreSQL has tests of its own.
        found.pop("UNDERSTUDY_DATABASE_URL", None)
        key = found.get("UNDERSTUDY_NATS__NKEY")
        if key is not None:
            found["UNDERSTUDY_NATS__NKEY"] = str(self.folder / Path(key).name)
        return {**kept, **found}

    def service(self, name: str) -> tuple[list[str], dict[str, Any]]:
        service = self.compose["services"][name]
        return service["command"], service["environment"]


@pytest.fixture
def deployed(tmp_path: Path) -> Iterator[Deployed]:
    made = Deployed(tmp_path)
    made.write_keys()
    with made.broker():
        command, environment = made.service("topology")
        applied = subprocess.run(
            [sys.executable, "-m", "infra.cli", *command],
            env=made.environment(environment, 0),
            capture_output=True,
            text=True,
            check=False,
            timeout=_READY_S,
        )
        assert applied.returncode == 0, applied.stderr
        yield made


@asynccontextmanager
async def running(
    command: list[str], environment: dict[str, str], log: Path
) -> AsyncIterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "infra.cli", *command],
            env=environment,
            stdout=output,
            stderr=output,
            preexec_fn=parent_death.before_exec(),  # noqa: PLW1509 - as above
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            status = await asyncio.to_thread(process.wait, 30)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert status == 0, log.read_text()


def health_check(metrics: int) -> list[str]:
    """The command of the Containerfile's HEALTHCHECK."""
    text = (DEPLOY / "container" / "Containerfile").read_text()
    (found,) = re.findall(r"^HEALTHCHECK .*\\\n\s+CMD (\[.*\])$", text, re.MULTILINE)
    program, *arguments = json.loads(found)
    assert program == "python"
    assert any(str(facts.METRICS_PORT) in each for each in arguments)
    return [sys.executable, *(each.replace(str(facts.METRICS_PORT), str(metrics)) for each in arguments)]


async def until_healthy(metrics: int, log: Path) -> None:
    command = health_check(metrics)
    give_up = time.monotonic() + _READY_S
    while time.monotonic() < give_up:
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False)
        if done.returncode == 0:
            return
        await asyncio.sleep(0.2)
    raise AssertionError(log.read_text())


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(("fallback",), id="fallback"),
        pytest.param((*STAGES, "gateway"), id="everything", marks=pytest.mark.long),
    ],
)
async def test_services_of_compose_answer_a_request(names: tuple[str, ...], deployed: Deployed) -> None:
    ports = free_ports(len(names) + 1)
    async with _all(deployed, names, ports) as logs:
        for name, port in zip(names, ports, strict=False):
            await until_healthy(port, logs[name])
        client = Client.connect(deployed.url, nkey=deployed.key("client"))
        async with client as connected:
            answer = await connected.generate("layout", prompt="a forest with three coins", deadline_ms=2000)
        assert answer.result.origin == "golden_sample"


@asynccontextmanager
async def _all(
    deployed: Deployed, names: tuple[str, ...], ports: list[int]
) -> AsyncIterator[dict[str, Path]]:
    logs = {name: deployed.folder / f"{name}.log" for name in names}
    async with AsyncExitStack() as stack:
        for name, port in zip(names, ports, strict=False):
            command, given = deployed.service(name)
            environment = deployed.environment(given, port)
            if name == "gateway":
                environment |= {
                    "UNDERSTUDY_GATEWAY__HOST": "127.0.0.1",
                    "UNDERSTUDY_GATEWAY__PORT": str(ports[-1]),
                }
            await stack.enter_async_context(running(command, environment, logs[name]))
        yield logs


def test_the_broker_tells_keda_of_every_consumer(deployed: Deployed) -> None:
    asked: set[tuple[str, str, str]] = set()
    for manifest in yaml.safe_load_all((DEPLOY / "kubernetes" / "scaling.yaml").read_text()):
        for trigger in manifest["spec"]["triggers"]:
            of = trigger["metadata"]
            asked.add((of["account"], of["stream"], of["consumer"]))
    (account,) = {each[0] for each in asked}
    url = f"http://127.0.0.1:{deployed.monitor}/jsz?acc={account}&consumers=true&config=true"
    told = httpx2.get(url).json()["account_details"]
    found = {
        (each["name"], stream["name"], consumer["name"])
        for each in told
        for stream in each["stream_detail"]
        for consumer in stream.get("consumer_detail") or ()
    }
    assert asked == found


async def test_a_unit_gives_signs_of_life(deployed: Deployed) -> None:
    unit = (DEPLOY / "systemd" / "understudy-stage@.service").read_text().replace("%i", "fallback")
    given: dict[str, Any] = {}
    for line in re.findall(r"^Environment=(.*)$", unit, re.MULTILINE):
        given |= dict(each.split("=", 1) for each in shlex.split(line))
    (credential,) = re.findall(r"^LoadCredential=(.*):.*$", unit, re.MULTILINE)
    assert given["UNDERSTUDY_NATS__NKEY"] == f"%d/{credential}"
    (start,) = re.findall(r"^ExecStart=/opt/understudy/bin/understudy (.*)$", unit, re.MULTILINE)
    (seconds,) = re.findall(r"^WatchdogSec=(\d+)$", unit, re.MULTILINE)
    (metrics,) = free_ports(1)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        path = deployed.folder / "notify"
        manager.bind(str(path))
        manager.settimeout(_READY_S)
        watched = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": f"{int(seconds) * 1_000_000}"}
        environment = deployed.environment(given, metrics) | watched
        async with running(shlex.split(start), environment, deployed.folder / "unit.log"):
            assert await asyncio.to_thread(manager.recv, 100) == b"WATCHDOG=1"
            await until_healthy(metrics, deployed.folder / "unit.log")
            assert await asyncio.to_thread(manager.recv, 100) == b"WATCHDOG=1"


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
    else:
        shutil.copy(source, target)


@pytest.mark.long
def test_the_image_is_built_by_its_commands(tmp_path: Path) -> None:
    text = (DEPLOY / "container" / "Containerfile").read_text()
    build, _ = text.rsplit("\nFROM ", 1)
    prefix = tmp_path / "opt"
    venv.create(tmp_path / "python", with_pip=True)
    sources = tmp_path / "src"
    sources.mkdir()
    environment = {**os.environ, "EXTRA": "", "PATH": f"{tmp_path / 'python' / 'bin'}:{os.environ['PATH']}"}
    environment.pop("PYTHONPATH", None)
    for kind, line in re.findall(r"^(RUN|COPY) (.*)$", build, re.MULTILINE):
        if kind == "COPY":
            *files, target = shlex.split(line)
            into = sources / target
            for each in files:
                _copy(ROOT / each, into / each if target in {".", "./"} else into)
            continue
        command = line.replace("/opt/understudy", str(prefix))
        ran = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=sources,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, f"{command}\n{ran.stdout}{ran.stderr}"
    understudy = prefix / "bin" / "understudy"
    said = subprocess.run([understudy, "--version"], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert said.stdout.startswith("understudy ")
    checked = subprocess.run(
        [understudy, "samples", "check"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**environment, "UNDERSTUDY_DATA_DIR": str(tmp_path / "state")},
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert not (prefix / "bin" / "pip").exists()
