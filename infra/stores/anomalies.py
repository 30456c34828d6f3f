"""Anomalies: messages of the log that are not what they claim to be.

A result counts only for the request that it names.  Reported are results after the first one of a request,
results without a request, and events of the pipeline whose headers name another message, or a publisher that
may not publish them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Engine, and_, exists, func, literal, select, union_all

from infra.stores.database import ANOMALIES, GENERATION_LOGS, GENERATIONS, reading
from infra.stores.foreign_messages import FOREIGN
from stages.audit.fold import UNREQUESTED

#: A result after the first one of its request.
SECOND: Final = "second"
#: Seconds after which everything that belongs before a result has arrived.
GRACE_S: Final = 30
#: Milliseconds for which an anomaly is reported; the log keeps no event longer.
REPORTED_FOR_MS: Final = 7 * 86_400_000

#: What each kind means, for people.
MEANING: Final = {
    SECOND: "results after the first one of their request",
    UNREQUESTED: "results without a request",
    "source": "events from a publisher that may not publish them",
    "identity": "events that name another message",
    FOREIGN: "messages under subjects that their stream does not keep, which nothing reads",
}


class Anomalies(msgspec.Struct, frozen=True, kw_only=True):
    """Anomalies of a period."""

    #: Number of each kind that occurs.
    counts: dict[str, int]
    #: Ids of the first requests concerned.
    ids: tuple[str, ...]

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} {MEANING.get(kind, kind)}" for kind, count in self.counts.items())
        return f"{kinds}: {', '.join(self.ids)}"


def find(
    engine: Engine, *, now_ms: int, log_since_ms: int | None, since_ms: int | None = None, most: int = 5
) -> Anomalies:
    """Count the anomalies among messages that the log still has, or has just lost.

    Args:
        engine: the database.
        now_ms: ms since the epoch.
        log_since_ms: when the oldest message of REQUESTS was stored, if audit has read them all: an earlier result
            may have had a request that is deleted.  None: unknown.
        since_ms: only later messages; none: as far back as anomalies are reported.
        most: greatest number of ids.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    since = now_ms - REPORTED_FOR_MS if since_ms is None else since_ms
    until = now_ms - GRACE_S * 1000
    row, log, odd = GENERATIONS.c, GENERATION_LOGS.c, ANOMALIES.c
    earlier = GENERATION_LOGS.alias().c
    second = select(literal(SECOND).label("kind"), log.request_id, log.ended_at_ms.label("at_ms")).where(
        log.ended_at_ms >= since,
        exists().where(
            earlier.request_id == log.request_id,
            earlier.life_ms == log.life_ms,
            earlier.life_ms > 0,
            earlier.id != log.id,
            (earlier.ended_at_ms < log.ended_at_ms)
            | and_(earlier.ended_at_ms == log.ended_at_ms, earlier.sequence < log.sequence),
        ),
    )
    forgotten = now_ms if log_since_ms is None else log_since_ms
    unrequested = select(literal(UNREQUESTED), row.request_id, row.ended_at_ms).where(
        row.status == UNREQUESTED,
        row.ended_at_ms.between(since, until),
        # A result that names no request cannot have had one that is deleted.
        (row.life_ms == 0) | (row.life_ms >= forgotten),
    )
    contradicting = select(odd.kind, odd.request_id, odd.at_ms).where(odd.at_ms >= since)
    found = union_all(second, unrequested, contradicting).subquery()
    by_kind = select(found.c.kind, func.count()).group_by(found.c.kind).order_by(found.c.kind)
    first = (
        select(found.c.request_id).group_by(found.c.request_id).order_by(func.min(found.c.at_ms)).limit(most)
    )
    with reading(engine) as connection:
        return Anomalies(
            counts={row[0]: row[1] for row in connection.execute(by_kind)},
            ids=tuple(connection.execute(first).scalars()),
        )


def log_since_ms(stream: Mapping[str, Any], consumer: Mapping[str, Any]) -> int | None:
    """When the log stored its oldest request, ms since the epoch; ``None`` if audit has not read all of them.

    Args:
        stream: information of the JetStream API about REQUESTS.
        consumer: the same about audit's consumer.
    """
    state = stream["state"]
    if not state["messages"] or consumer["num_pending"] or consumer["num_ack_pending"]:
        return None
    return int(datetime.fromisoformat(state["first_ts"]).timestamp() * 1000)
