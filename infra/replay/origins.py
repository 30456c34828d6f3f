"""Origins: what a replay repeats, read from the log: dead letters, and past requests that a filter finds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
from sqlalchemy import Engine, select

from contracts import pipeline, subjects
from contracts.errors import UnderstudyError
from contracts.pipeline import REQUESTS
from infra.inspect.filter_conditions import build_conditions
from infra.nats import log
from infra.nats.lookup import Lookup
from infra.replay import letters
from infra.replay.letters import Unreplayable
from infra.replay.marks import ReplayMarks
from infra.stores.database import GENERATIONS, reading

if TYPE_CHECKING:
    from infra.inspect.dead_letters import Letter
    from infra.inspect.request_filter import RequestFilter
    from infra.nats.log import LogEntry
    from infra.nats.multiplexer import RequestMultiplexer

T = TypeVar("T")
R = TypeVar("R")
#: Reads in flight.
_AT_ONCE: Final = 128
#: Messages in one read of a range, and how many of them must be asked for to make it worth while.
_RANGE: Final = 256
_DENSE: Final = 48
#: Most requests of one selection, and most bytes of their bodies: a plan holds them all in memory.
MOST: Final = 100_000
MOST_BYTES: Final = 512 * 1024**2
#: Rows that are read at once; each has a whole record.
_ROWS: Final = 500
#: Why a request cannot be repeated.
GONE: Final = "its request is no longer in the log, which keeps requests for 7 days, and ended ones less when it fills up"

#: The same of an id that the audit knows from other events alone.
UNASKED: Final = "the audit has seen no request with this id, only other events"
#: Those that quote nothing.
FIXED: Final = frozenset({GONE, UNASKED, letters.SHADOW})


class TooManyOrigins(UnderstudyError):  # noqa: N818 - names the state of the selection
    """A selection that is too large to be planned as a whole; the text says what to do."""


class ReplayOrigin(msgspec.Struct, frozen=True, kw_only=True):
    """One request to repeat."""

    #: Stream and sequence of the message that is repeated.
    stream: str
    sequence: int
    #: Sequence of the dead letter; ``None``: a request without one.
    letter: int | None = None
    #: The id in the message.
    named: str | None = None
    #: The request whose subscribers get the content; ``None`` for a letter that never was the id's request.
    replay_of: str | None = None
    kind: str = ""
    body: bytes = b""
    #: Why it cannot be repeated.
    refusal: str | None = None

    @property
    def title(self) -> str:
        """What people call it."""
        return f"letter {self.letter}" if self.letter is not None else str(self.named)

    @property
    def key(self) -> tuple[int, str, int]:
        """What tells it from every other origin."""
        return (self.letter or 0, self.stream, self.sequence)


class _Asked(msgspec.Struct, frozen=True):
    sequence: int | None = None


class _Record(msgspec.Struct, frozen=True):
    asked: _Asked | None = None


_decode: Final = msgspec.json.Decoder(_Record).decode


def select_requests(
    engine: Engine, where: RequestFilter, *, limit: int | None, ids: Sequence[str] = ()
) -> list[tuple[str, int]]:
    """Ids and sequences of the requests that match a filter, in the order in which they came.

    Replays and shadows of other requests match only where the filter, or ``ids``, names them.

    Args:
        engine: the database.
        where: the filter.
        limit: the latest requests at most; none: all.
        ids: only these requests; none: all.

    Raises:
        TooManyOrigins: more than :data:`MOST` match.
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    if ids:
        return _select_named(engine, where, ids, limit=limit)
    asked = GENERATIONS.c.requested_at_ms
    most = MOST + 1 if limit is None else min(limit, MOST + 1)
    found: list[tuple[str, int]] = []
    with reading(engine) as connection:
        conditions = build_conditions(where, dialect=connection.dialect.name)
        if where.request_id is None:
            conditions.append(GENERATIONS.c.replay_of.is_(None))
        query = select(GENERATIONS.c.request_id, GENERATIONS.c.record).where(*conditions)
        query = query.order_by(asked.desc(), GENERATIONS.c.request_id).limit(most)
        for request_id, record in connection.execute(query.execution_options(yield_per=_ROWS)):
            found.append((request_id, _read_sequence(record)))
    check_size(len(found))
    return found[::-1]


def _select_named(
    engine: Engine, where: RequestFilter, ids: Sequence[str], *, limit: int | None
) -> list[tuple[str, int]]:
    check_size(len(ids))
    # Each is refused with its reason.
    where = msgspec.structs.replace(where, shadows=True)
    columns = (GENERATIONS.c.requested_at_ms, GENERATIONS.c.request_id, GENERATIONS.c.record)
    found: list[tuple[int, str, int]] = []
    wanted = sorted(set(ids))
    with reading(engine) as connection:
        conditions = build_conditions(where, dialect=connection.dialect.name)
        for start in range(0, len(wanted), _ROWS):
            some = GENERATIONS.c.request_id.in_(wanted[start : start + _ROWS])
            rows = connection.execute(select(*columns).where(*conditions, some))
            found += [(row[0], row[1], _read_sequence(row[2])) for row in rows]
    found.sort()
    return [(request_id, sequence) for _, request_id, sequence in found][-(limit or len(found)) :]


