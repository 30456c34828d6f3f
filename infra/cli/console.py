"""Console: exit statuses, error messages, JSON output and connections."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any, Final, Self, TypeVar

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from rich.console import Console
    from rich.text import Text
    from sqlalchemy import Engine

    from infra.app.pipeline_client import PipelineClient
    from infra.settings.settings import Settings

T = TypeVar("T")

DONE: Final = 0
#: The request or check failed.
FAILED: Final = 1
#: Wrong usage: nothing was done.
USAGE: Final = 2
#: The broker cannot be reached.
UNREACHABLE: Final = 3

Json = Annotated[bool, typer.Option("--json", help="Print JSON to standard output, for programs.")]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit", min=1, help="Print the latest N; default: 100 in a table, everything with --json."
    ),
]
#: Default number of a table's rows.
ROWS: Final = 100
#: Indentation of a wrapped line, in columns.
_INDENT: Final = 4


class Usage(Exception):  # noqa: N818 - it is the person's, not ours
    """Wrong usage; the text says what to do instead."""


class NobodyReads(Exception):  # noqa: N818 - names the state of the output
    """The reader of standard output has closed it: `understudy tail | head`."""


def settings() -> Settings:
    """The settings of this process.

    Raises:
        SettingsError: naming the setting, its value and what is allowed.
    """
    from infra.settings import settings as module

    return module.load()


def run(work: Coroutine[Any, Any, int | None]) -> None:
    """Run a command to its end and exit with its status."""
    import asyncio

    end(asyncio.run(work))


def end(status: int | None) -> None:
    """Exit unless the status is 0."""
    if status:
        raise typer.Exit(status)


def guarded(app: Callable[..., object]) -> int:
    """Run the command line; the exit status.  A user error prints one sentence, never a traceback.

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
    # Slow to import, and not needed for a usage error.
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
    """The console of standard output, for results."""
    return _console(stderr=False)


