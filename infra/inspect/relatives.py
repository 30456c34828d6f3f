"""Relatives of a request: replays and shadows of it, requests that share its content, and the leader that it waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec
from sqlalchemy import ColumnElement, Engine, func, or_, select

from contracts import bucket_table, request, subjects
from infra.nats import buckets, log, submissions
from infra.stores.database import GENERATIONS, reading
from stages.audit.fold import REPEATED

if TYPE_CHECKING:
    from infra.nats.log import LogEntry
    from infra.nats.multiplexer import RequestMultiplexer

#: How a request is related to the one that was asked about.  A follower waited for its result, a reuse came later.
Relation = Literal["replay", "shadow", "follower", "reuse"]
#: Relatives that are listed.
MOST: Final = 50
#: Leaders that are looked up at once.
_BATCH: Final = 256


class Relative(msgspec.Struct, frozen=True, kw_only=True):
    """One request that descends from another one."""

    relation: Relation
    request_id: str
    kind: str
    status: str
    origin: str | None
    #: Broker's timestamp of ``requested``, ms since the epoch; ``None`` if unknown.
    requested_at_ms: int | None


class Relatives(msgspec.Struct, frozen=True, kw_only=True):
    """The relatives of one request, oldest first."""

    found: tuple[Relative, ...] = ()
    #: How many more there are, newer than these.
    more: int = 0


def find_relatives(engine: Engine, request_id: str, *, ended_at_ms: int | None = None) -> Relatives:
    """Find the requests that descend from one.

    Args:
        engine: the database of the audit.
        request_id: the request.
        ended_at_ms: when it got its result, ms since the epoch: who asked before that waited for it.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    columns = GENERATIONS.c
    conditions: list[ColumnElement[bool]] = [
        or_(columns.replay_of == request_id, columns.generated_for == request_id),
        columns.request_id != request_id,
        columns.status != REPEATED,
    ]
    query = (
        select(
            columns.request_id,
            columns.kind,
            columns.status,
            columns.origin,
            columns.requested_at_ms,
            columns.replay_of,
            columns.shadow,
        )
        .where(*conditions)
        .order_by(columns.requested_at_ms, columns.request_id)
        .limit(MOST)
    )
    with reading(engine) as connection:
        rows = connection.execute(query).mappings().all()
        count = len(rows)
        if count == MOST:
            counting = select(func.count()).select_from(GENERATIONS).where(*conditions)
            count = int(connection.execute(counting).scalar_one())
    found = tuple(
        Relative(
            relation=_relation(
                repeats=row["replay_of"] == request_id,
                shadow=bool(row["shadow"]),
                waited=ended_at_ms is not None and (row["requested_at_ms"] or 0) < ended_at_ms,
            ),
            request_id=row["request_id"],
            kind=row["kind"],
            status=row["status"],
            origin=row["origin"],
            requested_at_ms=row["requested_at_ms"],
        )
        for row in rows
    )
    return Relatives(found=found, more=count - len(found))


def _relation(*, repeats: bool, shadow: bool, waited: bool) -> Relation:
    if repeats:
        return "shadow" if shadow else "replay"
    return "follower" if waited else "reuse"


async def find_leader(wire: RequestMultiplexer, asked: LogEntry) -> str | None:
    """Find the running request for the same content that a request waits for; ``None``: there is none.

    Args:
        wire: an open wire.
        asked: the waiting request's ``requested``.

    Raises:
        StreamMissing, Unavailable: the broker does not answer.
    """
    own_hash, own_id = _input_hash(asked), asked.subject.rpartition(".")[2]
    if own_hash is None:
        return None
    leases = log.read(wire, bucket_table.FLIGHTS.stream, f"$KV.{bucket_table.FLIGHTS.name}.>")
    ids = {
        each.body.decode("ascii", "replace") async for each in leases if buckets.OPERATION not in each.headers
    }
    leaders = sorted(each for each in ids - {own_id} if subjects.addressable(each))
    for at in range(0, len(leaders), _BATCH):
        found = await submissions.owners(wire, leaders[at : at + _BATCH])
        for leader in (each for each, entry in found.items() if _input_hash(entry) == own_hash):
            # The id may have been published again since: the first request has it.
            owner = await log.owner(wire, leader)
            if owner is not None and _input_hash(owner) == own_hash:
                return leader
    return None


def _input_hash(asked: LogEntry) -> str | None:
    try:
        kind = subjects.parse(asked.subject).kind
        return request.read(asked.body, kind).input_hash(kind)
    except (subjects.SubjectError, request.RequestError):
        return None
