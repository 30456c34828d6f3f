"""`/api/v1/events`, and `/events` of one request and of one replay job: what happens, as server-sent events."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from contracts import pipeline, subjects
from infra.gateway import documents, listing, lookup
from infra.gateway.access import AccessRole, Principal, require
from infra.gateway.feed import EventFeed
from infra.gateway.feed_filter import FeedRequest
from infra.gateway.gateway import Gateway, Here
from infra.gateway.log_position import LETTERS, parse_position
from infra.gateway.problems import BUSY_S, Problem, not_found, parameter_problem
from infra.gateway.replay_access import find_view
from infra.gateway.replay_feed import JobNews, ReplayFeed, report_job
from infra.gateway.sse import EventStreamResponse
from infra.inspect import tail
from infra.inspect.request_filter import UNFINISHED
from infra.nats import log

router: Final = APIRouter(prefix="/api/v1", tags=["events"])
#: The header of a client that connects again.
_LAST: Final = "last-event-id"
#: Everything, without and with progress.
_ALL: Final = {each: tail.resolve(None, None, progress=each) for each in (False, True)}
_UNKNOWN: Final = "Last-Event-ID is none of this server"


@router.get(
    "/events",
    summary="What happens to all requests",
    responses=documents.STREAM | documents.problems(422, 503),
    openapi_extra={"parameters": [documents.LAST_EVENT_ID, *listing.filter_parameters(without=("until",))]},
    response_class=Response,
)
async def events(
    request: Request,
    gateway: Here,
    principal: Annotated[Principal, require(AccessRole.VIEWER)],
    progress: Annotated[bool, Query(description="Also text while it is generated.")] = False,  # noqa: FBT002 - a query parameter
) -> Response:
    """New events as they come, filtered as `understudy tail` filters; with `since`, past ones first.

    `id` is a position in the log: a client that connects again sends the last one and misses nothing; progress has
    none, as it is not stored.  Further events: `reset`, the client cannot continue where it left off and loads the
    state anew; `lagged`, it read too slowly, the stream ends and `missed` events follow when it connects again; `bye`,
    the stream ends, connect again.
    """
    where = listing.read_filter(
        request.query_params, principal, now_ms=gateway.now_ms(), beside=listing.BESIDE_EVENTS
    )
    if where.until_ms is not None:
        raise parameter_problem("until", "a stream has no end; leave it out, or list /api/v1/generations")
    if set(where.status) & set(UNFINISHED):
        raise parameter_problem(
            "status", "an event has the status of a result; list /api/v1/generations for requests without one"
        )
    async with gateway.wait():
        await gateway.require_broker()
        _check_room(gateway)
        await gateway.hub.open()
        start, reset = await _find_start(gateway, request, since_ms=where.since_ms)
    return _stream(
        gateway, principal, FeedRequest(what=_ALL[progress], start=start, reset=reset, where=where)
    )


@router.get(
    "/generations/{request_id}/events",
    summary="What happens to a request",
    responses=documents.STREAM_OF_ONE | documents.problems(404, 410, 503),
    openapi_extra={"parameters": [documents.LAST_EVENT_ID]},
    response_class=Response,
)
async def events_of_one(
    request_id: str,
    request: Request,
    gateway: Here,
    principal: Annotated[Principal, require(AccessRole.CLIENT)],
) -> Response:
    """All events of a request from its beginning, with text while it is generated, and then as they come.

    The stream ends after the result, with `bye` and the reason `ended`; an `EventSource` that connects again then gets
    204, which ends it.  Later revisions by a replay are in `/api/v1/events?id=…`.
    """
    if subjects.REQUEST_ID.fullmatch(request_id) is None:
        raise not_found(f"request {request_id!r}")
    what = tail.resolve(None, request_id)
    async with gateway.wait(request_id):
        await gateway.require_broker()
        await lookup.check_visible(gateway, principal, request_id)
        _check_room(gateway)
        await gateway.hub.open()
        given = request.headers.get(_LAST)
        start = dict.fromkeys(LETTERS, 0)
        last = None if given is None else parse_position(given)
        reset = _UNKNOWN if given is not None and last is None else None
        if last is not None:
            reset = await gateway.hub.find_reset(last, whole=False)
            start = start if reset else last
        if not any(start.values()) and await log.owner(gateway.wire, request_id) is None:
            raise Problem(
                410, "gone", f"request {request_id!r} is no longer in the event log, only in the audit"
            )
        if last is not None and reset is None:
            answer = await log.first(gateway.wire, pipeline.EVENTS, subjects.any_answer(request_id))
            if answer is not None and answer.sequence <= last[pipeline.EVENTS]:
                return Response(status_code=204)
    asked = FeedRequest(what=what, start=start, reset=reset, request_id=request_id)
    return _stream(gateway, principal, asked)


@router.get(
    "/replays/{job}/events",
    summary="What happens to a replay job",
    responses=documents.STREAM_OF_ONE | documents.problems(404, 422, 503),
    openapi_extra={"parameters": [documents.LAST_EVENT_ID]},
    response_class=Response,
)
async def events_of_replay(
    job: Annotated[int, Path(ge=1, le=2**31 - 1)],
    request: Request,
    gateway: Here,
    principal: Annotated[Principal, require(AccessRole.VIEWER)],
) -> Response:
    """`replay`: the job as `understudy replay show --json` has it, without its requests, each time that it changes.

    The stream ends with the job. The events of its requests are in `/api/v1/events?id=…`.
    """
    _check_room(gateway)
    news = await _look_at(gateway, principal, job)
    last = request.headers.get(_LAST)
    if news.ended and last == news.id:
        return Response(status_code=204)
    look = partial(_look_at, gateway, principal, job)
    return EventStreamResponse(ReplayFeed(gateway.hub, look, last=last, sender=principal))


async def _look_at(gateway: Gateway, principal: Principal, job: int) -> JobNews:
    """A job as it is now.

    Raises:
        Problem: 404, it does not exist.
        DatabaseError: it cannot be read.
    """
    return report_job(await find_view(gateway, principal, job))


async def _find_start(
    gateway: Gateway, request: Request, *, since_ms: int | None
) -> tuple[dict[str, int] | None, str | None]:
    """Where a stream of all requests begins, and why the client cannot continue where it left off."""
    given = request.headers.get(_LAST)
    if given is not None:
        start = parse_position(given)
        if start is None:
            return None, _UNKNOWN
    elif since_ms is not None:
        start = await gateway.hub.find_start(since_ms)
    else:
        return None, None
    reset = await gateway.hub.find_reset(start, whole=True)
    return (None, reset) if reset else (start, None)


def _check_room(gateway: Gateway) -> None:
    """Refuse a stream more than the settings allow.

    Raises:
        Problem: 503.
    """
    if gateway.hub.feeds >= gateway.settings.gateway.streams:
        raise Problem(
            503,
            "busy",
            f"{gateway.hub.feeds} clients read events already, which is the limit (gateway.streams)",
            headers={"Retry-After": str(BUSY_S)},
        )


def _stream(gateway: Gateway, principal: Principal, asked: FeedRequest) -> Response:
    asked = msgspec.structs.replace(asked, workspace=principal.workspace, sender=principal)
    return EventStreamResponse(EventFeed(gateway.hub, asked))
