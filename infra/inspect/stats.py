"""Statistics of ended requests: latency, success, stand-ins, errors, tokens and cost over the last minutes to a day.

Everything comes from ``generation_logs``, which has one row for each result, over an index on the time of the end.
Percentiles are exact on every database: the value at rank ⌈q·n⌉ of the sorted values (nearest rank).
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import ceil
from typing import Any, Final

import msgspec
from sqlalchemy import Engine, Select, func, select

from contracts.result import Origin, Status
from infra.stores.database import GENERATION_LOGS, GENERATIONS, reading
from infra.stores.rows import STAGE_COLUMNS

#: Milliseconds of each window, by its name, shortest first.
WINDOWS: Final[dict[str, int]] = {"5m": 300_000, "1h": 3_600_000, "24h": 86_400_000}
#: The model's own content, of this request or an earlier one.
SUCCESSES: Final = frozenset({Status.SUCCESS, Status.CACHED})
#: What the fallback gave instead.
STAND_INS: Final = frozenset(
    {Status.CACHED_FALLBACK, Status.FAIL_FALLBACK, Status.PLACEHOLDER, Status.SKIPPED}
)
FAILURES: Final = frozenset({Status.FAILED, Status.FAIL_VALIDATION})
#: Ended by the client or at intake: counted, but part of no rate and no percentile.
UNANSWERED: Final = frozenset({Status.CANCELLED, Status.REJECTED})
#: Group of results that no provider was called for.
CACHE: Final = "result cache"
#: Rows that the driver fetches at once.
_PAGE: Final = 5_000

_LOGS: Final = GENERATION_LOGS.c
#: Columns that put a row into its groups.
_KEYS: Final = (
    _LOGS.kind,
    _LOGS.provider,
    _LOGS.model,
    _LOGS.node_id,
    _LOGS.status,
    _LOGS.origin,
    _LOGS.error_code,
    _LOGS.error_stage,
)
_SUMS: Final = (_LOGS.attempts, _LOGS.prompt_tokens, _LOGS.completion_tokens, _LOGS.cost)
_STAGES: Final = tuple(_LOGS[column] for column in STAGE_COLUMNS.values())


class Percentiles(msgspec.Struct, frozen=True, kw_only=True):
    """Exact percentiles, in milliseconds."""

    p50: float
    p95: float
    p99: float


class StandInReason(msgspec.Struct, frozen=True, kw_only=True):
    """One reason why something stood in for the model's content."""

    #: Error code; ``None``: the result named none.
    code: str | None
    requests: int
    #: Share of the answered requests.
    rate: float


class GroupFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one group of requests."""

    #: What the group is: a content kind, the id of a node, a provider; ``None``: requests without one.
    name: str | None = None
    #: Model of the provider.
    model: str | None = None
    #: Results, by status too.
    requests: int
    statuses: dict[str, int]
    #: Requests that were neither cancelled nor rejected.  All rates are shares of them.
    answered: int
    #: ``success`` and ``cached``; ``None`` without an answered request, as every rate.
    success_rate: float | None
    #: Share that got a golden sample, default content, a placeholder or nothing by choice (``skipped``).
    stand_in_rate: float | None
    #: The same by error code, most frequent first.
    stand_ins: tuple[StandInReason, ...]
    #: Share that ended without content: ``failed`` and ``fail_validation``.
    failure_rate: float | None
    #: Error codes of all results, whether something stood in or not.
    errors: dict[str, int]
    #: From ``requested`` to the result, of answered requests.
    latency_ms: Percentiles | None
    #: Provider calls.
    calls: int
    prompt_tokens: int | None
    completion_tokens: int | None
    #: Money, in the providers' currency; ``None``: no provider named a price.
    cost: float | None


class StageFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one stage."""

    name: str
    #: Answered requests that the stage worked on or failed.
    requests: int
    #: Its work on one request, all attempts together.
    work_ms: Percentiles | None
    #: Error codes of answered requests that failed there, whether something stood in or not.
    errors: dict[str, int]
    #: Their share of ``requests``; ``None`` without a request.
    failure_rate: float | None


