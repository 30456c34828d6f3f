"""Statistics of ended requests: latency, success, stand-ins, errors, tokens and cost over the last minutes to a day.

Everything comes from ``generation_logs``, which has one row for each result, over an index on the time of the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, Engine, Row, Select, func, select

from contracts.result import Origin
from infra.inspect.figures import (
    CACHE,
    GroupFigures,
    Percentiles,
    ResultCell,
    ResultKey,
    StageFigures,
    measure_group,
    measure_groups,
    measure_stage,
    name_kind,
    name_node,
    name_provider,
    percentiles,
)
from infra.stores.database import GENERATION_LOGS, GENERATIONS, reading
from infra.stores.rows import STAGE_COLUMNS

#: Milliseconds of each window, by its name, shortest first.
WINDOWS: Final[dict[str, int]] = {"5m": 300_000, "1h": 3_600_000, "24h": 86_400_000}
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


class StatsFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Selects requests; a field that is ``None`` selects all."""

    workspace: str | None = None
    kind: str | None = None
    #: The provider of a group in :class:`WindowStats`.
    provider: str | None = None
    model: str | None = None
    #: Id of the node, else of its template.
    node: str | None = None


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


_EVERY: Final = StatsFilter()


class PipelineStats(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics at one moment."""

    until_ms: int
    #: Requests without a result, and when the oldest of them came.
    open: int
    open_since_ms: int | None
    windows: tuple[WindowStats, ...]


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
    cells: list[dict[ResultKey, ResultCell]] = [{} for _ in spans]
    with reading(engine) as connection:
        for row in iter_logs(connection, since_ms=min(starts, default=until_ms), until_ms=until_ms):
            ended = row[0]
            add_row(cells[next(number for number, start in enumerate(starts) if ended >= start)], row)
        waiting = connection.execute(select_open()).one()
    contained: list[list[tuple[ResultKey, ResultCell]]] = []
    for each in cells:
        contained.append([*(contained[-1] if contained else ()), *each.items()])
    return PipelineStats(
        until_ms=until_ms,
        open=waiting[0],
        open_since_ms=waiting[1],
        windows=tuple(
            measure_window(name, start, until_ms, found)
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


def iter_logs(
    connection: Connection, *, since_ms: int, until_ms: int, where: StatsFilter = _EVERY
) -> Iterator[Row[*tuple[Any, ...]]]:
    """The rows of :func:`select_logs`, fetched page by page."""
    yield from connection.execution_options(yield_per=_PAGE).execute(
        select_logs(since_ms=since_ms, until_ms=until_ms, where=where)
    )


def add_row(cells: dict[ResultKey, ResultCell], row: Row[*tuple[Any, ...]]) -> None:
    """Add a row of :func:`select_logs` to the cell that it belongs to."""
    key = row[2:_END_OF_KEYS]
    cell = cells.get(key)
    if cell is None:
        cell = cells[key] = ResultCell()
    cell.add(row[1], row[_END_OF_KEYS:_END_OF_SUMS], row[_END_OF_SUMS:])


def select_logs(*, since_ms: int, until_ms: int, where: StatsFilter = _EVERY) -> Select[*tuple[Any, ...]]:
    """The query for results of a window, without shadows; the index on ``ended_at_ms`` serves it.

    The first two columns are the time of the end and the latency.
    """
    return select(_LOGS.ended_at_ms, _LOGS.latency_ms, *_KEYS, *_SUMS, *_STAGES).where(
        _LOGS.ended_at_ms >= since_ms,
        _LOGS.ended_at_ms < until_ms,
        _LOGS.shadow.is_(None),
        *_conditions(where),
    )


def select_open(where: StatsFilter = _EVERY) -> Select[*tuple[Any, ...]]:
    """The query for the number of requests without a result and the time of the oldest, without shadows.

    The index on ``open_since_ms`` serves it.  No provider is known of them.
    """
    since = GENERATIONS.c.open_since_ms
    named = {"workspace": where.workspace, "kind": where.kind, "node_id": where.node}
    # A range, since SQLite uses no index for "is not null"; null is in no range.
    return select(func.count(since), func.min(since)).where(
        since >= 0,
        GENERATIONS.c.shadow.is_(None),
        *(GENERATIONS.c[column] == value for column, value in named.items() if value is not None),
    )


def _conditions(where: StatsFilter) -> Iterator[ColumnElement[bool]]:
    if where.workspace is not None:
        yield (
            select(GENERATIONS.c.request_id)
            .where(
                GENERATIONS.c.request_id == _LOGS.request_id,
                GENERATIONS.c.life_ms == _LOGS.life_ms,
                GENERATIONS.c.workspace == where.workspace,
            )
            .exists()
        )
    if where.provider == CACHE:
        yield _LOGS.origin == Origin.CACHE
    elif where.provider is not None:
        yield _LOGS.provider == where.provider
    if where.model is not None:
        yield _LOGS.model == where.model
    if where.provider not in (None, CACHE) or where.model is not None:
        # The provider of the first generation was not called for this request.
        yield _LOGS.origin != Origin.CACHE
    if where.kind is not None:
        yield _LOGS.kind == where.kind
    if where.node is not None:
        yield _LOGS.node_id == where.node


def measure_window(
    window: str, since_ms: int, until_ms: int, cells: Iterable[tuple[ResultKey, ResultCell]]
) -> WindowStats:
    """The figures of a window.

    Args:
        window: its name.
        since_ms: its start, ms since the epoch.
        until_ms: its end, ms since the epoch.
        cells: its results; several cells may have the same key.
    """
    found = list(cells)
    return WindowStats(
        window=window,
        since_ms=since_ms,
        until_ms=until_ms,
        total=measure_group(found),
        providers=measure_groups(found, by=name_provider),
        kinds=measure_groups(found, by=name_kind),
        nodes=measure_groups(found, by=name_node),
        stages=tuple(measure_stage(number, name, found) for number, name in enumerate(STAGE_COLUMNS)),
    )
