"""Selection of what is replayed: in order, in little memory, and not more than one job can have."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert

from infra.inspect.request_filter import RequestFilter
from infra.nats.multiplexer import RequestMultiplexer
from infra.replay import origins
from infra.replay.origins import TooManyOrigins
from infra.stores import database
from infra.stores.database import GENERATIONS

MANY = 60
#: Characters of each record beside what is read of it.
LARGE = 64_000


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    found = database.engine_of(f"sqlite:///{tmp_path}/audit.db")
    database.migrate(found)
    rows = [
        {
            "request_id": f"r-{number:02}",
            "life_ms": 1,
            "kind": "layout",
            "status": "success",
            "requested_at_ms": number,
            "record": json.dumps({"asked": {"sequence": number}, "end": "x" * LARGE}),
        }
        for number in range(1, MANY + 1)
    ]
    with found.begin() as connection:
        connection.execute(insert(GENERATIONS), rows)
    yield found
    found.dispose()


def select(engine: Engine, limit: int | None = None) -> list[tuple[str, int]]:
    return origins.select_requests(engine, RequestFilter(), limit=limit)


def test_the_latest_are_selected_in_their_order(engine: Engine) -> None:
    assert select(engine)[:2] == [("r-01", 1), ("r-02", 2)]
    assert select(engine, 2) == [("r-59", 59), ("r-60", 60)]


async def test_a_shadow_is_not_repeated() -> None:
    """Its content would go to the subscribers of the request that it was compared with."""
    wire = RequestMultiplexer()
    (found,) = await origins.read_requests(wire, [("sh-1-r-01", 0)])
    assert "is a shadow" in (found.refusal or "")


def test_records_are_not_held_together(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origins, "_ROWS", 5)
    tracemalloc.start()
    try:
        select(engine)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MANY * LARGE / 2


def test_a_selection_that_no_job_can_have_is_refused(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origins, "MOST", MANY - 1)
    with pytest.raises(TooManyOrigins, match="--limit"):
        select(engine)
    with pytest.raises(TooManyOrigins):
        select(engine, MANY)
    assert len(select(engine, MANY - 1)) == MANY - 1
    with pytest.raises(TooManyOrigins):
        origins.check_size(1, origins.MOST_BYTES + 1)
