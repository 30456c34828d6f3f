"""Both wheels, built and tried: in them is what belongs there, and they work without the source tree.

The client's environment is empty: pip installs its wheel there with the two dependencies, from the package index.  The
application's environment has both wheels, and borrows their dependencies from the environment of the tests (a path file,
so that nothing editable of the source tree comes along): forty packages need not be fetched once more.  Whether the
wheel names all of them is checked by its metadata alone.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path
from typing import IO, Final, NamedTuple

import httpx2
import pytest

ROOT: Final = Path(__file__).parents[2]
_BUILD_S: Final = 300
_RUN_S: Final = 90

pytestmark = pytest.mark.timeout(_BUILD_S * 2)

#: A user's own packages, which must not be imported in the place of the application's.
_USERS: Final = ("contracts", "docs", "infra", "stages", "understudy_client")

_PROGRAM: Final = """
import asyncio, sys
from understudy_client import Client, MissingExtra, SyncClient
from understudy_client.http import SyncHttpClient

async def main(url):
    async with Client.connect(url) as client:
        answer = await client.generate("layout", prompt="a forest with three coins", request_id="from-a-wheel")
        print(answer.result.status, answer.document["scene_name"])

asyncio.run(main(sys.argv[1]))
with SyncClient.connect(sys.argv[1]) as client:
    answer = client.generate("dialogue", prompt="two guards who disagree about a door")
    print(answer.result.origin, len(answer.document["lines"]) > 0)
    try:
        answer.content
    except MissingExtra as error:
        print(error.extra)
try:
    SyncHttpClient.connect("http://127.0.0.1:8787")
except MissingExtra as error:
    print(error.extra)
leaked = {"contracts", "stages", "infra", "pydantic", "sqlalchemy", "faststream"} & set(sys.modules)
print(sorted(leaked))
"""


class Wheels(NamedTuple):
    client: Path
    application: Path


class Up(NamedTuple):
    """An application that runs from its wheel."""

    url: str
    #: Its gateway.
    http_url: str
    #: The console script.
    understudy: Path
    #: Where it was started: a folder with packages of the user's own.
    folder: Path
    env: dict[str, str]


def _done(*command: object, cwd: Path, env: dict[str, str], within_s: float = _RUN_S) -> str:
    done = subprocess.run(
        [str(each) for each in command],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _plain() -> dict[str, str]:
    """An environment in which nothing says where the source tree is."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "UNDERSTUDY_", "PYTEST", "VIRTUAL_ENV"))
        and name != "USE_LOCAL_MODEL"
    }


def _pip(python: Path | str, *arguments: object) -> None:
    _done(
        *(sys.executable, "-m", "pip", "-qq", "--disable-pip-version-check"),
        *(() if python == sys.executable else ("--python", python)),
        *arguments,
        cwd=ROOT,
        env=_plain() | {"PIP_ROOT_USER_ACTION": "ignore"},
        within_s=_BUILD_S,
    )


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Wheels:
    folder = tmp_path_factory.mktemp("dist")
    _pip(
        sys.executable,
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        folder,
        ROOT / "infra/client",
        ROOT,
    )
    (client,) = folder.glob("understudy_client-*.whl")
    (application,) = folder.glob("understudy_pipeline-*.whl")
    return Wheels(client, application)


def _environment(folder: Path) -> Path:
    """The Python of a fresh virtual environment without even pip."""
    _done(sys.executable, "-m", "venv", "--without-pip", folder, cwd=ROOT, env=_plain())
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def client_python(wheels: Wheels, tmp_path_factory: pytest.TempPathFactory) -> Path:
    python = _environment(tmp_path_factory.mktemp("client"))
    _pip(python, "install", wheels.client)
    return python


@pytest.fixture(scope="module")
def application_python(wheels: Wheels, tmp_path_factory: pytest.TempPathFactory) -> Path:
    python = _environment(tmp_path_factory.mktemp("application"))
    _pip(python, "install", "--no-deps", *wheels)
    (packages,) = python.parents[1].glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return python


