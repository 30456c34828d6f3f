"""Console: exit statuses, error messages, JSON output and connections."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from rich.console import Console
    from rich.text import Text

    from infra.app.pipeline_client import PipelineClient
    from infra.settings.settings import Settings

DONE: Final = 0
#: The request or check failed.
FAILED: Final = 1
#: Wrong usage: nothing was done.
USAGE: Final = 2
#: The broker cannot be reached.
UNREACHABLE: Final = 3

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}

Json = Annotated[bool, typer.Option("--json", help="Print JSON to standard output, for programs.")]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit", min=1, help="Print the latest N; default: 100 in a table, everything with --json."
    ),
]
#: Rows of a table where nobody says how many.
ROWS: Final = 100
#: Columns that the rest of a line is indented by where a terminal is too narrow for it.
_INDENT: Final = 4


class Usage(Exception):  # noqa: N818 - it is the person's, not ours
    """Wrong usage; the text says what to do instead."""


class NobodyReads(Exception):  # noqa: N818 - names the state of the output
    """Whoever read standard output has closed it: `understudy tail | head`."""


def settings() -> Settings:
    """The settings of this process.

    Raises:
        SettingsError: naming the setting, its value and what is allowed.
    """
    from infra.settings import settings as module

    return module.load()


def run(work: Coroutine[Any, Any, int | None]) -> None:
    """Run a command's work to its end and exit with what it returns."""
    import asyncio

    end(asyncio.run(work))


def end(status: int | None) -> None:
    """Exit unless all is done."""
    if status:
        raise typer.Exit(status)


def guarded(app: Callable[..., object]) -> int:
    """Run the command line; the exit status.  A person's mistake is one sentence, never a traceback.

    Args:
        app: the Typer application.
    """
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
        from contracts.errors import error_text

        complain(error_text(error))
        return status
    return DONE


def status_of(error: Exception) -> int | None:
    """The exit status that an error means; ``None`` for a defect."""
    from contracts.errors import Misconfigured, Unavailable, UnderstudyError
    from contracts.request import RequestError

    if isinstance(error, Usage | RequestError | Misconfigured):
        return USAGE
    # Slow to import, and not needed for a mistake in the usage.
    from understudy_client import errors as client_errors

    from infra.inspect.tail import PatternError
    from infra.nats.connection import Unreachable

    match error:
        case PatternError() | client_errors.InvalidRequest():
            return USAGE
        case Unreachable() | Unavailable() | client_errors.Unreachable() | client_errors.Unavailable():
            return UNREACHABLE
        case UnderstudyError() | client_errors.ClientError():
            return FAILED
        case _:
            return None


def people() -> Console:
    """Where people read results: standard output."""
    return _console(stderr=False)


def errors() -> Console:
    """Where people read what is beside the result: standard error."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    """A console that shows what strangers wrote, and never obeys it."""
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    from contracts.printable import printable

    class _Console(Console):
        def on_broken_pipe(self) -> None:
            # Rich would exit with status 1.
            raise NobodyReads

        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterable[Segment]:
            # Rich's own control codes are marked; every other text is somebody's words.
            for each in super().render(renderable, options):
                plain = each.control is not None or each.text.isprintable() or each.text == "\n"
                yield each if plain else Segment(printable(each.text, keep="\n"), each.style)

    return _Console(stderr=stderr, highlight=False, emoji=False)


def connect(where: Settings, *, waits: bool = False) -> PipelineClient:
    """A client of the pipeline, for ``async with``.

    Args:
        where: says where the broker is.
        waits: the command waits for something: it says when the connection is lost and when it is back.
    """
    from infra.app.pipeline_client import PipelineClient

    if not waits:
        return PipelineClient(where)

    def lost(url: str) -> None:
        note(f"lost the broker at {url} at {_clock()}; waiting for it to come back")

    def back(url: str) -> None:
        note(f"the broker at {url} is back at {_clock()}")

    return PipelineClient(where, on_lost=lost, on_back=back)


def _clock() -> str:
    from datetime import datetime

    return f"{datetime.now().astimezone():%H:%M:%S}"


def note(text: str) -> None:
    """Say something beside the result, on standard error."""
    errors().print(text, soft_wrap=True, markup=False)


def listed(lines: Iterable[Text]) -> None:
    """Print the lines of a listing.

    A terminal gets lines that fit it, broken between words; a file or another program gets each whole.
    """
    out = people()
    for line in lines:
        if not out.is_terminal:
            out.print(line, soft_wrap=True)
            continue
        first, *others = line.wrap(out, max(out.width - _INDENT, 20))
        for each in others:
            each.pad_left(_INDENT)
        for each in (first, *others):
            each.rstrip()
            out.print(each, soft_wrap=True)


def left_out(more: int, what: str = "older") -> None:
    """Say that a table does not show everything."""
    if more > 0:
        note(f"… {more:,} {what} not shown; --limit N shows more, --json shows all")


def complain(text: str) -> None:
    """Say what went wrong, on standard error."""
    from rich.text import Text

    errors().print(Text.assemble(("error: ", "bold red"), text), soft_wrap=True)


def emit(value: Any) -> None:
    """Print one JSON value on a line of its own, at once."""
    _write(json_text(value))


def raw(value: Any) -> None:
    """Print a JSON document for people: whole, over several lines, in nothing."""
    _write(json_text(value, indent=2))


def json_text(value: Any, *, indent: int | None = None) -> str:
    """JSON that means the same and holds nothing that a terminal obeys, or that cannot be seen."""
    import msgspec

    body = msgspec.json.encode(value)
    text = (body if indent is None else msgspec.json.format(body, indent=indent)).decode()
    if text.isprintable():
        return text
    # Outside of its texts JSON has nothing but ASCII, so each of these stands where it can be escaped.
    return "".join(each if each.isprintable() or each == "\n" else _json_escape(each) for each in text)


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def _write(text: str) -> None:
    try:
        try:
            sys.stdout.write(text + "\n")
        except UnicodeEncodeError:
            # A terminal that cannot show every character still gets every one.
            sys.stdout.write("".join(each if each.isascii() else _json_escape(each) for each in text) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise NobodyReads from None


def since_ms(text: str | None) -> int | None:
    """When a time such as ``10m`` ago was, in ms since the epoch; a time with its date is taken as it is.

    Raises:
        Usage: it is neither.
    """
    if text is None:
        return None
    import time
    from datetime import datetime

    if re.match(r"\d{4}-", text):
        try:
            return int(datetime.fromisoformat(text).astimezone().timestamp() * 1000)
        except (ValueError, OverflowError):
            raise Usage(f"{text!r} is not a time; write for instance 2026-11-27T10:30:00Z, or 10m") from None
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
