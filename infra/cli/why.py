"""How is one request explained or called off from a command line?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli import console
from infra.cli.console import Json

if TYPE_CHECKING:
    from contracts.events import Result
    from infra.client import Client

#: Seconds in which a running fallback answers a cancellation.
_ANSWER_S = 3.0

_Id = Annotated[str, typer.Argument(metavar="ID", help="The request's id.")]


def why(request_id: _Id, json: Json = False) -> None:
    """Tell a request's whole story: events, latencies, attempts, error, reason of the stand-in, a plot's scenes."""

    async def work() -> int:
        from contracts import scenes
        from infra import client as asking
        from infra import story
        from infra.nats import log
        from infra.nats.lookup import Lookup
        from infra.nats.scenes import LoggedScenes

        _check(request_id)
        async with asking.Client.connect(console.settings()) as client:
            entries = await log.of_request(client.wire, request_id)
            plot = story.plot(entries)
            seen = None
            if plot is not None:
                seen = await LoggedScenes(client.wire, Lookup(client.wire)).seen(scenes.ids(plot))
            told = story.tell(request_id, entries, scenes_seen=seen)
        if told is None:
            console.complain(_unknown(request_id))
            return console.FAILED
        if json:
            console.emit(story.to_json(told))
        else:
            from infra.cli import show

            out = console.people()
            out.print(show.story(told))
            # Lines as long as they are: in a table, a long rule would be folded away.
            for each in (*show.scenes(told.scenes), *show.decisions(told.decided)):
                out.print(each, soft_wrap=True)
        return console.DONE

    console.run(work())


def cancel(
    request_id: _Id,
    reason: Annotated[str, typer.Option("--reason", help="In words; goes into the result.")] = "",
    json: Json = False,
) -> None:
    """Call a request off; its result says so, unless it has one already."""

    async def work() -> int:
        from infra import client as asking

        _check(request_id)
        async with asking.Client.connect(console.settings()) as client:
            before = await client.look(request_id)
            told = await client.cancel(request_id, reason=reason or "cancelled from the command line")
            if told is None:
                console.complain(_unknown(request_id))
                return console.FAILED
            after = before or await _answer(client, request_id)
        if json:
            console.emit(
                {
                    "request_id": request_id,
                    "kind": told.kind,
                    "subject": told.subject,
                    "status": after.status if after else None,
                }
            )
        else:
            console.people().print(_say(request_id, told.subject, before, after), soft_wrap=True)
        return console.DONE

    console.run(work())


async def _answer(client: Client, request_id: str) -> Result | None:
    from infra.client import NoResult

    try:
        return await client.wait(request_id, timeout_s=_ANSWER_S)
    except NoResult:
        return None


def _say(request_id: str, subject: str, before: Result | None, after: Result | None) -> str:
    if before is not None:
        return f"{request_id} had ended already: {before.status}"
    if after is not None:
        return f"{request_id} ended: [bold]{after.status}[/]"
    return f"{subject} is published; the result comes as soon as a fallback runs"


def _check(request_id: str) -> None:
    from contracts.subjects import REQUEST_ID

    if REQUEST_ID.fullmatch(request_id) is None:
        raise console.Usage(f"request id {request_id!r} must match [A-Za-z0-9_-]{{1,64}}")


def _unknown(request_id: str) -> str:
    return (
        f"the log has nothing about {request_id}: check the id (`understudy tail gen.requested.> --no-follow` "
        "lists requests), or it is older than the streams keep (`understudy audit show` may know it)"
    )
