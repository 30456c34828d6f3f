"""Command that writes or checks docs/schemas/openapi.d.ts, the types of the HTTP API for TypeScript.

``python -m infra.lab.docgen.typescript`` writes the file; ``--check`` exits 1 where it differs.  Either checks that it
compiles together with docs/schemas/example.ts.  openapi-typescript and the compiler are those that
infra/console/package-lock.json pins; Node.js comes with the environment.
"""

from __future__ import annotations

import difflib
import hashlib
import sys
import tempfile
from pathlib import Path
from typing import Final

from infra.lab.node_tools import CONSOLE, MODULES, ROOT, ToolError, install, run

_DOCUMENT: Final = ROOT / "docs/schemas/openapi.json"
_TYPES: Final = ROOT / "docs/schemas/openapi.d.ts"
_GENERATOR: Final = MODULES / "openapi-typescript/bin/cli.js"
_COMPILER: Final = MODULES / "typescript/bin/tsc"
_OPTIONS: Final = (
    "--root-types",
    "--root-types-no-schema-prefix",
    # A field of a request that has a default can be left out.
    *("--default-non-nullable", "false"),
)
_USAGE: Final = "usage: python -m infra.lab.docgen.typescript [--check]"


def make() -> str:
    """The types that the document means."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "openapi.d.ts"
        run(_GENERATOR, _DOCUMENT, "--output", made, *_OPTIONS)
        return _title() + made.read_text(encoding="utf-8")


def are_stale() -> bool:
    """Whether the types are those of another document; takes no Node.js."""
    had = _TYPES.read_text(encoding="utf-8") if _TYPES.is_file() else ""
    return not had.startswith(_title())


def _title() -> str:
    digest = hashlib.sha256(_DOCUMENT.read_bytes()).hexdigest()
    return f"// The types of openapi.json with the SHA-256 {digest}.\n"


def main(arguments: list[str]) -> int:
    """Do what the arguments say; the exit status."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write(f"{_USAGE}\n")
        return 2
    try:
        install()
        text = make()
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
        run(_COMPILER, "--project", CONSOLE / "tsconfig.types.json")
    except ToolError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
