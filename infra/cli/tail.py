"""How are the subjects watched from a command line?"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli import console
from infra.cli.console import Json

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.line import Line
    from infra.tail import Watched


def tail(
    pattern: Annotated[
        str | None,
        typer.Argument(help="A NATS subject, for instance gen.failed.> or dead.>; none: everything."),
    ] = None,
    request_id: Annotated[str | None, typer.Option("--id", help="Only this request, from its start.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="10m", help="Start in the past: 30s, 10m, 2h, 1d.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Go on with what comes.")] = True,
    json: Json = False,
) -> None:
    """Watch events as they pass; the past first with --since, --id or --no-follow."""
    from infra.tail import watched

    what = watched(pattern, request_id)
    since_ms = console.since_ms(since)
    # Without a start, a tail that goes on begins now; one request's tail begins with the request.
    from_past = since is not None or request_id is not None or not follow
    try:
        console.run(
            _watch(what, since_ms=since_ms, from_past=from_past, follow=follow, show=_shower(json=json))
        )
    except KeyboardInterrupt:
        return


async def _watch(
    what: Watched, *, since_ms: int | None, from_past: bool, follow: bool, show: Callable[[Line], None]
) -> None:
    from infra import client as asking
    from infra import tail as tailing
    from infra.nats import log

    async with asking.Client.connect(console.settings()) as client:
        start = {stream: await log.next_sequence(client.wire, stream) for stream in what.streams}
        if from_past:
            async for line in tailing.past(client.wire, what, since_ms=since_ms, until=start):
                show(line)
        if follow:
            coming = tailing.live(client.connection, what, start=start)
            async with contextlib.aclosing(coming):
                async for line in coming:
                    show(line)


def _shower(*, json: bool) -> Callable[[Line], None]:
    if json:
        from infra.line import to_json

        return lambda line: console.emit(to_json(line))
    from infra.cli.show import Columns

    out, columns = console.people(), Columns()
    return lambda line: out.print(columns.text(line), soft_wrap=True)
