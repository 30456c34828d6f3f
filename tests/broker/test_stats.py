"""Statistics on both databases: what is counted where, exact percentiles, and indexed queries."""

from __future__ import annotations

import json
from math import ceil
from pathlib import Path
from typing import Any

import msgspec
from alembic import command
from alembic.config import Config
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, insert, text
from sqlalchemy.dialects import postgresql, sqlite

from contracts import events as ev
from contracts.errors import ErrorCode
from contracts.result import Cost, Meta
from infra.inspect.figures import CACHE, Percentiles, percentiles
from infra.inspect.stats import collect_stats, find_end, select_logs, select_open
from infra.stores import database, rows
from infra.stores.database import GENERATION_LOGS
from tests.broker.audit_fixtures import database_url, engine, postgres, rows_of
from tests.lives import START_MS, life, received, records, stand_in, success

__all__ = ["database_url", "engine", "postgres"]

NOW_MS = 1_763_000_000_000
MINUTE_MS = 60_000


def log(number: int, *, ago_ms: int = 1_000, **fields: Any) -> dict[str, Any]:
    """One result of the log."""
    return {
        "request_id": f"r-{number}",
        "kind": "layout",
        "status": "success",
        "origin": "live",
        "latency_ms": 100,
        "provider": "local",
        "model": "m-1",
        "attempts": 2,
        "ended_at_ms": NOW_MS - ago_ms,
        "stream": "EVENTS",
        "stream_created_ms": 1,
        "sequence": number,
        **fields,
    }


def put(engine: Engine, *logs: dict[str, Any]) -> None:
    with engine.begin() as connection:
        for each in logs:
            connection.execute(insert(GENERATION_LOGS), [each])


def test_an_empty_database_has_every_window_and_no_rate(engine: Engine) -> None:
    found = collect_stats(engine, until_ms=NOW_MS)
    assert [(each.window, each.total.requests, each.total.success_rate) for each in found.windows] == [
        ("5m", 0, None),
        ("1h", 0, None),
        ("24h", 0, None),
    ]
    assert (found.open, found.open_since_ms) == (0, None)
    assert found.windows[0].providers == ()
    assert found.windows[0].total.latency_ms is None


def test_a_window_begins_at_its_start_and_ends_before_its_end(engine: Engine) -> None:
    ages = (
        0,
        1,
        5 * MINUTE_MS,
        5 * MINUTE_MS + 1,
        60 * MINUTE_MS,
        24 * 60 * MINUTE_MS,
        24 * 60 * MINUTE_MS + 1,
    )
    put(engine, *(log(number, ago_ms=age) for number, age in enumerate(ages)))
    found = collect_stats(engine, until_ms=NOW_MS)
    assert [each.total.requests for each in found.windows] == [2, 4, 5]


def test_rates_are_shares_of_the_answered_requests(engine: Engine) -> None:
    timeout = {"status": "fail_fallback", "origin": "golden_sample", "error_code": "GEN_TIMEOUT"}
    put(
        engine,
        *(log(number) for number in range(5)),
        log(5, status="cached", origin="cache"),
        log(6, **timeout),
        log(7, **timeout, error_stage="freeform-gen", freeform_gen_ms=9.0),
        log(8, status="skipped", origin="none", error_code="GEN_EMPTY_OUTPUT"),
        log(9, status="failed", origin="none", error_code="GEN_TIMEOUT"),
        log(10, status="rejected", origin="none", error_code="GEN_INVALID_REQUEST", latency_ms=1),
        log(11, status="cancelled", origin="none", error_code="GEN_CANCELLED", latency_ms=90_000),
    )
    total = collect_stats(engine, until_ms=NOW_MS).windows[0].total
    assert (total.requests, total.answered) == (12, 10)
    assert (total.success_rate, total.stand_in_rate, total.failure_rate) == (0.6, 0.3, 0.1)
    assert [(each.code, each.requests, each.rate) for each in total.stand_ins] == [
        ("GEN_TIMEOUT", 2, 0.2),
        ("GEN_EMPTY_OUTPUT", 1, 0.1),
    ]
    assert total.errors == {
        "GEN_TIMEOUT": 3,
        "GEN_EMPTY_OUTPUT": 1,
        "GEN_INVALID_REQUEST": 1,
        "GEN_CANCELLED": 1,
    }
    assert total.latency_ms == Percentiles(p50=100, p95=100, p99=100)