class WindowStats(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one window; groups with the most requests come first."""

    #: As in :data:`WINDOWS`.
    window: str
    #: Time of the end of a request, ms since the epoch: not before, and before.
    since_ms: int
    until_ms: int
    total: GroupFigures
    providers: tuple[GroupFigures, ...]
    kinds: tuple[GroupFigures, ...]
    nodes: tuple[GroupFigures, ...]
    #: In the order of the pipeline.
    stages: tuple[StageFigures, ...]


class PipelineStats(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics at one moment."""

    until_ms: int
    #: Requests without a result, and when the oldest of them came.
    open: int
    open_since_ms: int | None
    windows: tuple[WindowStats, ...]


class _Cell:
    """The results of one window that agree in all of ``_KEYS``."""

    __slots__ = ("calls", "completion", "cost", "latency", "number", "prompt", "work")

    def __init__(self) -> None:
        self.number = 0
        self.calls = 0
        self.prompt: int | None = None
        self.completion: int | None = None
        self.cost: float | None = None
        self.latency = array("d")
        self.work = tuple(array("d") for _ in _STAGES)

    def add(self, latency: int | None, sums: Sequence[Any], work: Sequence[float | None]) -> None:
        self.number += 1
        calls, prompt, completion, cost = sums
        self.calls += calls
        if prompt is not None:
            self.prompt = (self.prompt or 0) + prompt
        if completion is not None:
            self.completion = (self.completion or 0) + completion
        if cost is not None:
            self.cost = (self.cost or 0.0) + cost
        if latency is not None:
            self.latency.append(latency)
        for values, value in zip(self.work, work, strict=True):
            if value is not None:
                values.append(value)


#: kind, provider, model, node, status, origin, error code, error stage.
_Key = tuple[str, str | None, str | None, str | None, str, str, str | None, str | None]
_Cells = dict[_Key, _Cell]
#: Name and model of a group.
_Group = tuple[str | None, str | None]


def find_end(engine: Engine, *, now_ms: int) -> int:
    """The end of the windows: now, or after the latest result where the broker's clock is ahead of this machine's.

    Args:
        engine: the database.
        now_ms: this machine's time, ms since the epoch.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    with reading(engine) as connection:
        latest = connection.execute(select(func.max(_LOGS.ended_at_ms))).scalar()
    return now_ms if latest is None else max(now_ms, latest + 1)


def collect_stats(engine: Engine, *, until_ms: int, windows: Mapping[str, int] = WINDOWS) -> PipelineStats:
    """Read the statistics of the windows that end at a time.

    Shadow requests count nowhere.

    Args:
        engine: the database.
        until_ms: end of every window, ms since the epoch.
        windows: milliseconds of each window, by its name.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    spans = sorted(windows.items(), key=lambda each: each[1])
    starts = [until_ms - span for _, span in spans]
    # A row goes into the shortest window that has it; the longer ones contain the shorter.
    cells: list[_Cells] = [{} for _ in spans]
    with reading(engine) as connection:
        rows = connection.execution_options(yield_per=_PAGE).execute(
            select_logs(since_ms=min(starts, default=until_ms), until_ms=until_ms)
        )
        for row in rows:
            ended = row[0]
            window = next(number for number, start in enumerate(starts) if ended >= start)
            key = row[2:_END_OF_KEYS]
            cell = cells[window].get(key)
            if cell is None:
                cell = cells[window][key] = _Cell()
            cell.add(row[1], row[_END_OF_KEYS:_END_OF_SUMS], row[_END_OF_SUMS:])
        waiting = connection.execute(select_open()).one()
    contained: list[list[tuple[_Key, _Cell]]] = []
    for each in cells:
        contained.append([*(contained[-1] if contained else ()), *each.items()])
    return PipelineStats(
        until_ms=until_ms,
        open=waiting[0],
        open_since_ms=waiting[1],
        windows=tuple(
            _measure(name, start, until_ms, found)
            for (name, _), start, found in zip(spans, starts, contained, strict=True)
        ),
    )


_END_OF_KEYS: Final = 2 + len(_KEYS)
_END_OF_SUMS: Final = _END_OF_KEYS + len(_SUMS)


def measure_stages(engine: Engine, *, until_ms: int, most: int = 2_000) -> dict[str, Percentiles]:
    """The work of each stage on one request, in the latest results of a day; without shadows.

    Args:
        engine: the database.
        until_ms: end of the day, ms since the epoch.
        most: results at most.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    query = select_logs(since_ms=until_ms - WINDOWS["24h"], until_ms=until_ms)
    with reading(engine) as connection:
        rows = connection.execute(query.order_by(_LOGS.ended_at_ms.desc()).limit(most)).all()
    columns = zip(*(row[_END_OF_SUMS:] for row in rows), strict=True)
    found = {
        name: percentiles([[value for value in column if value is not None]])
        for name, column in zip(STAGE_COLUMNS, columns, strict=False)
    }
    return {name: each for name, each in found.items() if each is not None}


def select_logs(*, since_ms: int, until_ms: int) -> Select[*tuple[Any, ...]]:
    """The query for results of a window, without shadows; the index on ``ended_at_ms`` serves it."""
    return select(_LOGS.ended_at_ms, _LOGS.latency_ms, *_KEYS, *_SUMS, *_STAGES).where(
        _LOGS.ended_at_ms >= since_ms,
        _LOGS.ended_at_ms < until_ms,
        _LOGS.shadow.is_(None),
    )


def select_open() -> Select[*tuple[Any, ...]]:
    """The query for the number of requests without a result and the time of the oldest, without shadows.

    The index on ``open_since_ms`` serves it.
    """
    since = GENERATIONS.c.open_since_ms
    # A range, since SQLite uses no index for "is not null"; null is in no range.
    return select(func.count(since), func.min(since)).where(since >= 0, GENERATIONS.c.shadow.is_(None))


def _measure(window: str, since_ms: int, until_ms: int, cells: Iterable[tuple[_Key, _Cell]]) -> WindowStats:
    found = list(cells)
    return WindowStats(
        window=window,
        since_ms=since_ms,
        until_ms=until_ms,
        total=_figures(found),
        providers=_grouped(found, by=_provider),
        kinds=_grouped(found, by=_kind),
        nodes=_grouped(found, by=_node),
        stages=tuple(_stage(number, name, found) for number, name in enumerate(STAGE_COLUMNS)),
    )


def _provider(key: _Key) -> _Group:
    # The provider of the first generation was not called for this request.
    return (CACHE, None) if key[5] == Origin.CACHE else (key[1], key[2])


def _kind(key: _Key) -> _Group:
    return key[0], None


def _node(key: _Key) -> _Group:
    return key[3], None


def _grouped(
    cells: Sequence[tuple[_Key, _Cell]], *, by: Callable[[_Key], _Group]
) -> tuple[GroupFigures, ...]:
    groups: dict[_Group, list[tuple[_Key, _Cell]]] = defaultdict(list)
    for each in cells:
        groups[by(each[0])].append(each)
    figures = [_figures(found, name=name, model=model) for (name, model), found in groups.items()]
    return tuple(sorted(figures, key=lambda each: (-each.requests, each.name or "", each.model or "")))


def _figures(
    cells: Sequence[tuple[_Key, _Cell]], *, name: str | None = None, model: str | None = None
) -> GroupFigures:
    statuses: Counter[str] = Counter()
    reasons: Counter[str | None] = Counter()
    errors: Counter[str] = Counter()
    for key, cell in cells:
        status, code = key[4], key[6]
        statuses[status] += cell.number
        if code is not None:
            errors[code] += cell.number
        if status in STAND_INS:
            reasons[code] += cell.number
    answered = sum(number for status, number in statuses.items() if status not in UNANSWERED)
    return GroupFigures(
        name=name,
        model=model,
        requests=statuses.total(),
        statuses=dict(statuses.most_common()),
        answered=answered,
        success_rate=_share(statuses, SUCCESSES, answered),
        stand_in_rate=_share(statuses, STAND_INS, answered),
        stand_ins=tuple(
            StandInReason(code=code, requests=number, rate=round(number / answered, 4))
            for code, number in reasons.most_common()
        ),
        failure_rate=_share(statuses, FAILURES, answered),
        errors=dict(errors.most_common()),
        latency_ms=percentiles([cell.latency for key, cell in cells if key[4] not in UNANSWERED]),
        calls=sum(cell.calls for _, cell in cells),
        prompt_tokens=_sum(cell.prompt for _, cell in cells),
        completion_tokens=_sum(cell.completion for _, cell in cells),
        cost=_sum(cell.cost for _, cell in cells),
    )


def _stage(number: int, name: str, cells: Sequence[tuple[_Key, _Cell]]) -> StageFigures:
    values = [cell.work[number] for _, cell in cells]
    errors: Counter[str] = Counter()
    requests = 0
    for key, cell in cells:
        if key[4] in UNANSWERED:
            continue
        failed_here = key[7] == name and key[6] is not None
        if failed_here:
            errors[key[6] or ""] += cell.number
        # A stage that failed a request need not have a time: fallback does for a deadline.
        requests += cell.number if failed_here else len(cell.work[number])
    return StageFigures(
        name=name,
        requests=requests,
        work_ms=percentiles(values),
        errors=dict(errors.most_common()),
        failure_rate=round(errors.total() / requests, 4) if requests else None,
    )


def percentiles(parts: Iterable[Sequence[float]]) -> Percentiles | None:
    """The exact percentiles of several sequences together; ``None`` without a value."""
    values = sorted(value for part in parts for value in part)
    if not values:
        return None
    p50, p95, p99 = (round(values[ceil(len(values) * q / 100) - 1], 3) for q in (50, 95, 99))
    return Percentiles(p50=p50, p95=p95, p99=p99)


def _share(statuses: Counter[str], of: Iterable[str], answered: int) -> float | None:
    return round(sum(statuses[each] for each in of) / answered, 4) if answered else None


def _sum(values: Iterable[Any]) -> Any:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
