"""`understudy tail`."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli import console, filters
from infra.cli.console import Json

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.inspect.record import LogRecord
    from infra.inspect.request_filter import RequestFilter
    from infra.inspect.tail import Watched


@filters.accept(
    without={
        "prompt-version": "only one event of a request has it",
        "workspace": "most events do not have it",
        "node": "most events do not have it",
    }
)
def tail(
    wanted: RequestFilter,
    pattern: Annotated[
        str | None,
        typer.Argument(help="A NATS subject, for instance gen.failed.> or dead.>; default: everything."),
    ] = None,
    progress: Annotated[
        bool,
        typer.Option("--progress", help="Also show text while it is generated; always on with one --id."),
    ] = False,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Continue with new events.")] = True,
    json: Json = False,
) -> None:
    """Watch events as they pass; past events come first with --since, --until, --no-follow or one --id.

    --stage is the stage that published the event; --status and --origin are those of results.
    """
    from infra.inspect.tail import resolve

    what = resolve(pattern, wanted.one_id, progress=progress)
    # A tail that ends in the past need not wait.
    follow = follow and wanted.until_ms is None
    # By default a continuous tail begins now; the tail of one request begins with the request.
    from_past = wanted.since_ms is not None or wanted.one_id is not None or not follow
    said = (pattern or "everything") + (f" of {wanted.request_id}" if wanted.request_id else "")
    try:
        console.run(
            _watch(what, wanted, said=said, from_past=from_past, follow=follow, show=_shower(json=json))
        )
    except KeyboardInterrupt:
        return


async def _watch(
    what: Watched,
    wanted: RequestFilter,
    *,
    said: str,
    from_past: bool,
    follow: bool,
    show: Callable[[LogRecord], None],
) -> None:
    from infra.inspect import tail as tailing
    from infra.inspect.message_filter import passes
    from infra.nats import log

    shown = False
    async with console.connect(console.settings(), waits=True) as client:
        start = {stream: await log.next_sequence(client.wire, stream) for stream in what.streams}
        if follow:
            console.note(f"watching {said} at {client.url}; Ctrl-C ends it")
        if from_past:
            async for line in tailing.past(client.wire, what, since_ms=wanted.since_ms, until=start):
                if passes(line, wanted):
                    shown = True
                    show(line)
        if follow:
            coming = tailing.live(client.connection, what, start=start)
            async with contextlib.aclosing(coming):
                async for line in coming:
                    if passes(line, wanted):
                        show(line)
        elif not shown:
            console.note(f"nothing in the log at {client.url} matches")


def _shower(*, json: bool) -> Callable[[LogRecord], None]:
    if json:
        from infra.inspect.record import to_json

        return lambda line: console.emit(to_json(line))
    from infra.cli.show import Columns

    columns = Columns()
    return lambda line: console.listed((columns.text(line),))
