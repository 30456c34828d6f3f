"""The command line in the test's own process: a tenth of what a process of its own takes."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from infra.cli import console
from infra.cli.app import app


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How a command ended, and what it said."""

    status: int
    out: str
    err: str


Understudy = Callable[..., Ended]


@pytest.fixture
def understudy(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Understudy:
    """``understudy ARGS``: the entry point as the console script calls it, error handling included.

    ``stdin``: what it reads; ``folder``: where it runs; all other names: environment variables, beside
    which none of Understudy's own is set.
    """

    def run(*args: str, stdin: str = "", folder: Path | None = None, **environment: str) -> Ended:
        with monkeypatch.context() as patch:
            for name in [name for name in os.environ if name.startswith(("UNDERSTUDY_", "USE_LOCAL"))]:
                patch.delenv(name)
            for name, value in environment.items():
                patch.setenv(name, value)
            if folder is not None:
                patch.chdir(folder)
            patch.setattr(sys, "argv", ["understudy", *args])
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8"))
            capsys.readouterr()
            status = console.guarded(app)
            written = capsys.readouterr()
        return Ended(status=status, out=written.out, err=written.err)

    return run
