"""`understudy why` and `understudy cancel`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli import console
from infra.cli.console import Json

if TYPE_CHECKING:
    from understudy_client import Result

    from infra.app.pipeline_client import PipelineClient

#: Seconds within which a running fallback answers a cancellation.
_ANSWER_S = 3.0

_Id = Annotated[str, typer.Argument(metavar="ID", help="The request's id.")]


def why(request_id: _Id, json: Json = False) -> None:
    """Show a request's full history: events, latencies, attempts, errors, scenes, and why it fell back."""

    async def work() -> int:
        from contracts import scenes
        from infra.inspect import timeline
        from infra.nats import log
        from infra.nats.lookup import Lookup
        from infra.nats.scene_log import LoggedScenes

        check_id(request_id)
        async with console.connect(console.settings()) as client:
            entries = await log.of_request(client.wire, request_id)
            plot = timeline.find_plot(entries)
            seen = None
            if plot is not None:
                seen = await LoggedScenes(Lookup(client.wire)).seen(scenes.ids(plot))
            told = timeline.build(request_id, entries, scenes_seen=seen)
        if told is None:
            console.complain(unknown(request_id, client.url))
            return console.FAILED
        if json:
            console.emit(timeline.to_json(told))
        else:
            from infra.cli import show

            out = console.people()
            out.print(show.render_timeline(told))
            # Unwrapped lines: a table would cut a long rule.
            for each in (*show.scenes(told.scenes), *show.decisions(told.decided)):
                out.print(each, soft_wrap=True)
        return console.DONE

    console.run(work())


def cancel(
    request_id: _Id,
    reason: Annotated[str, typer.Option("--reason", help="Reason, shown in the result.")] = "",
    json: Json = False,
) -> None:
    """Cancel a request; no effect once it has a result."""

    async def work() -> int:
        check_id(request_id)
        async with console.connect(console.settings()) as client:
            before = await client.look(request_id)
            told = await client.cancel(request_id, reason=reason or "cancelled from the command line")
            if told is None:
                console.complain(unknown(request_id, client.url))
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
            said = _say(request_id, told.subject, before, after)
            console.people().print(said, soft_wrap=True, markup=False)
        return console.DONE

    console.run(work())


async def _answer(client: PipelineClient, request_id: str) -> Result | None:
    from understudy_client import NoResult

    try:
        return await client.wait(request_id, timeout_s=_ANSWER_S)
    except NoResult:
        return None


def _say(request_id: str, subject: str, before: Result | None, after: Result | None) -> str:
    if before is not None:
        return f"{request_id} had ended already: {before.status}"
    if after is not None:
        return f"{request_id} ended: {after.status}"
    return f"{subject} is published; the result comes as soon as a fallback runs"


def check_id(request_id: str) -> None:
    """Reject an invalid request id.

    Raises:
        Usage: naming the id and the allowed characters.
    """
    from understudy_client import InvalidRequest, protocol

    try:
        # A request that was rejected for its id can be explained, too.
        protocol.check_id(request_id, rejected=True)
    except InvalidRequest as error:
        raise console.Usage(f"request {error}") from None


def unknown(request_id: str, url: str) -> str:
    """The message for an unknown request."""
    return (
        f"no request {request_id} in the event log at {url}. Check the id and the broker (`understudy tail "
        "gen.requested.> --no-follow` lists requests). A request older than the streams keep may be in the audit "
        '(`understudy audit show`). If the broker acknowledged it with "duplicate": true, it was not stored: another '
        "message had the same Nats-Msg-Id, so publish it again without that header or with one that is its own"
    )