@pytest.fixture(scope="module")
def up(application_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    folder = tmp_path_factory.mktemp("work")
    for name in _USERS:
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("raise SystemExit('a package of the user was imported')\n")
    env = _plain() | {
        "UNDERSTUDY_DATA_DIR": str(folder / "data"),
        "UNDERSTUDY_BROKER__PORT": str(_free_port()),
        "UNDERSTUDY_BROKER__SYNC_INTERVAL": "2m",
    }
    understudy = application_python.parent / "understudy"
    with (folder / "log").open("w+") as log:
        process = subprocess.Popen(
            [understudy, "up", "--json"], cwd=folder, env=env, stdout=subprocess.PIPE, stderr=log, text=True
        )
        try:
            ready = _ready(process, log)
            yield Up(ready["nats_url"], ready["http_url"], understudy, folder, env)
        finally:
            process.terminate()
            assert process.wait(_RUN_S) == 0


def _ready(process: subprocess.Popen[str], log: IO[str]) -> dict[str, str]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        log.seek(0)
        pytest.fail(f"understudy up ended before it was ready: {log.read()}")
    return json.loads(line)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _names(wheel: Path) -> list[str]:
    return zipfile.ZipFile(wheel).namelist()


def _requirements(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(metadata).decode()).get_all("Requires-Dist") or []


def test_site_packages_gets_no_other_names(wheels: Wheels) -> None:
    tops = [{name.split("/")[0] for name in _names(wheel)} for wheel in wheels]
    infos = ["-".join(wheel.name.split("-")[:2]) + ".dist-info" for wheel in wheels]
    assert tops == [{"understudy_client", infos[0]}, {"contracts", "stages", "infra", infos[1]}]


def test_the_application_ships_samples_library_and_of_the_laboratory_demo_and_weights(wheels: Wheels) -> None:
    names = _names(wheels.application)
    inside = {"/".join(name.split("/")[1:3]) for name in names if name.startswith("infra/lab/")}
    assert inside == {"lab/__init__.py", "lab/demo", "lab/house_model", "lab/demo_model"}
    assert "infra/lab/demo_model/weights/adapter.gguf" in names
    assert not any(name.startswith("infra/lab/demo_model/data") for name in names)
    assert {Path(name).suffix for name in names if name.startswith("infra/lab/house_model/")} == {
        ".json",
        ".md",
        ".safetensors",
    }
    folders = {name.split("/")[1] for name in names if name.startswith("infra/")}
    assert {"golden_samples", "library"} <= folders
    assert "client" not in folders
    assert not [name for name in names if "node_modules" in name or name.startswith("infra/console/package")]


def test_the_application_ships_the_console_as_it_is_built_and_nothing_that_it_is_built_of(
    wheels: Wheels,
) -> None:
    names = [name for name in _names(wheels.application) if name.startswith("infra/console/")]
    assert {name for name in names if not name.startswith("infra/console/static/")} == set()
    inside = {name.removeprefix("infra/console/static/") for name in names}
    assert "index.html" in inside
    assert [name for name in inside if re.fullmatch(r"assets/index-[\w-]{8}\.js", name)]
    assert [name for name in inside if name.endswith((".map", ".ts", ".tsx", ".json"))] == []


def test_the_client_is_typed_and_needs_nats_and_msgspec_alone(wheels: Wheels) -> None:
    assert "understudy_client/py.typed" in _names(wheels.client)
    needed = [each for each in _requirements(wheels.client) if "extra ==" not in each]
    assert sorted(each.split(">")[0].split("<")[0] for each in needed) == ["msgspec", "nats-py"]


def test_the_application_needs_the_client(wheels: Wheels) -> None:
    assert [each for each in _requirements(wheels.application) if each.startswith("understudy-client")]


def test_the_client_asks_a_pipeline_that_runs_from_its_wheel(
    client_python: Path, up: Up, tmp_path: Path
) -> None:
    """Publish and await, where neither the source tree nor any dependency of the application is installed."""
    printed = _done(client_python, "-c", _PROGRAM, up.url, cwd=tmp_path, env=_plain())
    first, second, *extras, leaked = printed.splitlines()
    assert first.startswith("cached_fallback ")
    assert (second, extras, leaked) == ("golden_sample True", ["models", "http"], "[]")


def test_a_users_own_packages_disturb_no_command(up: Up) -> None:
    """The working directory has an `infra` and a `contracts`; the pipeline has been started there, too."""
    result = json.loads(
        _done(
            *(up.understudy, "request", "a heist", "--kind", "plot", "--id", "heist", "--wait", "--json"),
            cwd=up.folder,
            env=up.env,
        )
    )
    assert (result["status"], result["origin"]) == ("cached_fallback", "golden_sample")
    story = json.loads(_done(up.understudy, "why", "heist", "--json", cwd=up.folder, env=up.env))
    assert story["status"] == "cached_fallback"


def test_the_wheel_serves_the_console(up: Up) -> None:
    page = httpx2.get(up.http_url + "/requests", headers={"Accept": "text/html"})
    assert (page.status_code, '<div id="root">' in page.text) == (200, True)
    for path in re.findall(r'(?:src|href)="(/[^"]+)"', page.text):
        file = httpx2.get(up.http_url + path)
        assert (file.status_code, len(file.content) > 0) == (200, True), path


def test_benchmarks_say_where_they_are(up: Up) -> None:
    done = subprocess.run(
        [up.understudy, "bench"], cwd=up.folder, env=up.env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "benchmarks come with the source tree alone: run `just install-dev`" in done.stderr