def test_groups_have_the_requests_of_their_provider_kind_and_node(engine: Engine) -> None:
    put(
        engine,
        log(1, node_id="tavern", prompt_tokens=10, completion_tokens=5, cost=0.5),
        log(2, node_id="tavern", provider="openai", model="m-2", prompt_tokens=1, cost=0.25),
        log(3, kind="plot", provider=None, model=None, attempts=0),
        log(4, status="cached", origin="cache", node_id="tavern"),
    )
    found = collect_stats(engine, until_ms=NOW_MS).windows[0]
    assert [(each.name, each.model, each.requests) for each in found.providers] == [
        (None, None, 1),
        ("local", "m-1", 1),
        ("openai", "m-2", 1),
        (CACHE, None, 1),
    ]
    assert [(each.name, each.requests) for each in found.kinds] == [("layout", 3), ("plot", 1)]
    tavern, other = found.nodes
    assert (tavern.name, tavern.requests, other.name, other.requests) == ("tavern", 3, None, 1)
    assert (tavern.prompt_tokens, tavern.completion_tokens, tavern.cost, tavern.calls) == (11, 5, 0.75, 6)
    assert (other.prompt_tokens, other.cost) == (None, None)


def test_stages_have_their_own_work_and_their_own_errors(engine: Engine) -> None:
    put(
        engine,
        *(log(number, freeform_gen_ms=float(number), structuring_ms=2.5) for number in range(1, 101)),
        log(101, status="failed", origin="none", error_code="GEN_TIMEOUT", error_stage="structuring"),
    )
    stages = {each.name: each for each in collect_stats(engine, until_ms=NOW_MS).windows[0].stages}
    assert list(stages) == ["context-build", "freeform-gen", "structuring", "validate-repair", "fallback"]
    assert stages["freeform-gen"].work_ms == Percentiles(p50=50, p95=95, p99=99)
    structuring = stages["structuring"]
    assert (structuring.requests, structuring.errors) == (101, {"GEN_TIMEOUT": 1})
    assert structuring.failure_rate == 0.0099
    assert (stages["fallback"].requests, stages["fallback"].work_ms) == (0, None)


def test_a_stage_can_fail_what_it_has_not_worked_on_and_cancelled_requests_are_no_share(
    engine: Engine,
) -> None:
    late = {"status": "fail_fallback", "origin": "golden_sample", "error_code": "GEN_TIMEOUT"}
    put(
        engine,
        *(log(number, **late, error_stage="freeform-gen") for number in range(5)),
        *(log(5 + number, status="cancelled", origin="none", freeform_gen_ms=3.0) for number in range(5)),
    )
    stages = {each.name: each for each in collect_stats(engine, until_ms=NOW_MS).windows[0].stages}
    freeform = stages["freeform-gen"]
    assert (freeform.requests, freeform.failure_rate) == (5, 1.0)


def test_the_windows_end_after_the_latest_result(engine: Engine) -> None:
    assert find_end(engine, now_ms=NOW_MS) == NOW_MS
    put(engine, log(1, ended_at_ms=NOW_MS + MINUTE_MS))
    assert find_end(engine, now_ms=NOW_MS) == NOW_MS + MINUTE_MS + 1
    assert find_end(engine, now_ms=NOW_MS + 2 * MINUTE_MS) == NOW_MS + 2 * MINUTE_MS


def test_shadows_count_nowhere(engine: Engine) -> None:
    body = b'{"prompt":"a forest"}'
    result = ev.Shadowed(**msgspec.structs.asdict(success("sh-2")))
    shadow = [received(body, "sh-2", sequence=1), received(result, "sh-2", sequence=8)]
    with database.writing(engine) as connection:
        rows.fold(connection, records(shadow))
    put(engine, log(1, ended_at_ms=START_MS), log(3, request_id="rp-3-1", ended_at_ms=START_MS))
    found = collect_stats(engine, until_ms=START_MS + MINUTE_MS).windows[0]
    assert len(rows_of(engine, GENERATION_LOGS)) == 3
    assert (found.total.requests, found.kinds[0].requests) == (2, 2)


