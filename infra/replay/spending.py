"""Spending of replay jobs: what their requests have taken, and how far earlier estimates were off."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec
from sqlalchemy import Engine, func, select

from infra.replay.estimates import KindUsage, read_usage
from infra.replay.jobs import JobState, read_job
from infra.replay.plans import ItemState
from infra.stores.database import GENERATION_LOGS, reading
from infra.stores.replay_tables import REPLAY_ITEMS, REPLAY_JOBS

_jobs, _items = REPLAY_JOBS.c, REPLAY_ITEMS.c
#: Jobs whose estimates are compared with what came.
_PAST: Final = 10


class JobSpending(msgspec.Struct, frozen=True, kw_only=True):
    """What the published requests of a job have taken so far."""

    ended: int = 0
    tokens: int = 0
    money: float = 0.0
    #: Ended requests by status.
    statuses: dict[str, int] = {}


def read_spent(engine: Engine, job: int) -> JobSpending:
    """What the published requests of a job have taken, as far as audit has their results."""
    logs = GENERATION_LOGS.c
    mine = select(_items.request_id).where(
        _items.job == job, _items.state.in_([str(ItemState.PUBLISHED), str(ItemState.UNDONE)])
    )
    query = (
        select(
            logs.status,
            func.count(),
            func.sum(func.coalesce(logs.prompt_tokens, 0) + func.coalesce(logs.completion_tokens, 0)),
            func.sum(func.coalesce(logs.cost, 0.0)),
        )
        .where(logs.request_id.in_(mine))
        .group_by(logs.status)
    )
    with reading(engine) as connection:
        rows = connection.execute(query).all()
    return JobSpending(
        ended=sum(row[1] for row in rows),
        tokens=int(sum(row[2] or 0 for row in rows)),
        money=float(sum(row[3] or 0.0 for row in rows)),
        statuses={row[0]: row[1] for row in rows},
    )


def usage_of(engine: Engine, kinds: Iterable[str]) -> dict[str, KindUsage]:
    """What requests of some kinds have taken, by kind."""
    with reading(engine) as connection:
        return read_usage(connection, kinds)


def past_pairs(engine: Engine) -> list[tuple[float, float]]:
    """Likely and actual tokens of the latest jobs that are done and had an estimate."""
    with reading(engine) as connection:
        query = select(REPLAY_JOBS).where(_jobs.state == str(JobState.DONE)).order_by(_jobs.job.desc())
        found = [read_job(row) for row in connection.execute(query.limit(_PAST)).mappings()]
    pairs: list[tuple[float, float]] = []
    for each in found:
        likely, spent = each.estimate.tokens.likely, read_spent(engine, each.job)
        if likely and spent.ended >= each.estimate.generated:
            pairs.append((likely, float(spent.tokens)))
    return pairs
