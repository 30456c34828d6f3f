"""How does a command talk to people and programs, and how does it end?"""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from rich.console import Console

    from infra.settings import Settings

DONE: Final = 0
#: The request or check failed.
FAILED: Final = 1
#: Wrong usage: nothing was done.
USAGE: Final = 2
#: The broker cannot be reached.
UNREACHABLE: Final = 3

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}

Json = Annotated[bool, typer.Option("--json", help="Print JSON to standard output, for programs.")]
Limit = Annotated[int, typer.Option("--limit", min=1, help="Print at most this many, the latest.")]


class Usage(Exception):  # noqa: N818 - it is the person's, not ours
    """Wrong usage; the text says what to do instead."""


class NobodyReads(Exception):  # noqa: N818 - names the state of the output
    """Whoever read standard output has closed it: `understudy tail | head`."""


def settings() -> Settings:
    """The settings of this process.

    Raises:
        SettingsError: naming the setting, its value and what is allowed.
    """
    from infra import settings as module

    return module.load()


def run(work: Coroutine[Any, Any, int | None]) -> None:
    """Run a command's work to its end and exit with what it returns."""
    import asyncio

    end(asyncio.run(work))


def end(status: int | None) -> None:
    """Exit unless all is done."""
    if status:
        raise typer.Exit(status)


def guarded() -> int:
    """Run the command line; the exit status.  A person's mistake is one sentence, never a traceback."""
    from infra.cli.app import app

    try:
        app(prog_name="understudy", standalone_mode=True)
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else DONE if left.code is None else FAILED
    except NobodyReads:
        _forget_output()
        return DONE
    except Exception as error:
        status = status_of(error)
        if status is None:
            raise
        complain(str(error))
        return status
    return DONE


def status_of(error: Exception) -> int | None:
    """The exit status that an error means; ``None`` for a defect."""
    from contracts.errors import Unavailable, UnderstudyError
    from contracts.request import RequestError
    from infra.settings import SettingsError

    if isinstance(error, Usage | RequestError | SettingsError):
        return USAGE
    if not isinstance(error, UnderstudyError):
        return None
    from infra.nats.connection import Unreachable
    from infra.tail import PatternError

    match error:
        case Unreachable() | Unavailable():
            return UNREACHABLE
        case PatternError():
            return USAGE
        case _:
            return FAILED


def people() -> Console:
    """Where people read results: standard output."""
    from rich.console import Console

    class _Console(Console):
        def on_broken_pipe(self) -> None:
            # Rich would exit with status 1.
            raise NobodyReads

    return _Console(highlight=False)


def errors() -> Console:
    """Where people read what is beside the result: standard error."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def note(text: str) -> None:
    """Say something beside the result, on standard error; markup is Rich's."""
    errors().print(text, soft_wrap=True)


def complain(text: str) -> None:
    """Say what went wrong, on standard error."""
    from rich.text import Text

    errors().print(Text.assemble(("error: ", "bold red"), text), soft_wrap=True)


def emit(value: Any) -> None:
    """Print one JSON value on a line of its own, at once."""
    import msgspec

    try:
        sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise NobodyReads from None


def since_ms(text: str | None) -> int | None:
    """When a time such as ``10m`` ago was, in ms since the epoch.

    Raises:
        Usage: it is no duration.
    """
    if text is None:
        return None
    import time

    return int((time.time() - duration(text)) * 1000)


def duration(text: str) -> float:
    """Seconds of a duration: ``500ms``, ``30s``, ``10m``, ``2h``, ``1d``.

    Raises:
        Usage: it is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", text.strip())
    if found is None:
        raise Usage(f"{text!r} is not a duration; write for instance 30s, 10m, 2h or 1d")
    return float(found[1]) * _SECONDS[found[2]]


def _forget_output() -> None:
    """Whoever read the output has gone: nothing more can be written, and nothing needs to be."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
