"""`understudy why` and `understudy cancel`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli import console
from infra.cli.console import Json

if TYPE_CHECKING:
    from understudy_client import Result

    from infra.app.pipeline_client import PipelineClient
    from infra.inspect.explanation import Explanation

#: Seconds within which a running fallback answers a cancellation.
_ANSWER_S = 3.0

_Id = Annotated[str, typer.Argument(metavar="ID", help="The request's id.")]


def why(
    request_id: _Id,
    content: Annotated[
        bool,
        typer.Option("--content", help="Also print prompt, drafts, documents and content; JSON has them."),
    ] = False,
    json: Json = False,
) -> None:
    """Show a request's full history: events, latencies, attempts, errors, scenes, and why it fell back.

    Related requests follow: replays and shadows of it, requests that waited for its result or got its content from
    the cache.
    """

    async def work() -> int:
        from infra.inspect import archive, explanation

        check_id(request_id)
        settings = console.settings()
        async with console.connect(settings) as client:
            found = await explanation.explain(
                client.wire, request_id, audit=lambda: console.audit_engine(settings)
            )
        if found is None:
            archived = console.read_audit(settings, lambda engine: archive.has_request(engine, request_id))
            console.complain(
                f"{request_id} is no longer in the event log; `understudy audit show {request_id}` prints its record"
                if archived
                else unknown(request_id, client.url)
            )
            return console.FAILED
        if json:
            console.emit(explanation.to_json(found))
        else:
            _print(found, content=content)
        return console.DONE

    console.run(work())


def _print(found: Explanation, *, content: bool) -> None:
    from infra.cli import show, show_timeline
    from infra.inspect.contents import list_contents

    out = console.people()
    out.print(show_timeline.render_timeline(found.timeline, follows=found.follows))
    # Unwrapped lines: a table would cut a long rule.
    listings = [
        show.scenes(found.timeline.scenes),
        show_timeline.relatives(found.relatives),
        show_timeline.decisions(found.timeline.decided),
        show_timeline.contents(list_contents(found.timeline)) if content else [],
    ]
    for index, lines in enumerate(each for each in listings if each):
        if index:
            out.print()
        for line in lines:
            out.print(line, soft_wrap=True)
    if found.relatives_fault is not None:
        console.note(
            f"replays and followers are not shown, the audit cannot be read: {found.relatives_fault}"
        )
    if found.follows_fault is not None:
        console.note(f"whether it waits for another request is not known: {found.follows_fault}")


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
            published = await client.cancel(request_id, reason=reason or "cancelled from the command line")
            if published is None:
                console.complain(unknown(request_id, client.url))
                return console.FAILED
            after = before or await _answer(client, request_id)
        if json:
            console.emit(
                {
                    "request_id": request_id,
                    "kind": published.kind,
                    "subject": published.subject,
                    "status": after.status if after else None,
                }
            )
        else:
            said = _say(request_id, published.subject, before, after)
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