def test_a_folded_request_has_its_node_stage_times_and_failing_stage(engine: Engine) -> None:
    result = life()[7]
    body = b'{"prompt":"a forest","node":{"id":"tavern"}}'
    spent = {"context-build": 1.5, "freeform-gen": 700.25, "fallback": 2.0}
    failed = stand_in("r-1", ErrorCode.GEN_TIMEOUT, cost=Cost(time_ms=spent))
    events = [received(body, sequence=1), msgspec.structs.replace(result, event=failed)]
    with database.writing(engine) as connection:
        rows.fold(connection, records(events))
    (row,) = rows_of(engine, GENERATION_LOGS)
    assert (row["node_id"], row["error_stage"]) == ("tavern", "freeform-gen")
    assert (row["context_build_ms"], row["freeform_gen_ms"], row["fallback_ms"]) == (1.5, 700.25, 2.0)
    assert row["structuring_ms"] is None
    found = collect_stats(engine, until_ms=START_MS + MINUTE_MS).windows[0]
    assert (found.nodes[0].name, found.nodes[0].stand_in_rate) == ("tavern", 1.0)


def test_open_requests_are_counted_with_the_age_of_the_oldest(engine: Engine) -> None:
    waiting = [received(b'{"prompt":"x"}', f"r-{n}", sequence=n, at_ms=NOW_MS - n) for n in (1, 2)]
    with database.writing(engine) as connection:
        rows.fold(connection, records(waiting))
    found = collect_stats(engine, until_ms=NOW_MS)
    assert (found.open, found.open_since_ms) == (2, NOW_MS - 2)


def test_open_shadows_are_not_counted(engine: Engine) -> None:
    with database.writing(engine) as connection:
        rows.fold(connection, records([received(b'{"prompt":"x"}', "sh-1", sequence=1, at_ms=NOW_MS - 5)]))
    assert collect_stats(engine, until_ms=NOW_MS).open == 0


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=300), st.integers(1, 5))
def test_percentiles_are_the_values_at_the_nearest_rank(values: list[int], parts: int) -> None:
    found = percentiles([values[part::parts] for part in range(parts)])
    assert found is not None
    for share, value in ((0.5, found.p50), (0.95, found.p95), (0.99, found.p99)):
        assert value in values
        assert sum(each <= value for each in values) >= ceil(round(share * len(values), 6))
        assert sum(each < value for each in values) < share * len(values)


def test_both_queries_use_an_index(engine: Engine) -> None:
    put(engine, *(log(number) for number in range(200)))
    dialect = {"sqlite": sqlite, "postgresql": postgresql}[engine.dialect.name].dialect()
    plans: list[str] = []
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            # Reading a table of 200 rows is cheaper without an index.
            connection.execute(text("SET LOCAL enable_seqscan = off"))
        explain = "EXPLAIN QUERY PLAN" if engine.dialect.name == "sqlite" else "EXPLAIN"
        for query in (select_logs(since_ms=NOW_MS - MINUTE_MS, until_ms=NOW_MS), select_open()):
            plain = query.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
            found = connection.exec_driver_sql(f"{explain} {plain}").all()
            plans.append("\n".join(str(row) for row in found))
    assert "ix_generation_logs_ended" in plans[0]
    assert "ix_generations_open" in plans[1]
    assert not any("SCAN generation_logs" in plan or "Seq Scan" in plan for plan in plans)


def test_rows_of_the_third_version_get_their_columns_from_the_records(database_url: str) -> None:
    engine = database.engine_of(database_url)
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    meta = Meta(requested_at_ms=START_MS, cost=Cost(time_ms={"structuring": 7.5}))
    end = {"stream": "EVENTS", "created_ms": 1, "sequence": 2, "at_ms": START_MS + 9}
    result = msgspec.to_builtins(success("r-1", meta=msgspec.structs.replace(meta, provider="scripted")))
    result["error"] = {"stage": "structuring"}
    record = {"asked": {"parameters": {"template_id": "inn"}}, "end": {**end, "result": result}}
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0004")
        connection.execute(
            text(
                "INSERT INTO generations (request_id, life_ms, kind, status, record) "
                "VALUES ('r-1', 7, 'layout', 'success', :record)"
            ),
            {"record": json.dumps(record)},
        )
        for sequence in (2, 3):
            connection.execute(
                text(
                    "INSERT INTO generation_logs (request_id, life_ms, kind, status, origin, attempts, ended_at_ms, "
                    "stream, stream_created_ms, sequence) VALUES ('r-1', 7, 'layout', 'success', 'live', 1, 57, "
                    "'EVENTS', 1, :sequence)"
                ),
                {"sequence": sequence},
            )
    database.migrate(engine)
    found = {
        row["sequence"]: (row["node_id"], row["error_stage"], row["structuring_ms"], row["fallback_ms"])
        for row in rows_of(engine, GENERATION_LOGS)
    }
    assert found == {2: ("inn", "structuring", 7.5, None), 3: ("inn", None, None, None)}
    engine.dispose()
