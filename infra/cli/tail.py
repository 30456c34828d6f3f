"""`understudy tail`."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli import console, filters
from infra.cli.console import Json

if TYPE_CHECKING:
    from infra.inspect.record import LogRecord
    from infra.inspect.request_filter import RequestFilter
    from infra.inspect.tail import Watched
    from infra.nats.ordered import LogGap

#: Seconds between two looks whether counts of folded lines are due.
_LOOK_S = 0.2
#: Ended requests that are remembered, so that their deadlines say that they have no effect.
_REMEMBERED = 10_000


@filters.accept()
def tail(
    wanted: RequestFilter,
    pattern: Annotated[
        str | None,
        typer.Argument(help="A NATS subject, for instance gen.failed.> or dead.>; default: everything."),
    ] = None,
    progress: Annotated[
        bool | None,
        typer.Option(
            "--progress/--no-progress",
            help="Also show text while it is generated; default: with one --id only.",
            show_default=False,
        ),
    ] = None,
    every: Annotated[
        bool,
        typer.Option("--all", help="A line for each event, however many come; files always get them all."),
    ] = False,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Continue with new events.")] = True,
    json: Json = False,
) -> None:
    """Watch events as they pass; past events come first with --since, --until, --no-follow or one --id.

    --stage is the stage that published the event; --status and --origin are those of results; --prompt-version is
    that of results and of what the stages pass on.  When more than some 20 events a second come, a terminal gets one
    line a second that counts the others by event, status and code; up to 8 of them that tell of trouble keep theirs.
    """
    import msgspec

    from infra.inspect.tail import names_shadows, resolve

    if set(wanted.status) & set(_unfinished()):
        raise console.Usage(
            f"--status {', '.join(wanted.status)}: an event has the status of a result; "
            "`understudy audit ls --status running` lists requests without one"
        )
    if wanted.until_ms is not None and wanted.until_ms > time.time() * 1000:
        raise console.Usage("--until is in the future; leave it out to continue with new events")
    what = resolve(pattern, wanted.one_id, progress=progress)
    if names_shadows(pattern):
        wanted = msgspec.structs.replace(wanted, shadows=True)
    # A tail that ends in the past need not wait.
    follow = follow and wanted.until_ms is None
    # By default a continuous tail begins now; the tail of one request begins with the request.
    from_past = wanted.since_ms is not None or wanted.one_id is not None or not follow
    said = (pattern or "everything") + (f" of {wanted.request_id}" if wanted.request_id else "")
    shown = _JsonLines() if json else _TextLines(folds=not every)
    try:
        console.run(_watch(what, wanted, said=said, from_past=from_past, follow=follow, shown=shown))
    except KeyboardInterrupt:
        return
    finally:
        shown.finish()


def _unfinished() -> tuple[str, ...]:
    from infra.inspect.request_filter import UNFINISHED

    return UNFINISHED


async def _watch(
    what: Watched,
    wanted: RequestFilter,
    *,
    said: str,
    from_past: bool,
    follow: bool,
    shown: _JsonLines | _TextLines,
) -> None:
    from functools import partial

    from infra.inspect import tail as tailing
    from infra.inspect.message_filter import MessageFilter
    from infra.nats import log

    missed = "the events of the meantime follow"
    if what.progress:
        missed += ", its progress is lost: no stream stores it"
    async with console.connect(console.settings(), waits=True, missed=missed) as client:
        chosen = MessageFilter(wanted, partial(log.owner, client.wire))
        start = {stream: await log.next_sequence(client.wire, stream) for stream in what.streams}
        if follow:
            console.note(f"watching {said} at {client.url}; Ctrl-C ends it")
        if from_past:
            past = tailing.past(
                client.wire, what, since_ms=wanted.since_ms, until_ms=wanted.until_ms, until=start
            )
            async for line in past:
                if await chosen.passes(line):
                    shown.add(line)
        if not follow:
            if not shown.lines:
                console.note(f"nothing in the log at {client.url} matches")
            return
        shown.follow()
        looking = asyncio.create_task(_look(shown))
        coming = tailing.live(
            client.connection,
            what,
            start=start,
            on_gap=_say_gap,
            on_dropped=_say_dropped,
            on_fault=console.note,
        )
        try:
            async with contextlib.aclosing(coming):
                async for line in coming:
                    if await chosen.passes(line):
                        shown.add(line)
        finally:
            looking.cancel()


async def _look(shown: _JsonLines | _TextLines) -> None:
    while True:
        await asyncio.sleep(_LOOK_S)
        shown.look()


def _say_gap(gap: LogGap) -> None:
    console.note(
        f"skipped up to {gap.deleted:,} messages of {gap.stream} from sequence {gap.sequence:,}: "
        "the broker had deleted them before they could be read"
    )


def _say_dropped(messages: int) -> None:
    console.note(f"left out {messages:,} progress messages that came faster than they can be printed")


class _JsonLines:
    """Each event as one JSON object on a line."""

    def __init__(self) -> None:
        self.lines = 0

    def add(self, line: LogRecord) -> None:
        """Print an event."""
        from infra.inspect.record import to_json

        self.lines += 1
        console.emit(to_json(line))

    def follow(self) -> None:
        """New events begin."""

    def look(self) -> None:
        """Print what is due."""

    def finish(self) -> None:
        """Print what is left."""


class _TextLines:
    """Each event as one line for people; on a busy terminal, counts.

    Args:
        folds: count what comes too fast to be read.
    """

    def __init__(self, *, folds: bool) -> None:
        from infra.cli.show import Columns
        from infra.inspect.tail_fold import TailFold

        self.lines = 0
        self._out = console.LineOutput()
        self._columns = Columns()
        self._fold = TailFold()
        self._folds = folds and self._out.terminal
        self._following = False
        self._ended: dict[str, None] = {}

    def add(self, line: LogRecord) -> None:
        """Print or count an event."""
        self.lines += 1
        note = self._note(line)
        if self._folds and self._following:
            now_s = time.monotonic()
            self._print_counts(now_s)
            if not self._fold.shows(line, now_s):
                return
        self._out.print(self._columns.text(line, note=note))

    def follow(self) -> None:
        """New events begin: from now on they may come too fast."""
        self._following = True

    def look(self) -> None:
        """Print the counts of a second that is over."""
        self._print_counts(time.monotonic())

    def finish(self) -> None:
        """Print the counts so far."""
        self._print_counts(None)

    def _print_counts(self, now_s: float | None) -> None:
        from infra.cli.show import folded

        found = self._fold.finish() if now_s is None else self._fold.ended(now_s)
        if found is not None:
            self._out.print(folded(found))

    def _note(self, line: LogRecord) -> str:
        """What is unusual about an event, as far as this tail has seen."""
        if line.request_id is None:
            return ""
        if line.event == "deadline" and line.request_id in self._ended:
            return "no effect: the request has ended"
        if line.event in ("result", "shadowed"):
            self._ended[line.request_id] = None
            if len(self._ended) > _REMEMBERED:
                del self._ended[next(iter(self._ended))]
        return ""
