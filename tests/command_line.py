"""The command line in the test's own process: a tenth of what a process of its own takes."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from unittest import mock

import msgspec

from infra.cli import console
from infra.cli.app import app


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How a command ended, and what it said."""

    status: int
    out: str
    err: str


def understudy(*args: str, environment: Mapping[str, str], stdin: str = "") -> Ended:
    """``understudy ARGS``: the entry point as the console script calls it, error handling included.

    Args:
        args: of the command line.
        environment: all variables that it sees.
        stdin: what it reads.
    """
    with (
        mock.patch.dict(os.environ, environment, clear=True),
        mock.patch.object(sys, "argv", ["understudy", *args]),
        mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8")),
        _written("stdout") as out,
        _written("stderr") as err,
    ):
        status = console.guarded(app)
        sys.stdout.flush()
        sys.stderr.flush()
        return Ended(status=status, out=out.getvalue().decode(), err=err.getvalue().decode())


@contextmanager
def _written(stream: str) -> Iterator[io.BytesIO]:
    kept = io.BytesIO()
    text = io.TextIOWrapper(kept, encoding="utf-8")
    with mock.patch.object(sys, stream, text):
        yield kept
    # Closing the text would close what was read from it; whoever kept it may write on.
    text.detach()
