"""Series of statistics and last errors on both databases: buckets, filters, and the workspace of a result."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from sqlalchemy import Engine, insert

from infra.inspect.figures import CACHE
from infra.inspect.provider_errors import find_last_errors
from infra.inspect.stats import StatsFilter, collect_stats
from infra.inspect.stats_series import BUCKETS, collect_series, empty_series
from infra.stores.database import GENERATION_LOGS, GENERATIONS
from tests.broker.audit_fixtures import database_url, engine, postgres
from tests.broker.test_stats import log

__all__ = ["database_url", "engine", "postgres"]

#: In the middle of a bucket of ten seconds.
NOW_MS = 1_763_000_004_000
SECOND_MS = 1_000


def ended(number: int, *, ago_s: float, took_s: float = 1.0, **fields: Any) -> dict[str, Any]:
    return log(
        number,
        ended_at_ms=NOW_MS - round(ago_s * SECOND_MS),
        latency_ms=round(took_s * SECOND_MS),
        **fields,
    )


def put(engine: Engine, *logs: dict[str, Any]) -> None:
    with engine.begin() as connection:
        for each in logs:
            connection.execute(insert(GENERATION_LOGS), [each])


def put_request(engine: Engine, request_id: str, **fields: Any) -> None:
    row = {"life_ms": 1, "kind": "layout", "status": "success", "record": "{}", **fields}
    with engine.begin() as connection:
        connection.execute(insert(GENERATIONS), [{"request_id": request_id, **row}])


def test_a_bucket_counts_the_requests_that_came_in_it(engine: Engine) -> None:
    put(
        engine,
        # Came 14.5 and 13.5 seconds ago, on both sides of a bucket's edge.
        ended(1, ago_s=13.5, status="failed", error_code="GEN_TIMEOUT"),
        ended(2, ago_s=3.5, took_s=10.0),
        # Ended in the window, came before it.
        ended(3, ago_s=299.0, took_s=60.0),
        # Nobody knows when it came.
        ended(4, ago_s=1.0) | {"latency_ms": None},
        ended(5, ago_s=1.0, shadow=1),
    )
    found = collect_series(engine, until_ms=NOW_MS, window="5m")
    assert found.bucket_ms == BUCKETS["5m"] == 10_000
    assert found.windows == collect_stats(engine, until_ms=NOW_MS).windows[:1]
    assert found.windows[0].total.requests == 4
    assert len(found.series) == 30
    assert {each.until_ms - each.since_ms for each in found.series} == {10_000}
    assert all(each.since_ms % 10_000 == 0 for each in found.series)
    edge = NOW_MS - 14 * SECOND_MS
    counted = {each.since_ms: each.total for each in found.series if each.total.requests}
    assert {since: total.requests for since, total in counted.items()} == {
        edge - 10_000: 1,
        edge: 1,
        edge + 10_000: 1,
    }
    assert counted[edge - 10_000].errors == {"GEN_TIMEOUT": 1}
    latency = counted[edge].latency_ms
    assert latency is not None
    assert latency.p50 == 10_000


@pytest.mark.parametrize("window", BUCKETS)
def test_the_buckets_of_a_window_are_few_and_without_gaps(window: str) -> None:
    found = empty_series(until_ms=NOW_MS, window=window).series
    assert 30 <= len(found) <= 97
    assert all(one.until_ms == next_.since_ms for one, next_ in itertools.pairwise(found))
    assert found[-1].until_ms >= NOW_MS > found[-1].since_ms


def test_filters_select_the_requests_of_the_groups(engine: Engine) -> None:
    put(
        engine,
        ended(1, ago_s=9, kind="layout", node_id="n-1"),
        ended(2, ago_s=8, kind="scene", provider="openai", model="m-2"),
        ended(3, ago_s=7, kind="scene", status="cached", origin="cache"),
        ended(4, ago_s=6, kind="scene", provider=None, model=None),
    )

    def count(**fields: Any) -> int:
        found = collect_series(engine, until_ms=NOW_MS, window="5m", where=StatsFilter(**fields))
        assert sum(each.total.requests for each in found.series) == found.windows[0].total.requests
        return found.windows[0].total.requests

    everything = collect_stats(engine, until_ms=NOW_MS).windows[0]
    for each in everything.providers:
        if each.name is not None:
            assert count(provider=each.name) == each.requests
    assert count(provider=CACHE) == 1
    assert (count(provider="local"), count(model="m-1"), count(model="m-2")) == (1, 1, 1)
    assert (count(kind="scene"), count(kind="scene", provider="openai"), count(node="n-1")) == (3, 1, 1)
    assert count(provider="nobody") == 0


def test_a_workspace_has_its_own_figures(engine: Engine) -> None:
    put(
        engine,
        ended(1, ago_s=9, life_ms=1),
        ended(2, ago_s=8, life_ms=1),
        # The same id in an earlier life, which was another workspace's.
        ended(1, ago_s=7, life_ms=7) | {"sequence": 9},
        ended(3, ago_s=6),
    )
    put_request(engine, "r-1", workspace="red")
    put_request(engine, "r-2", workspace="blue")
    put_request(engine, "r-1", life_ms=7, workspace="blue")
    put_request(engine, "r-8", workspace="red", open_since_ms=NOW_MS - 10)
    put_request(engine, "r-9", workspace="blue", open_since_ms=NOW_MS - 20)
    found = {
        name: collect_series(engine, until_ms=NOW_MS, window="5m", where=StatsFilter(workspace=name))
        for name in ("red", "blue", "green")
    }
    assert {name: each.windows[0].total.requests for name, each in found.items()} == {
        "red": 1,
        "blue": 2,
        "green": 0,
    }
    assert {name: (each.open, each.open_since_ms) for name, each in found.items()} == {
        "red": (1, NOW_MS - 10),
        "blue": (1, NOW_MS - 20),
        "green": (0, None),
    }


def test_the_last_error_of_each_provider(engine: Engine) -> None:
    failed = {"error_code": "GEN_TIMEOUT", "error_stage": "structuring"}
    put_request(engine, "a", ended_at_ms=NOW_MS - 30, provider="local", error_message="old", **failed)
    put_request(engine, "b", ended_at_ms=NOW_MS - 20, provider="local", error_message="new", **failed)
    put_request(engine, "c", ended_at_ms=NOW_MS - 10, provider="local")
    put_request(engine, "d", ended_at_ms=NOW_MS - 5, provider="local", shadow=1, **failed)
    put_request(engine, "e", ended_at_ms=NOW_MS - 90_000_000, provider="openai", **failed)
    put_request(engine, "f", ended_at_ms=NOW_MS - 15, **failed)
    found = find_last_errors(engine, now_ms=NOW_MS)
    assert list(found) == ["local"]
    assert (found["local"].request_id, found["local"].code, found["local"].message) == (
        "b",
        "GEN_TIMEOUT",
        "new",
    )
