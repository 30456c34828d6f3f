"""Spending of replay jobs: what their requests have taken, and how far earlier estimates were off."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from sqlalchemy import Engine, and_, func, select, true

from infra.replay.estimates import PLOT, KindUsage, list_suffixes, read_usage
from infra.replay.jobs import JobState, read_job
from infra.replay.plans import ItemState
from infra.stores.database import GENERATION_LOGS, reading
from infra.stores.replay_tables import REPLAY_ITEMS, REPLAY_JOBS

_jobs, _items = REPLAY_JOBS.c, REPLAY_ITEMS.c
#: Jobs whose estimates are compared with what came.
_PAST: Final = 10
#: Ids in one question.
_CHUNK: Final = 500


class JobSpending(msgspec.Struct, frozen=True, kw_only=True):
    """What the published requests of a job have taken so far."""

    ended: int = 0
    tokens: int = 0
    money: float = 0.0
    #: Ended requests by status.
    statuses: dict[str, int] = {}


def read_spent(engine: Engine, job: int) -> JobSpending:
    """What the published requests of a job have taken, those of plots with their scenes, as far as audit has their results."""
    logs = GENERATION_LOGS.c
    known = [str(ItemState.PUBLISHED), str(ItemState.UNDONE)]
    published = and_(_items.job == job, _items.state.in_(known))
    mine = select(_items.request_id).where(published)
    suffixes = list_suffixes()
    of_plots = REPLAY_ITEMS.join(suffixes, true())
    scenes = select(_items.request_id + suffixes.c.suffix).select_from(of_plots)
    scenes = scenes.where(published, _items.kind == PLOT)
    taken = (
        func.count(),
        func.sum(func.coalesce(logs.prompt_tokens, 0) + func.coalesce(logs.completion_tokens, 0)),
        func.sum(func.coalesce(logs.cost, 0.0)),
    )
    with reading(engine) as connection:
        query = select(*taken, logs.status).where(logs.request_id.in_(mine)).group_by(logs.status)
        rows = connection.execute(query).all()
        of_scenes = connection.execute(select(*taken).where(logs.request_id.in_(scenes))).one()
    return JobSpending(
        ended=sum(row[0] for row in rows),
        tokens=int(sum(row[1] or 0 for row in (*rows, of_scenes))),
        money=float(sum(row[2] or 0.0 for row in (*rows, of_scenes))),
        statuses={row[3]: row[0] for row in rows},
    )


class ReplayOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """How one request of a job has ended."""

    status: str
    origin: str
    code: str | None
    latency_ms: int | None
    prompt_tokens: int | None
    completion_tokens: int | None
    cost: float | None


def find_ended(engine: Engine, request_ids: Sequence[str]) -> set[str]:
    """Those of some requests whose results the audit has."""
    found: set[str] = set()
    with reading(engine) as connection:
        for start in range(0, len(request_ids), _CHUNK):
            asked = GENERATION_LOGS.c.request_id.in_(request_ids[start : start + _CHUNK])
            found.update(connection.execute(select(GENERATION_LOGS.c.request_id).where(asked)).scalars())
    return found


def read_outcomes(engine: Engine, request_ids: Sequence[str]) -> dict[str, ReplayOutcome]:
    """How requests have ended, by id; those that the audit has no end of are left out."""
    columns = GENERATION_LOGS.c
    query = select(
        columns.request_id,
        columns.status,
        columns.origin,
        columns.error_code,
        columns.latency_ms,
        columns.prompt_tokens,
        columns.completion_tokens,
        columns.cost,
    ).order_by(columns.id)
    found: dict[str, ReplayOutcome] = {}
    with reading(engine) as connection:
        for start in range(0, len(request_ids), _CHUNK):
            asked = columns.request_id.in_(request_ids[start : start + _CHUNK])
            for request_id, *row in connection.execute(query.where(asked)):
                names = ReplayOutcome.__struct_fields__
                found[request_id] = ReplayOutcome(**dict(zip(names, row, strict=True)))
    return found


def find_usage(engine: Engine, kinds: Iterable[str]) -> dict[str, KindUsage]:
    """What requests of some kinds have taken, by kind."""
    with reading(engine) as connection:
        return read_usage(connection, kinds)


def read_past(engine: Engine) -> list[tuple[float, float]]:
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
