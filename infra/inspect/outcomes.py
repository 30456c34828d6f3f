"""Outcomes of requests, read for a comparison: from the event log, and from the audit where the log has forgotten them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import msgspec
from sqlalchemy import select

from contracts import events as ev
from contracts import pipeline, subjects
from contracts.errors import Unreadable
from contracts.result import ResultBody
from infra.inspect.comparison import RequestOutcome
from infra.nats import log
from infra.stores.assets import Assets
from infra.stores.database import GENERATIONS, reading
from stages.audit.fold import REPEATED, RequestRecord

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sqlalchemy import Engine

    from infra.nats.log import LogEntry
    from infra.nats.multiplexer import RequestMultiplexer

T = TypeVar("T")
#: Results in one question to the broker, and questions at a time.
_BATCH: Final = 128
_AT_ONCE: Final = 32
#: Rows of the audit in one query.
_CHUNK: Final = 500

_decode_result: Final = msgspec.json.Decoder(ev.Result).decode
_decode_record: Final = msgspec.json.Decoder(RequestRecord).decode


class ComparedPair(msgspec.Struct, frozen=True, kw_only=True):
    """Two requests that are compared."""

    a: str
    b: str


class _Stored(ResultBody, frozen=True, kw_only=True):
    """A result as the audit keeps it; a large content is left out."""

    def __post_init__(self) -> None:
        """Accept it; it was checked when it was published."""


async def read_logged(wire: RequestMultiplexer, ids: Sequence[str]) -> dict[str, RequestOutcome]:
    """Read the outcomes that the event log has, by id.

    Raises:
        StreamMissing, Unavailable: as :func:`infra.nats.log.first`.
        Unreadable: a stored result cannot be read.
    """
    wanted = list(dict.fromkeys(ids))
    owners = await _each(lambda request_id: log.owner(wire, request_id), wanted)
    known = [
        (request_id, owner) for request_id, owner in zip(wanted, owners, strict=True) if owner is not None
    ]
    results = await _results(wire, [request_id for request_id, _ in known])
    outcomes = await _each(lambda one: _outcome(wire, one[0], one[1], results.get(one[0])), known)
    return {each.request_id: each for each in outcomes}


def read_audited(engine: Engine, ids: Sequence[str]) -> dict[str, RequestOutcome]:
    """Read the outcomes that the audit has, by id; contents above 64 KiB are not among them.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    found: dict[str, RequestOutcome] = {}
    columns = GENERATIONS.c
    with reading(engine) as connection:
        for start in range(0, len(ids), _CHUNK):
            query = (
                select(columns.request_id, columns.record)
                .where(
                    columns.request_id.in_(list(ids[start : start + _CHUNK])),
                    columns.requested_at_ms.is_not(None),
                    columns.status != REPEATED,
                )
                .order_by(columns.request_id, columns.life_ms)
            )
            # Of several requests with one id the latest counts, as in the log.
            found |= {row[0]: _audited(_decode_record(row[1])) for row in connection.execute(query)}
    return found


def find_shadows(engine: Engine, job: str) -> tuple[ComparedPair, ...]:
    """Find the pairs of a rerun: each shadow with the request that it repeats, in the order of their ids.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    prefix = f"{subjects.SHADOW}{job}-"
    columns = GENERATIONS.c
    query = (
        select(columns.request_id, columns.replay_of)
        .where(
            columns.request_id.startswith(prefix, autoescape=True),
            columns.replay_of.is_not(None),
            columns.status != REPEATED,
        )
        .distinct()
    )
    with reading(engine) as connection:
        rows = [(str(row[0]), str(row[1])) for row in connection.execute(query)]
    # SQLite's LIKE ignores case.
    return tuple(
        ComparedPair(a=original, b=shadow) for shadow, original in sorted(rows) if shadow.startswith(prefix)
    )


async def _results(wire: RequestMultiplexer, ids: Sequence[str]) -> dict[str, LogEntry]:
    parts = [ids[start : start + _BATCH] for start in range(0, len(ids), _BATCH)]
    found = await _each(
        lambda part: log.last_of_each(wire, pipeline.EVENTS, [subjects.any_answer(each) for each in part]),
        parts,
    )
    return {entry.subject.rpartition(".")[2]: entry for entries in found for entry in entries}


async def _outcome(
    wire: RequestMultiplexer, request_id: str, owner: LogEntry, ended: LogEntry | None
) -> RequestOutcome:
    body = _object(owner.body)
    result = None if ended is None else _read(ended)
    content = None if result is None else result.content
    if result is not None and result.content_ref is not None:
        content = msgspec.json.decode(await Assets(wire).get(result.content_ref))
    return RequestOutcome(
        request_id=request_id,
        kind=subjects.parse(owner.subject).kind,
        body=body,
        result=result,
        content=content,
        latency_ms=None if ended is None else max(0, ended.time_ms - owner.time_ms),
        replay_of=_text(body, "replay_of", "replayOf"),
    )


def _read(ended: LogEntry) -> ev.Result:
    try:
        return _decode_result(ended.body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise Unreadable(f"the result on {ended.subject} cannot be read: {error}") from None


def _audited(record: RequestRecord) -> RequestOutcome:
    asked, end = record.asked, record.end
    result = None if end is None else msgspec.convert(end.result, _Stored)
    body: dict[str, Any] | None = None
    if asked is not None and asked.prompt is not None:
        body = {name.removesuffix("_"): value for name, value in asked.parameters.items()}
        body["prompt"] = asked.prompt
    began = record.life_ms or (asked.at_ms if asked else None)
    return RequestOutcome(
        request_id=record.request_id,
        kind=record.kind,
        body=body,
        result=result,
        content=None if result is None else result.content,
        latency_ms=max(0, end.at_ms - began) if end is not None and began else None,
        replay_of=asked.replay_of if asked else None,
    )


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None


def _text(body: Mapping[str, Any] | None, *names: str) -> str | None:
    found = (cast("dict[str, Any]", body or {}).get(name) for name in names)
    return next((each for each in found if isinstance(each, str)), None)


async def _each(call: Callable[[Any], Awaitable[T]], items: Iterable[Any]) -> list[T]:
    """Call for each item, some at a time; the answers in the order of the items."""
    room = asyncio.Semaphore(_AT_ONCE)

    async def one(item: Any) -> T:
        async with room:
            return await call(item)

    return list(await asyncio.gather(*(one(item) for item in items)))
