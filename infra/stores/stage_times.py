"""Times of the stages in the results of the last day."""

from __future__ import annotations

import math
from typing import Any, Final

import msgspec
from sqlalchemy import Engine, select

from infra.stores.database import GENERATIONS, reading

#: Most results that are read, newest first.
_MOST: Final = 2000
_DAY_MS: Final = 86_400_000
_PERCENTILE: Final = 0.99


class _Cost(msgspec.Struct, frozen=True):
    time_ms: dict[str, float] = {}


class _Meta(msgspec.Struct, frozen=True):
    cost: _Cost = _Cost()


class _Result(msgspec.Struct, frozen=True):
    meta: _Meta = _Meta()


class _End(msgspec.Struct, frozen=True):
    result: _Result = _Result()


class _Record(msgspec.Struct, frozen=True):
    end: _End | None = None


_decode: Final = msgspec.json.Decoder(_Record).decode


def p99_ms(engine: Engine, *, now_ms: int) -> dict[str, float]:
    """The 99th percentile of each stage's time for one request, ms, over at most 2,000 results of the last day.

    Args:
        engine: the database.
        now_ms: ms since the epoch.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    ended = GENERATIONS.c.ended_at_ms
    query = select(GENERATIONS.c.record).where(ended >= now_ms - _DAY_MS).order_by(ended.desc()).limit(_MOST)
    times: dict[str, list[float]] = {}
    with reading(engine) as connection:
        for record in connection.execute(query).scalars():
            end = _decode(record).end
            for stage, took in (end.result.meta.cost.time_ms if end else {}).items():
                times.setdefault(stage, []).append(took)
    return {stage: percentile(some, _PERCENTILE) for stage, some in times.items()}


def percentile(values: list[Any], share: float) -> float:
    """The nearest-rank percentile of values, of which there must be one."""
    return sorted(values)[max(0, math.ceil(len(values) * share) - 1)]