def errors() -> Console:
    """The console of standard error, for everything else."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    """A console that shows untrusted text and never interprets control codes in it."""
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
            # Rich marks its own control codes; all other text is untrusted.
            for each in super().render(renderable, options):
                plain = each.control is not None or each.text.isprintable() or each.text == "\n"
                yield each if plain else Segment(printable(each.text, keep="\n"), each.style)

    return _Console(stderr=stderr, highlight=False, emoji=False)


def connect(where: Settings, *, waits: bool = False, missed: str = "") -> PipelineClient:
    """A client of the pipeline, for ``async with``.

    Args:
        where: the settings with the broker's address.
        waits: the command waits, so it reports when the connection is lost and restored.
        missed: what becomes of what happened meanwhile; part of the report.
    """
    from infra.app.pipeline_client import PipelineClient

    if not waits:
        return PipelineClient(where)

    def lost(url: str) -> None:
        note(f"lost the broker at {url} at {_clock()}; waiting for it to come back")

    def back(url: str) -> None:
        note(f"the broker at {url} is back at {_clock()}{missed and '; '}{missed}")

    return PipelineClient(where, on_lost=lost, on_back=back)


def audit_engine(where: Settings) -> Engine:
    """The database of the audit; it is opened on first use.

    Raises:
        FileNotFoundError: there is none.
        DatabaseError: its URL cannot be used.
    """
    from pathlib import Path

    from infra.stores import database

    url = database.url_of(where.database)
    if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).is_file():
        # SQLite would create it.
        raise FileNotFoundError(f"there is no file {url.database}")
    return database.engine_of(where.database)


def read_audit(where: Settings, query: Callable[[Engine], T]) -> T | None:
    """The answer of the audit to a query that can do without it; ``None`` if it cannot be read."""
    from sqlalchemy.exc import SQLAlchemyError

    from infra.stores import database

    try:
        engine = audit_engine(where)
    except (FileNotFoundError, database.DatabaseError):
        return None
    try:
        return query(engine)
    except SQLAlchemyError:
        return None
    finally:
        engine.dispose()


def _clock() -> str:
    from datetime import datetime

    return f"{datetime.now().astimezone():%H:%M:%S}"


def note(text: str) -> None:
    """Print a note on standard error."""
    errors().print(text, soft_wrap=True, markup=False)


class LineOutput:
    """Lines of a listing on standard output.

    A terminal gets lines that fit it, broken between words; a file or another program gets each whole.
    """

    def __init__(self) -> None:
        self._out = people()
        #: Whether a person reads along.
        self.terminal = self._out.is_terminal

    def print(self, line: Text) -> None:
        """Print one line."""
        if not self.terminal:
            # Rich takes 50 times as long, and a tail has thousands of lines a second.
            from contracts.printable import printable

            _write(printable(line.plain))
            return
        out = self._out
        first, *others = line.wrap(out, max(out.width - _INDENT, 20))
        for each in others:
            each.pad_left(_INDENT)
        for each in (first, *others):
            each.rstrip()
            out.print(each, soft_wrap=True)


def listed(lines: Iterable[Text]) -> None:
    """Print the lines of a listing."""
    output = LineOutput()
    for line in lines:
        output.print(line)


def left_out(more: int, what: str = "older", *, at_least: bool = False) -> None:
    """Print that a table is truncated.

    Args:
        more: how many rows it leaves out.
        what: what they are.
        at_least: there may be more of them.
    """
    if more > 0:
        counted = f"at least {more:,}" if at_least else f"{more:,}"
        note(f"… {counted} {what} not shown; --limit N shows more, --json shows all")


def complain(text: str) -> None:
    """Print an error on standard error."""
    from rich.text import Text

    errors().print(Text.assemble(("error: ", "bold red"), text), soft_wrap=True)


def emit(value: Any) -> None:
    """Print one JSON value on a line of its own, at once."""
    _write(json_text(value))


class JsonArray:
    """A JSON array on one line of standard output, written as its values come: for ``with``.

    After an error the array is not closed, so that no reader takes a part for the whole.
    """

    def __enter__(self) -> Self:
        self._before = "["
        return self

    def add(self, value: Any) -> None:
        """Write one value."""
        _write(self._before + json_text(value), end="")
        self._before = ","

    def __exit__(self, error: object, *_: object) -> None:
        if error is None:
            _write("[]" if self._before == "[" else "]")


def raw(value: Any) -> None:
    """Print a JSON document for people: whole, indented, without colour."""
    _write(json_text(value, indent=2))


def json_text(value: Any, *, indent: int | None = None) -> str:
    """Equivalent JSON without control codes and invisible characters."""
    import msgspec

    body = msgspec.json.encode(value)
    text = (body if indent is None else msgspec.json.format(body, indent=indent)).decode()
    if text.isprintable():
        return text
    # Outside its texts JSON is ASCII, so each of these is inside a text and can be escaped.
    return "".join(each if each.isprintable() or each == "\n" else _json_escape(each) for each in text)


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def _write(text: str, *, end: str = "\n") -> None:
    try:
        try:
            sys.stdout.write(text + end)
        except UnicodeEncodeError:
            # A terminal that cannot show a character gets its escape.
            sys.stdout.write("".join(each if each.isascii() else _json_escape(each) for each in text) + end)
        if end:
            sys.stdout.flush()
    except BrokenPipeError:
        raise NobodyReads from None


def duration(text: str) -> float:
    """Seconds of a duration: ``500ms``, ``30s``, ``10m``, ``2h``, ``1d``.

    Raises:
        Usage: the text is not a duration.
    """
    from infra.inspect.request_filter import parse_duration

    try:
        return parse_duration(text) / 1000
    except ValueError as error:
        raise Usage(f"{text!r} {error}") from None


def _forget_output() -> None:
    """Discard the rest of the output: its reader is gone."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
