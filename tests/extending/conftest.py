"""A real package with extensions, installed beside the pipeline; and packages that are broken on purpose."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from tests.import_path import IMPORT_PATH

PACKAGE = Path(__file__).parent / "understudy_quest"
#: Seconds that a process may take on a busy machine.
PATIENCE_S = 110


class Installed:
    """An environment in which the package is installed, and the command line in it."""

    def __init__(self, *folders: Path, **variables: str) -> None:
        paths = os.pathsep.join((*map(str, folders), IMPORT_PATH))
        self.variables = {**os.environ, "PYTHONPATH": paths, **variables}

    def program(self, *args: str) -> tuple[str, ...]:
        return (sys.executable, "-m", "infra.cli", *args)

    def run(self, *args: str, given: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.program(*args),
            input=given,
            env=self.variables | variables,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    def python(self, code: str, **variables: str) -> Any:
        """What a program prints, as JSON."""
        done = subprocess.run(
            (sys.executable, "-c", code),
            env=self.variables | variables,
            stdout=subprocess.PIPE,
            text=True,
            timeout=PATIENCE_S,
            check=True,
        )
        return json.loads(done.stdout)


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pip has installed the package; it asks no index."""
    found = tmp_path_factory.mktemp("target")
    offline = ("--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check")
    subprocess.run(
        (sys.executable, "-m", "pip", "install", "-q", *offline, "--target", str(found), str(PACKAGE)),
        timeout=PATIENCE_S,
        check=True,
    )
    return found


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes an installed package, ``broken_thing 2.0``, with one entry point and one module."""

    def written(group: str, entry: str, code: str, *, module: str, package: str = "broken-thing") -> Path:
        folder = tmp_path / package
        info = folder / f"{package.replace('-', '_')}-2.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 2.0\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{entry}\n")
        (folder / f"{module}.py").write_text(code)
        return folder

    return written


def reader(*folders: Path) -> Callable[[], metadata.EntryPoints]:
    """Reads the entry points of the packages in some folders alone."""

    def read() -> metadata.EntryPoints:
        found: Iterable[metadata.Distribution] = metadata.distributions(path=[str(each) for each in folders])
        return metadata.EntryPoints(point for dist in found for point in dist.entry_points)

    return read
