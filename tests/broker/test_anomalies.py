"""Is everything found that is not what it says, and nothing else?"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import Engine

from contracts import events as ev
from contracts.errors import ErrorCode
from infra.stores import anomalies, audit
from infra.stores.anomalies import Anomalies
from tests.broker.audit_fixtures import database_url, engine, postgres
from tests.lives import START_MS, life, received, records, success

__all__ = ["database_url", "engine", "postgres"]

NOW_MS = START_MS + 10 * 60_000


async def _add(engine: Engine, events: list[Any]) -> None:
    sink = audit.AuditSink(engine, batch=500)
    await asyncio.gather(*(sink.add(record) for record in records(events)))
    await sink.close()


def _find(engine: Engine, *, now_ms: int = NOW_MS, log_since_ms: int | None = START_MS) -> Anomalies:
    return anomalies.find(engine, now_ms=now_ms, log_since_ms=log_since_ms)


def _counts(engine: Engine, **more: Any) -> dict[str, int]:
    return _find(engine, **more).counts


async def test_a_usual_life_has_none(engine: Engine) -> None:
    await _add(engine, [*life(), *life("r-2", first=50, at_ms=START_MS + 5)])
    assert _find(engine) == Anomalies(counts={}, ids=())


@pytest.mark.parametrize("first", [True, False], ids=["read-after", "read-before"])
async def test_a_second_result_is_counted_once(engine: Engine, *, first: bool) -> None:
    second = received(success("r-1"), sequence=90, at_ms=START_MS + 900)
    for events in (life(), [second]) if first else ([second], life()):
        await _add(engine, events)
    await _add(engine, [second])
    found = _find(engine)
    assert (found.counts, found.ids) == ({"second": 1}, ("r-1",))
    assert str(found) == "1 results after the first one of their request: r-1"


async def test_an_id_that_is_used_again_may_have_another_result(engine: Engine) -> None:
    await _add(engine, [*life(), *life(first=101, at_ms=START_MS + 60_000)])
    assert _counts(engine) == {}
    await _add(engine, [received(success("r-1", START_MS + 60_000), sequence=120, at_ms=START_MS + 61_000)])
    assert _counts(engine) == {"second": 1}


@pytest.mark.parametrize("claims", [START_MS + 77, None])
async def test_a_result_without_a_request_is_counted(engine: Engine, claims: int | None) -> None:
    await _add(engine, [received(success("nobody", claims), "nobody", sequence=9)])  # type: ignore[arg-type]
    found = _find(engine)
    assert (found.counts, found.ids) == ({"unrequested": 1}, ("nobody",))


async def test_a_result_may_be_read_before_its_request(engine: Engine) -> None:
    asked, *rest = life()
    await _add(engine, [rest[6]])
    assert _counts(engine, now_ms=START_MS + 1000) == {}
    assert _counts(engine) == {"unrequested": 1}
    await _add(engine, [asked])
    assert _counts(engine) == {}


async def test_a_request_that_the_log_has_forgotten_may_have_been(engine: Engine) -> None:
    await _add(engine, [life()[7]])
    assert _counts(engine, log_since_ms=START_MS + 1) == {}
    assert _counts(engine, log_since_ms=None) == {}


async def test_who_may_not_publish_is_counted_once(engine: Engine) -> None:
    failed = ev.Failed(attempt=1, code=ErrorCode.GEN_INTERNAL, stage="structuring", message="forged")
    forged = [
        received(failed, "r-1", sequence=30, at_ms=START_MS + 30, headers={}),
        received(failed, "r-2", sequence=31, at_ms=START_MS + 31, headers={"ce-source": "understudy/audit"}),
    ]
    for _ in range(2):
        await _add(engine, forged)
    found = _find(engine)
    assert (found.counts, found.ids) == ({"source": 2}, ("r-1", "r-2"))


async def test_what_is_older_than_the_log_is_told_no_more(engine: Engine) -> None:
    await _add(engine, [received(success("nobody"), "nobody", sequence=9, headers={})])
    assert _counts(engine, now_ms=START_MS + anomalies.REPORTED_FOR_MS) == {"source": 1, "unrequested": 1}
    assert _counts(engine, now_ms=START_MS + anomalies.REPORTED_FOR_MS + 1) == {}
