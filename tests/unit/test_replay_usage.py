"""Recorded usage that estimates are made from: whole requests of the kind, and no shadows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert

from infra.replay import estimates
from infra.replay.estimates import KindUsage
from infra.stores import database
from infra.stores.database import GENERATION_LOGS


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    found = database.engine_of(f"sqlite:///{tmp_path}/audit.db")
    database.migrate(found)
    yield found
    found.dispose()


def read(engine: Engine, *rows: dict[str, Any], kind: str = "layout") -> KindUsage | None:
    plain = {
        "kind": "layout",
        "status": "success",
        "origin": "live",
        "attempts": 1,
        "prompt_tokens": 40,
        "completion_tokens": 60,
        "shadow": None,
        "freeform_gen_ms": 5.0,
        "structuring_ms": 5.0,
        "validate_repair_ms": 5.0,
        "stream": "EVENTS",
        "stream_created_ms": 1,
    }
    with engine.begin() as connection:
        for number, row in enumerate(rows):
            own = {"request_id": f"r-{number}", "ended_at_ms": number, "sequence": number}
            connection.execute(insert(GENERATION_LOGS).values(plain | own | row))
    with database.reading(engine) as connection:
        return estimates.read_usage(connection, [kind]).get(kind)


@pytest.mark.parametrize(
    ("row", "counts"),
    [
        ({}, True),
        ({"freeform_gen_ms": None, "structuring_ms": None, "validate_repair_ms": None}, True),
        ({"shadow": 1}, False),
        ({"freeform_gen_ms": None}, False),
        ({"freeform_gen_ms": None, "structuring_ms": None}, False),
        ({"status": "cached"}, False),
        ({"kind": "plot"}, False),
    ],
)
def test_only_whole_requests_count(engine: Engine, row: dict[str, Any], *, counts: bool) -> None:
    dear = {"prompt_tokens": 4_000, "completion_tokens": 6_000}
    found = read(engine, {}, dear | row)
    assert found is not None
    assert (found.sample, found.tokens.high > 1_000) == ((2, True) if counts else (1, False))


def test_a_plot_with_scenes_takes_what_these_take_too(engine: Engine) -> None:
    plain = read(engine, {"cost": 1.0}, kind=estimates.PLOT_WITH_SCENES)
    assert plain is None
    scene = {"request_id": "r-1-s1", "kind": "scene", "sequence": 11, "prompt_tokens": 200, "cost": 2.0}
    last = {**scene, "request_id": "r-1-s40", "sequence": 12, "completion_tokens": None}
    plots = [
        {"kind": "plot", "cost": 1.0, "sequence": 20 + number, "request_id": f"r-{number}"}
        for number in (1, 2)
    ]
    found = read(engine, *plots, scene, last, kind=estimates.PLOT_WITH_SCENES)
    assert found is not None
    assert (found.sample, found.tokens.likely) == (1, 100 + 260 + 200), "the other plot has no scenes"
    assert found.money is not None
    assert found.money.likely == 5.0
    with database.reading(engine) as connection:
        only = estimates.read_usage(connection, ["plot"])["plot"]
    assert (only.sample, only.tokens.likely) == (2, 100)


def test_a_kind_is_found_by_an_index(engine: Engine) -> None:
    query = (
        "EXPLAIN QUERY PLAN SELECT prompt_tokens FROM generation_logs WHERE kind = 'plot' AND status = 'success' "
        "AND completion_tokens IS NOT NULL AND shadow IS NULL ORDER BY ended_at_ms DESC LIMIT 1000"
    )
    with database.reading(engine) as connection:
        plan = " ".join(str(row) for row in connection.exec_driver_sql(query))
    assert "ix_generation_logs_kind" in plan
    assert "TEMP B-TREE" not in plan
