"""Series of statistics: one window with the figures of its requests in buckets of time, for a chart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Final

import msgspec
from sqlalchemy import Engine

from infra.inspect.figures import GroupFigures, ResultCell, ResultKey, measure_group
from infra.inspect.stats import (
    WINDOWS,
    PipelineStats,
    StatsFilter,
    add_row,
    iter_logs,
    measure_window,
    select_open,
)
from infra.stores.database import reading

#: Milliseconds of the buckets of each window.
BUCKETS: Final[dict[str, int]] = {"5m": 10_000, "1h": 60_000, "24h": 900_000}
#: Number of the bucket of requests that came before the first one.
_EARLIER: Final = -1


class TimeBucket(msgspec.Struct, frozen=True, kw_only=True):
    """The requests that came in a span of time and have ended.

    The filters ``since`` and ``until`` of a list of requests select the same requests, and those without a result.
    """

    #: Time of the request, ms since the epoch: not before, and before.
    since_ms: int
    until_ms: int
    total: GroupFigures


class StatsSeries(PipelineStats, frozen=True, kw_only=True):
    """Statistics of one window, and the same by the time of the request."""

    #: Milliseconds of a bucket; buckets begin at multiples of it.
    bucket_ms: int
    #: All buckets that begin in the window, oldest first.
    series: tuple[TimeBucket, ...]


def collect_series(
    engine: Engine, *, until_ms: int, window: str, where: StatsFilter | None = None
) -> StatsSeries:
    """Read the statistics of a window that ends at a time, and its series.

    Shadow requests count nowhere.

    Args:
        engine: the database.
        until_ms: end of the window, ms since the epoch.
        window: as in :data:`infra.inspect.stats.WINDOWS`.
        where: the requests that count; ``None``: all.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    where = where or StatsFilter()
    since_ms, width = until_ms - WINDOWS[window], BUCKETS[window]
    first = -(-since_ms // width)
    cells: defaultdict[int, dict[ResultKey, ResultCell]] = defaultdict(dict)
    with reading(engine) as connection:
        for row in iter_logs(connection, since_ms=since_ms, until_ms=until_ms, where=where):
            bucket = (row[0] - (row[1] or 0)) // width
            add_row(cells[bucket if bucket >= first else _EARLIER], row)
        count, open_since_ms = connection.execute(select_open(where)).one()
    return _build(window, until_ms, cells, waiting=count, open_since_ms=open_since_ms)


def empty_series(*, until_ms: int, window: str) -> StatsSeries:
    """The series of a window without requests."""
    return _build(window, until_ms, {}, waiting=0, open_since_ms=None)


def _build(
    window: str,
    until_ms: int,
    cells: Mapping[int, Mapping[ResultKey, ResultCell]],
    *,
    waiting: int,
    open_since_ms: int | None,
) -> StatsSeries:
    since_ms, width = until_ms - WINDOWS[window], BUCKETS[window]
    everything = [each for found in cells.values() for each in found.items()]
    return StatsSeries(
        until_ms=until_ms,
        open=waiting,
        open_since_ms=open_since_ms,
        windows=(measure_window(window, since_ms, until_ms, everything),),
        bucket_ms=width,
        series=tuple(
            TimeBucket(
                since_ms=number * width,
                until_ms=(number + 1) * width,
                total=measure_group(list(cells.get(number, {}).items())),
            )
            for number in range(-(-since_ms // width), -(-until_ms // width))
        ),
    )
