"""Statistics of single nodes: latency, cost, cache hits and stand-ins of a window, and the latest results.

Shadows, and so tests of nodes, count nowhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Engine, Select, and_, bindparam, select

from contracts.result import Status
from infra.inspect.figures import FAILURES, STAND_INS, SUCCESSES, UNANSWERED, Percentiles, percentiles
from infra.stores.database import GENERATION_LOGS, GENERATIONS, reading

#: Latest results of a node.
LATEST: Final = 20
#: Nodes in one query.
_CHUNK: Final = 256
#: Rows that the driver fetches at once.
_PAGE: Final = 5_000

_logs, _requests = GENERATION_LOGS.c, GENERATIONS.c
_SUMS: Final = (_logs.prompt_tokens, _logs.completion_tokens, _logs.cost)
_OUTCOME: Final = (
    _logs.request_id,
    _logs.status,
    _logs.origin,
    _logs.error_code,
    _logs.latency_ms,
    _logs.ended_at_ms,
)
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
    found = {name: _NodeSum() for name in sorted(set(names))}
    latest: dict[str, tuple[NodeOutcome, ...]] = {}
    window = _of_workspace(select(_logs.node_id, _logs.status, _logs.latency_ms, *_SUMS), workspace).where(
        _logs.ended_at_ms >= since_ms, _logs.ended_at_ms < until_ms
    )
    newest = (
        _of_workspace(select(*_OUTCOME), workspace)
        .where(_logs.node_id == bindparam("name"))
        .order_by(_logs.ended_at_ms.desc())
        .limit(LATEST)
    )
    wanted = list(found)
    with reading(engine) as connection:
        for start in range(0, len(wanted), _CHUNK):
            some = window.where(_logs.node_id.in_(wanted[start : start + _CHUNK]))
            for name, status, latency, *sums in connection.execution_options(yield_per=_PAGE).execute(some):
                found[name].add(status, latency, sums)
        for name in wanted:
            rows = connection.execute(newest, {"name": name}).mappings()
            latest[name] = tuple(NodeOutcome(**row) for row in rows)
    return {name: each.measure(latest[name]) for name, each in found.items()}


def _of_workspace(query: Any, workspace: str | None) -> Select[*tuple[Any, ...]]:
    """The results of requests of a workspace, without shadows."""
    return query.join(GENERATIONS, _SAME).where(
        _logs.shadow.is_(None),
        _requests.workspace.is_(None) if workspace is None else _requests.workspace == workspace,
    )


class _NodeSum:
    """The results of one node in a window."""

    def __init__(self) -> None:
        self._statuses: Counter[str] = Counter()
        self._latency: list[float] = []
        self._sums: list[Any] = [None] * len(_SUMS)

    def add(self, status: str, latency: int | None, sums: Sequence[Any]) -> None:
        """Add a result."""
        self._statuses[status] += 1
        if latency is not None and status not in UNANSWERED:
            self._latency.append(latency)
        for index, value in enumerate(sums):
            if value is not None:
                self._sums[index] = (self._sums[index] or 0) + value

    def measure(self, latest: tuple[NodeOutcome, ...]) -> NodeFigures:
        """The figures."""
        statuses = self._statuses
        answered = sum(number for status, number in statuses.items() if status not in UNANSWERED)

        def share(of: Iterable[str]) -> float | None:
            return round(sum(statuses[each] for each in of) / answered, 4) if answered else None

        prompt, completion, cost = self._sums
        return NodeFigures(
            requests=statuses.total(),
            statuses=dict(statuses.most_common()),
            answered=answered,
            success_rate=share(SUCCESSES),
            stand_in_rate=share(STAND_INS),
            failure_rate=share(FAILURES),
            cache_hits=statuses[Status.CACHED],
            cache_hit_rate=share((Status.CACHED,)),
            latency_ms=percentiles([self._latency]),
            prompt_tokens=prompt,
            completion_tokens=completion,
            cost=cost,
            latest=latest,
        )
