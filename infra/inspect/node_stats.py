"""Statistics of single nodes: latency, cost, cache hits and stand-ins of a window, and the latest results.

Shadows, and so tests of nodes, count nowhere.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Engine, Select, and_, select, union_all
from sqlalchemy.engine import Connection

from contracts.result import Status
from infra.inspect.figures import FAILURES, STAND_INS, SUCCESSES, UNANSWERED, Percentiles, percentiles
from infra.stores.database import GENERATION_LOGS, GENERATIONS, reading

#: Latest results of a node.
LATEST: Final = 20
#: Nodes in one query; SQLite takes 500 parts.
_CHUNK: Final = 100
#: Rows that the driver fetches at once.
_PAGE: Final = 5_000

_logs, _requests = GENERATION_LOGS.c, GENERATIONS.c
_SAME: Final = and_(_requests.request_id == _logs.request_id, _requests.life_ms == _logs.life_ms)


class NodeOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """One of the latest results of a node."""

    request_id: str
    status: str
    origin: str
    error_code: str | None
    latency_ms: int | None
    #: ms since the epoch.
    ended_at_ms: int


class NodeFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one node."""

    #: Results of the window.
    requests: int
    statuses: dict[str, int]
    #: Neither cancelled nor rejected; all rates are shares of them, ``None`` without one.
    answered: int
    success_rate: float | None
    stand_in_rate: float | None
    failure_rate: float | None
    #: Answered from the cache.
    cache_hits: int
    cache_hit_rate: float | None
    latency_ms: Percentiles | None
    prompt_tokens: int | None
    completion_tokens: int | None
    #: Money, in the providers' currency; ``None``: no provider named a price.
    cost: float | None
    #: The latest results, also those before the window, newest first.
    latest: tuple[NodeOutcome, ...]


def measure_nodes(
    engine: Engine, names: Iterable[str], *, workspace: str | None, since_ms: int, until_ms: int
) -> dict[str, NodeFigures]:
    """The figures of some nodes, each of which may have none.

    Args:
        engine: the database.
        names: ids of the nodes.
        workspace: of the requests; none: those without a workspace.
        since_ms: begin of the window: results that ended then or later.
        until_ms: its end: results that ended before.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    wanted = sorted(set(names))
    rows: dict[str, list[Any]] = defaultdict(list)
    latest: dict[str, list[NodeOutcome]] = defaultdict(list)
    with reading(engine) as connection:
        for start in range(0, len(wanted), _CHUNK):
            some = wanted[start : start + _CHUNK]
            query = _of_workspace(
                select(
                    _logs.node_id,
                    _logs.status,
                    _logs.latency_ms,
                    _logs.prompt_tokens,
                    _logs.completion_tokens,
                    _logs.cost,
                ),
                workspace,
            ).where(_logs.node_id.in_(some), _logs.ended_at_ms >= since_ms, _logs.ended_at_ms < until_ms)
            for row in connection.execution_options(yield_per=_PAGE).execute(query):
                rows[row.node_id].append(row)
            for row in _read_latest(connection, some, workspace):
                fields = dict(row)
                latest[fields.pop("node_id")].append(NodeOutcome(**fields))
    return {name: _measure(rows[name], latest[name]) for name in wanted}


def _of_workspace(query: Any, workspace: str | None) -> Select[*tuple[Any, ...]]:
    """The results of requests of a workspace, without shadows."""
    return query.join(GENERATIONS, _SAME).where(
        _logs.shadow.is_(None),
        _requests.workspace.is_(None) if workspace is None else _requests.workspace == workspace,
    )


def _read_latest(connection: Connection, names: Sequence[str], workspace: str | None) -> Iterable[Any]:
    parts = [
        _of_workspace(
            select(
                _logs.node_id,
                _logs.request_id,
                _logs.status,
                _logs.origin,
                _logs.error_code,
                _logs.latency_ms,
                _logs.ended_at_ms,
            ),
            workspace,
        )
        .where(_logs.node_id == name)
        .order_by(_logs.ended_at_ms.desc())
        .limit(LATEST)
        .subquery()
        for name in names
    ]
    every = union_all(*(select(part) for part in parts)).subquery()
    return connection.execute(select(every).order_by(every.c.ended_at_ms.desc())).mappings()


def _measure(rows: Sequence[Any], latest: Sequence[NodeOutcome]) -> NodeFigures:
    statuses = Counter(str(row.status) for row in rows)
    answered = sum(number for status, number in statuses.items() if status not in UNANSWERED)

    def share(of: Iterable[str]) -> float | None:
        return round(sum(statuses[each] for each in of) / answered, 4) if answered else None

    def total(name: str) -> Any:
        known = [value for row in rows if (value := getattr(row, name)) is not None]
        return sum(known) if known else None

    return NodeFigures(
        requests=len(rows),
        statuses=dict(statuses.most_common()),
        answered=answered,
        success_rate=share(SUCCESSES),
        stand_in_rate=share(STAND_INS),
        failure_rate=share(FAILURES),
        cache_hits=statuses[Status.CACHED],
        cache_hit_rate=share((Status.CACHED,)),
        latency_ms=percentiles(
            [[row.latency_ms for row in rows if row.latency_ms is not None and row.status not in UNANSWERED]]
        ),
        prompt_tokens=total("prompt_tokens"),
        completion_tokens=total("completion_tokens"),
        cost=total("cost"),
        latest=tuple(latest),
    )
