"""The command line for unit tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import command_line
from tests.command_line import Ended

Understudy = Callable[..., Ended]


@pytest.fixture
def understudy(monkeypatch: pytest.MonkeyPatch) -> Understudy:
    """``understudy ARGS`` in this process.

    ``stdin``: what it reads; ``folder``: where it runs; all other names: environment variables, beside
    which none of Understudy's own is set.
    """
    plain = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("UNDERSTUDY_", "USE_LOCAL", "COLUMNS"))
    }

    def run(*args: str, stdin: str = "", folder: Path | None = None, **environment: str) -> Ended:
        with monkeypatch.context() as patch:
            if folder is not None:
                patch.chdir(folder)
            return command_line.understudy(*args, environment=plain | environment, stdin=stdin)

    return run
