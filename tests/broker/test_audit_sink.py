"""Does every row reach the database once, whoever writes and whatever happens to it meanwhile?"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Engine

from contracts import events as ev
from contracts.errors import ErrorCode, Unavailable, Unstorable
from infra.inspect.audit_listing import ls
from infra.inspect.request_filter import RequestFilter
from infra.settings.settings import load
from infra.stores import audit, database
from infra.stores.database import GENERATION_LOGS, GENERATIONS
from stages.audit.fold import RequestRecord
from tests.broker.audit_fixtures import (
    BACKENDS,
    LEFT_OUT,
    Postgres,
    database_url,
    engine,
    everything,
    postgres,
    rows_of,
)
from tests.lives import BODY, START_MS, brief, letter, life, received, records, stand_in, success

__all__ = ["database_url", "engine", "postgres"]


async def _add(engine: Engine, rows: list[RequestRecord], *, batch: int = 500) -> None:
    sink = audit.AuditSink(engine, batch=batch)
    try:
        await asyncio.gather(*(sink.add(row) for row in rows))
    finally:
        await sink.close()


async def test_a_finished_request_has_one_complete_row_in_each_table(engine: Engine) -> None:
    await _add(engine, records(life()))
    (row,) = rows_of(engine, GENERATIONS)
    assert (row["status"], row["origin"], row["attempt"]) == ("success", "scripted", 1)
    assert (row["requested_at_ms"], row["ended_at_ms"]) == (START_MS, START_MS + 70)
    (log,) = rows_of(engine, GENERATION_LOGS)
    del log["id"]
    assert log == {
        "request_id": "r-1",
        "life_ms": START_MS,
        "kind": "layout",
        "status": "success",
        "origin": "scripted",
        "node_id": None,
        "shadow": None,
        "experiment": None,
        "experiment_arm": None,
        "experiment_unit": None,
        "experiment_revision": None,
        "input_hash": row["input_hash"],
        "prompt": "a forest with three coins",
        "prompt_hash": "f" * 64,
        "latency_ms": 70,
        "context_build_ms": None,
        "freeform_gen_ms": None,
        "structuring_ms": None,
        "validate_repair_ms": None,
        "fallback_ms": None,
        "error_code": None,
        "error_stage": None,
        "provider": "scripted",
        "model": "script",
        "attempts": 1,
        "prompt_tokens": 12,
        "completion_tokens": 34,
        "cost": 0.25,
        "ended_at_ms": START_MS + 70,
        "stream": "EVENTS",
        "stream_created_ms": 22,
        "sequence": 7,
    }


async def test_any_order_repetition_and_grouping_gives_the_same_rows(engine: Engine, tmp_path: Path) -> None:
    rows = [row for n in range(6) for row in records(life(f"r-{n}", first=10 * n + 1, at_ms=START_MS + n))]
    straight = database.engine_of(f"sqlite:///{tmp_path / 'straight.db'}")
    await _add(straight, rows)
    dice = random.Random(4)  # noqa: S311 - a reproducible shuffle
    for batch in (1, 7, 500):
        shuffled = [*rows, *dice.sample(rows, 30)]
        dice.shuffle(shuffled)
        await _add(engine, shuffled, batch=batch)
        assert everything(engine) == everything(straight)
    straight.dispose()


async def test_a_request_read_after_its_result_completes_the_log_row(engine: Engine) -> None:
    asked, *rest = life()
    bare = msgspec.structs.replace(rest[6], event=stand_in("r-1", ErrorCode.GEN_TIMEOUT))
    await _add(engine, records([bare]))
    (log,) = rows_of(engine, GENERATION_LOGS)
    assert (log["prompt"], log["input_hash"], log["latency_ms"]) == (None, None, 70)
    await _add(engine, records([asked]))
    (log,) = rows_of(engine, GENERATION_LOGS)
    assert log["prompt"] == "a forest with three coins"
    assert log["input_hash"] is not None
    assert log["latency_ms"] == 70


async def test_a_later_duplicate_changes_neither_row(engine: Engine) -> None:
    await _add(engine, records(life()))
    before = ls(engine).rows, rows_of(engine, GENERATION_LOGS)
    duplicate = received(b'{"prompt":"another"}', sequence=50, at_ms=START_MS + 500, kind="plot")
    await _add(engine, records([duplicate]))
    assert (ls(engine).rows, rows_of(engine, GENERATION_LOGS)) == before


async def test_a_duplicate_read_before_the_request_does_not_enter_the_log_row(engine: Engine) -> None:
    asked, *rest = life()
    duplicate = received(b'{"prompt":"another"}', sequence=50, at_ms=START_MS + 500)
    for each in (rest[6], duplicate, asked):
        await _add(engine, records([each]))
    (log,) = rows_of(engine, GENERATION_LOGS)
    assert log["prompt"] == "a forest with three coins"


async def test_an_id_used_again_after_sweeping_gets_its_own_rows(engine: Engine) -> None:
    again = records(life(first=101, at_ms=START_MS + 10**9))
    await _add(engine, records(life()))
    first = rows_of(engine, GENERATIONS)
    await _add(engine, again[:1])
    assert [row["status"] for row in ls(engine).rows] == ["success"]
    await _add(engine, again[1:])
    assert [row["sequence"] for row in rows_of(engine, GENERATION_LOGS)] == [7, 107]
    assert {row["prompt"] for row in rows_of(engine, GENERATION_LOGS)} == {"a forest with three coins"}
    rows = sorted(rows_of(engine, GENERATIONS), key=lambda row: row["life_ms"])
    assert [row["requested_at_ms"] for row in rows] == [START_MS, START_MS + 10**9]
    assert rows[:1] == first
    shown = audit.show(engine, "r-1")
    assert shown is not None
    assert shown["requested_at_ms"] == START_MS + 10**9
    assert [row["requested_at_ms"] for row in shown["earlier"]] == [START_MS]
    assert [log["sequence"] for log in shown["logs"]] == [7, 107]


async def test_who_asks_again_and_again_fills_no_table(engine: Engine) -> None:
    await _add(engine, records(life()))
    for n in range(20):
        await _add(engine, records([received(BODY, sequence=50 + n, at_ms=START_MS + 500 + n)]))
    assert [row["status"] for row in rows_of(engine, GENERATIONS)] == ["success", "repeated"]
    assert len(ls(engine).rows) == 1


async def test_a_result_that_nobody_asked_for_looks_like_none(engine: Engine) -> None:
    await _add(engine, records([received(success("forged"), "forged", sequence=1)]))
    assert ls(engine).rows == []
    shown = audit.show(engine, "forged")
    assert shown is not None
    assert (shown["status"], shown["origin"]) == ("unrequested", None)


async def test_a_failure_that_a_stand_in_answered_names_who_was_asked(engine: Engine) -> None:
    ended = received(stand_in("r-1", ErrorCode.GEN_PROVIDER_UNAVAILABLE), sequence=4)
    await _add(engine, records([ended]))
    (log,) = rows_of(engine, GENERATION_LOGS)
    assert (log["provider"], log["model"], log["attempts"]) == ("chain-a", "a-1", 1)
    assert log["error_code"] == "GEN_PROVIDER_UNAVAILABLE"


async def test_an_unreadable_request_has_its_row(engine: Engine) -> None:
    junk = letter("gen.requested.layout.r-1", stream="REQUESTS", sequence=8, body=b"\xff")
    await _add(engine, records([received(junk, sequence=1)]))
    (row,) = ls(engine).rows
    assert (row["status"], row["error_code"]) == ("pending", "GEN_INVALID_REQUEST")
    assert len(row["input_hash"]) == 64


async def test_what_a_column_cannot_hold_is_cut_or_replaced(engine: Engine) -> None:
    body = b'{"prompt":"nul \\u0000 here"}'
    failed = ev.Failed(attempt=2**70, code=ErrorCode.GEN_INTERNAL, stage="s" * 500, message="bad \x00 byte")
    step = ev.ContextBuilt(attempt=2**60, brief=brief(prompt_version="v" * 500))
    await _add(
        engine,
        records(
            [
                received(body, sequence=1),
                received(failed, sequence=2),
                received(step, sequence=3, at_ms=START_MS),
            ]
        ),
    )
    (row,) = ls(engine).rows
    assert row["error_message"] == "bad \ufffd byte"
    assert (len(row["error_stage"]), row["attempt"]) == (32, 2**31 - 1)


NUL = "w\x00s"


async def test_no_text_of_a_client_costs_a_record(engine: Engine) -> None:
    ended = success("r-1")
    meta = msgspec.structs.replace(ended.meta, prompt_version=NUL, model=NUL)
    ended = msgspec.structs.replace(ended, meta=meta)
    asked, end = records([received(BODY, sequence=1), received(ended, sequence=2, at_ms=START_MS + 9)])
    assert asked.asked is not None
    # As a client of another release may have sent it: today's refuses some of these.
    said = msgspec.structs.replace(asked.asked, prompt=NUL, workspace=NUL, replay_of=NUL)
    await _add(engine, [msgspec.structs.replace(asked, asked=said), end])
    (row,) = ls(engine).rows
    told = {row["workspace"], row["replay_of"], row["prompt_version"], row["model"]}
    assert told == {"w\ufffds"}
    (log,) = rows_of(engine, GENERATION_LOGS)
    assert (log["prompt"], log["model"]) == ("w\ufffds", "w\ufffds")
    assert ls(engine, where=RequestFilter(workspace=NUL)).rows == [row]


async def test_a_record_that_cannot_be_written_takes_no_neighbour_down(engine: Engine) -> None:
    good = [record for n in range(9) for record in records(life(f"r-{n}", first=10 * n + 1))]
    poison = msgspec.structs.replace(good[0], request_id="x-1", kind=None)
    sink = audit.AuditSink(engine, batch=500)
    rows = [*good[:20], poison, *good[20:]]
    ends = await asyncio.gather(*(sink.add(row) for row in rows), return_exceptions=True)
    await sink.close()
    assert [type(end) for end in ends if end is not None] == [Unstorable]
    assert "x-1" in str(ends[20])
    assert len(rows_of(engine, GENERATION_LOGS)) == 9


async def test_two_processes_may_fold_the_same_requests(database_url: str) -> None:
    events = [event for n in range(40) for event in life(f"r-{n}", first=10 * n + 1)]
    halves = (records(events[0::2]), records(events[1::2]))
    engines = [database.engine_of(database_url) for _ in halves]
    sinks = [audit.AuditSink(each, batch=3) for each in engines]

    async def insist(sink: audit.AuditSink, row: RequestRecord) -> None:
        while True:
            try:
                return await sink.add(row)
            except Unavailable:
                continue

    await asyncio.gather(
        *(insist(sink, row) for sink, half in zip(sinks, halves, strict=True) for row in half)
    )
    rows = rows_of(engines[0], GENERATIONS)
    assert len(rows) == 40
    assert {(row["status"], row["requested_at_ms"], row["attempt"]) for row in rows} == {
        ("success", START_MS, 1)
    }
    assert {row["prompt"] for row in rows_of(engines[0], GENERATION_LOGS)} == {"a forest with three coins"}
    for sink in sinks:
        await sink.close()


async def test_a_locked_sqlite_file_makes_rows_wait_and_loses_none(tmp_path: Path) -> None:
    file = tmp_path / "audit.db"
    engine = database.engine_of(f"sqlite:///{file}")
    sink = audit.AuditSink(engine, batch=500)
    first, second = records(life("r-1")), records(life("r-2", first=11))
    await asyncio.gather(*(sink.add(row) for row in first))
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    ends = await asyncio.gather(*(sink.add(row) for row in second), return_exceptions=True)
    assert {type(end) for end in ends} == {Unavailable}
    assert "locked" in str(ends[0])
    other.execute("ROLLBACK")
    other.close()
    await asyncio.gather(*(sink.add(row) for row in second))
    assert [row["request_id"] for row in rows_of(engine, GENERATION_LOGS)] == ["r-1", "r-2"]
    await sink.close()


@pytest.mark.skipif("postgresql" not in BACKENDS, reason=f"PostgreSQL is left out on purpose: {LEFT_OUT}")
async def test_a_stopped_postgresql_makes_rows_wait_and_loses_none(postgres: Postgres) -> None:
    url = postgres.create("stopped")
    engine = database.engine_of(url)
    sink = audit.AuditSink(engine, batch=500)
    first, second = records(life("r-1")), records(life("r-2", first=11))
    postgres.stop()
    try:
        ends = await asyncio.gather(*(sink.add(row) for row in first), return_exceptions=True)
        assert {type(end) for end in ends} == {Unavailable}
        postgres.start()
        await asyncio.gather(*(sink.add(row) for row in first))
        postgres.stop()
        ends = await asyncio.gather(*(sink.add(row) for row in second), return_exceptions=True)
        assert {type(end) for end in ends} == {Unavailable}
    finally:
        postgres.start()
    await asyncio.gather(*(sink.add(row) for row in [*first, *second]))
    assert [row["request_id"] for row in rows_of(engine, GENERATION_LOGS)] == ["r-1", "r-2"]
    await sink.close()


async def test_a_sink_opens_nothing_before_its_first_row(tmp_path: Path) -> None:
    settings = load(data_dir=tmp_path / "data")
    sink = await audit.open_sink(settings)
    assert not (tmp_path / "data" / "understudy.db").exists()
    await asyncio.gather(*(sink.add(row) for row in records(life())))
    assert ls(sink.engine).rows[0]["request_id"] == "r-1"
    await sink.close()


async def test_stray_events_are_shown_and_not_listed(engine: Engine) -> None:
    stray = ev.Failed(attempt=1, code=ErrorCode.GEN_INTERNAL, stage="structuring", message="junk")
    await _add(engine, records([received(stray, "nobody", sequence=1)]))
    assert ls(engine).rows == []
    shown = audit.show(engine, "nobody")
    assert shown is not None
    assert shown["status"] == "unknown"


async def test_one_request_is_shown_with_everything(engine: Engine) -> None:
    await _add(engine, records(life()))
    shown = audit.show(engine, "r-1")
    assert shown is not None
    assert shown["record"]["evidence"]["text"] == '{"scene_name": '
    assert shown["record"]["step"]["sampling"]["freeform"]["seed"] == 7
    assert [log["status"] for log in shown["logs"]] == ["success"]
    assert audit.show(engine, "r-2") is None


async def test_a_revision_names_its_replay(engine: Engine) -> None:
    result = success("r-1")
    fields = {name: getattr(result, name) for name in result.__struct_fields__}
    revised = received(ev.Revised(revised_by="rp-5-1", **fields), sequence=50, at_ms=START_MS + 900)
    await _add(engine, records([*life(), revised]))
    (row,) = ls(engine).rows
    assert (row["status"], row["revised_by"]) == ("success", "rp-5-1")
