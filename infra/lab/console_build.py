"""Command that builds the console into infra/console/static, or checks that what is committed is what its sources make.

``python -m infra.lab.console_build`` checks types and style, runs the unit tests, and writes the files; ``--check``
writes none and exits 1 where a file differs.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from infra.lab.node_tools import CONSOLE, MODULES, ToolError, install, run

STATIC: Final = CONSOLE / "static"
_BIOME: Final = MODULES / "@biomejs/biome/bin/biome"
_COMPILER: Final = MODULES / "typescript/bin/tsc"
_TESTS: Final = MODULES / "vitest/vitest.mjs"
_BUNDLER: Final = MODULES / "vite/bin/vite.js"
_USAGE: Final = "usage: python -m infra.lab.console_build [--check]"


def read_files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path in it."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def main(arguments: list[str]) -> int:
    """Do what the arguments say; the exit status."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write(f"{_USAGE}\n")
        return 2
    try:
        install()
        run(_BIOME, "check", ".")
        run(_COMPILER, "--noEmit")
        run(_TESTS, "run")
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / "static"
            run(_BUNDLER, "build", "--outDir", made, "--emptyOutDir")
            before, after = read_files(STATIC), read_files(made)
            if before == after:
                return 0
            changed = sorted(name for name in before.keys() | after if before.get(name) != after.get(name))
            if arguments:
                sys.stderr.write(
                    f"infra/console/static is not what its sources make: {', '.join(changed)}; run `just console`\n"
                )
                return 1
            shutil.rmtree(STATIC, ignore_errors=True)
            shutil.copytree(made, STATIC)
            sys.stdout.write(f"wrote {len(changed)} files of infra/console/static\n")
    except ToolError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