def _read_sequence(record: bytes | str) -> int:
    """The sequence of a request in REQUESTS; 0: it is not known."""
    asked = _decode(record).asked
    return 0 if asked is None or asked.sequence is None else asked.sequence


def check_size(count: int, size: int = 0) -> None:
    """Refuse a selection that is too large.

    Args:
        count: its requests.
        size: bytes of their bodies.

    Raises:
        TooManyOrigins: it is.
    """
    if count > MOST or size > MOST_BYTES:
        raise TooManyOrigins(
            f"more than {MOST:,} requests, or {MOST_BYTES // 1024**2} MiB of them, are too many for one job; use --limit, or "
            "--since and --until for one part after the other"
        )


async def read_requests(wire: RequestMultiplexer, found: Sequence[tuple[str, int]]) -> list[ReplayOrigin]:
    """The origins of past requests, by id and sequence in REQUESTS.

    Raises:
        TooManyOrigins: as :func:`read_many`.
        StreamMissing, Unavailable: as :func:`infra.nats.log.get`.
    """
    entries = await read_many(wire, REQUESTS, [sequence for _, sequence in found if sequence])
    roots = Roots(wire)
    return await gather(found, lambda each: _read_request(each[0], each[1], entries.get(each[1]), roots))


async def read_letters(wire: RequestMultiplexer, found: Iterable[Letter]) -> list[ReplayOrigin]:
    """The origins of dead letters.

    Raises:
        StreamMissing, Unavailable: as :func:`infra.nats.log.get`.
    """
    roots = Roots(wire)
    return await gather(list(found), lambda letter: _read_letter(wire, letter, roots))


class Roots:
    """The request that a replay of a replay repeats: the first one, where an operator started the replay.

    Args:
        wire: an open wire.
    """

    def __init__(self, wire: RequestMultiplexer) -> None:
        self._marks = ReplayMarks(Lookup(wire))

    async def find(self, request_id: str, body: bytes) -> str:
        """The request whose subscribers get the content of a repetition of ``request_id``."""
        # Cheaper than decoding a body that says nothing of the kind.
        if b"replay" not in body:
            return request_id
        claimed = letters.find_claimed_root(body)
        known = claimed is not None and await self._marks.holds(request_id, claimed)
        return claimed if known and claimed is not None else request_id


async def read_many(wire: RequestMultiplexer, stream: str, sequences: Iterable[int]) -> dict[int, LogEntry]:
    """The messages with some sequences; those that the stream no longer has are left out.

    Raises:
        TooManyOrigins: together they are larger than :data:`MOST_BYTES`.
        StreamMissing, Unavailable: as :func:`infra.nats.log.get`.
    """
    wanted = sorted(set(sequences))
    found: dict[int, LogEntry] = {}
    single: list[int] = []
    size = at = 0

    def take(entry: LogEntry) -> None:
        nonlocal size
        found[entry.sequence] = entry
        size += len(entry.body)
        check_size(len(found), size)

    async def take_single(sequence: int) -> None:
        entry = await log.get(wire, stream, sequence)
        if entry is not None:
            take(entry)

    while at < len(wanted):
        start, end = wanted[at], at
        while end < len(wanted) and wanted[end] < start + _RANGE:
            end += 1
        if end - at >= _DENSE:
            asked = set(wanted[at:end])
            async for entry in log.read(wire, stream, ">", start=start):
                if entry.sequence in asked:
                    take(entry)
                if entry.sequence >= wanted[end - 1]:
                    break
        else:
            single += wanted[at:end]
        at = end
    await gather(single, take_single)
    return found


async def _read_request(request_id: str, sequence: int, entry: LogEntry | None, roots: Roots) -> ReplayOrigin:
    origin = ReplayOrigin(stream=REQUESTS, sequence=sequence, named=request_id, replay_of=request_id)
    if subjects.is_shadow(request_id):
        return msgspec.structs.replace(origin, refusal=letters.SHADOW)
    if entry is None:
        return msgspec.structs.replace(origin, refusal=GONE if sequence else UNASKED)
    address = subjects.parse(entry.subject)
    if address.event != "requested" or address.request_id != request_id:
        # The stream was made anew, and its sequences begin again.
        return msgspec.structs.replace(origin, refusal=GONE)
    root = await roots.find(request_id, entry.body)
    return msgspec.structs.replace(origin, kind=address.kind, body=entry.body, replay_of=root)


async def _read_letter(wire: RequestMultiplexer, letter: Letter, roots: Roots) -> ReplayOrigin:
    origin = ReplayOrigin(
        stream=pipeline.DEAD, sequence=letter.sequence, letter=letter.sequence, named=letter.request_id
    )
    try:
        repeated = await letters.look_up(wire, letter)
    except Unreplayable as error:
        return msgspec.structs.replace(origin, refusal=str(error))
    replay_of = repeated.request_id
    if replay_of is not None:
        replay_of = await roots.find(replay_of, repeated.body)
    return msgspec.structs.replace(origin, kind=repeated.kind, body=repeated.body, replay_of=replay_of)


async def gather(items: Sequence[T], work: Callable[[T], Awaitable[R]]) -> list[R]:
    """Do the same for many, some at a time, in their order."""
    room = asyncio.Semaphore(_AT_ONCE)

    async def one(item: T) -> R:
        async with room:
            return await work(item)

    return list(await asyncio.gather(*(one(item) for item in items)))
