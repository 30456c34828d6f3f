"""Each stage has a module that binds its handler, and a process imports those of its own stages alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from contracts import pipeline
from infra.app import bindings
from tests.import_path import IMPORT_PATH

CODE = """
import sys
from infra.app.adapters import Adapters
from infra.app.wiring import bind_handlers
from infra.settings.settings import load
settings = load()
bound = bind_handlers(settings, tuple(sys.argv[1:]), Adapters(settings))
assert list(bound) == sys.argv[1:]
print(*sorted(sys.modules))
"""


def _modules(folder: Path, *stages: str) -> set[str]:
    environment = {"PATH": "", "PYTHONPATH": IMPORT_PATH, "USE_LOCAL_MODEL": "false"}
    done = subprocess.run(
        [sys.executable, "-c", CODE, *stages], env=environment, cwd=folder, check=True, capture_output=True
    )
    return set(done.stdout.decode().split())


def test_every_stage_has_a_binding() -> None:
    folder = Path(bindings.__file__).parent
    found = {file.stem.replace("_", "-") for file in folder.glob("*.py")} - {"--init--"}
    assert found == set(pipeline.STAGES)


@pytest.mark.parametrize("stage", ["audit", "fallback", "freeform-gen"])
def test_a_process_imports_what_its_stages_need(tmp_path: Path, stage: str) -> None:
    modules = _modules(tmp_path, stage)
    others = [f"stages.{each.replace('-', '_')}.handle" for each in pipeline.STAGES if each != stage]
    assert modules.isdisjoint(others)
    # Of the templates of prompts.
    assert "jinja2" not in modules
