"""Listing of the audit: what each word of the filter vocabulary finds, in what order, and by which index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine, event, insert, select, text

from contracts.errors import ErrorCode
from infra.inspect.archive import ContentGone, find_result, has_request
from infra.inspect.audit_listing import iterate, ls
from infra.inspect.filter_conditions import build_conditions
from infra.inspect.request_filter import RequestFilter
from infra.stores import database, rows
from infra.stores.database import GENERATIONS
from stages.audit.fold import RequestRecord
from tests.broker.audit_fixtures import BACKENDS, database_url, engine, postgres
from tests.lives import BODY, START_MS, life, received, records, stand_in, success

__all__ = ["database_url", "engine", "postgres"]


def _add(engine: Engine, found: list[RequestRecord]) -> None:
    with database.writing(engine) as connection:
        rows.fold(connection, found)


def test_lists_are_newest_first_and_tell_what_they_leave_out(engine: Engine) -> None:
    for n in range(4):
        _add(engine, records(life(f"r-{n}", first=10 * n + 1, at_ms=START_MS + n)))
    _add(engine, records([received(BODY, "r-9", sequence=99, at_ms=START_MS + 9)]))
    listed = ls(engine, limit=3)
    assert ([row["request_id"] for row in listed.rows], listed.cut) == (["r-9", "r-3", "r-2"], 2)
    assert [row["request_id"] for row in iterate(engine)] == ["r-9", "r-3", "r-2", "r-1", "r-0"]
    assert [row["request_id"] for row in iterate(engine, limit=1)] == ["r-9"]
    searched = ls(engine, where=RequestFilter(text="FOREST"), limit=1)
    assert ([row["request_id"] for row in searched.rows], searched.cut) == (["r-9"], 4)


@pytest.mark.parametrize(
    ("where", "found"),
    [
        (RequestFilter(request_id="r-1"), ["r-1"]),
        (RequestFilter(request_id="R-1"), []),
        (RequestFilter(request_id="r-?"), ["r-2", "r-1"]),
        (RequestFilter(request_id="*1"), ["r_1", "r-1"]),
        (RequestFilter(request_id="R*"), []),
        (RequestFilter(request_id="r_*"), ["r_1"]),
        (RequestFilter(request_id="[r]*"), []),
        (RequestFilter(kind=("plot",)), ["r-2"]),
        (RequestFilter(status=("success",)), ["r-1"]),
        (RequestFilter(origin=("golden_sample",)), ["r-2"]),
        (RequestFilter(code=("GEN_TIMEOUT",)), ["r-2"]),
        (RequestFilter(stage=("freeform-gen",)), ["r-2"]),
        (RequestFilter(provider="scripted"), ["r-1"]),
        (RequestFilter(model="a-1"), ["r-2"]),
        (RequestFilter(workspace="ws"), ["r_1"]),
        (RequestFilter(workspace="w\x00s"), []),
        (RequestFilter(node="bridge"), ["r_1"]),
        (RequestFilter(since_ms=START_MS + 1), ["r_1", "r-2"]),
        (RequestFilter(until_ms=START_MS + 1), ["r-1"]),
        (RequestFilter(status=("success", "fail_fallback")), ["r-2", "r-1"]),
        (RequestFilter(code=("GEN_TIMEOUT", "GEN_POISON"), origin=("live",)), []),
        (RequestFilter(prompt_version="layout@1"), ["r-1"]),
        (RequestFilter(text="ÜBER"), ["r_1"]),
        (RequestFilter(text="No Answer"), ["r-2"]),
        (RequestFilter(text="100%"), ["r_1"]),
        (RequestFilter(text="_"), []),
        (RequestFilter(text="forest", kind=("plot",)), []),
        (RequestFilter(text="forest"), ["r-1"]),
    ],
)
def test_a_list_can_be_filtered(engine: Engine, where: RequestFilter, found: list[str]) -> None:
    body = '{"prompt": "100% über den Fluss", "workspace": "ws", "node": {"id": "bridge"}}'.encode()
    ended = stand_in("r-2", ErrorCode.GEN_TIMEOUT, requested_at_ms=START_MS + 1)
    failed = msgspec.structs.replace(ended, kind="plot")
    _add(
        engine,
        records(
            [
                *life("r-1"),
                received(b'{"prompt": "a plot"}', "r-2", sequence=20, at_ms=START_MS + 1, kind="plot"),
                received(failed, "r-2", sequence=21, at_ms=START_MS + 5, kind="plot"),
                received(body, "r_1", sequence=30, at_ms=START_MS + 2),
            ]
        ),
    )
    assert [row["request_id"] for row in ls(engine, where=where).rows] == found


def test_shadows_are_left_out_unless_they_are_asked_for(engine: Engine) -> None:
    _add(engine, records([received(BODY, name, sequence=n) for n, name in enumerate(("r-1", "sh-1"), 1)]))

    def found(where: RequestFilter) -> set[str]:
        return {row["request_id"] for row in ls(engine, where=where).rows}

    assert found(RequestFilter()) == {"r-1"}
    assert found(RequestFilter(shadows=True)) == {"r-1", "sh-1"}
    assert found(RequestFilter(request_id="sh-*")) == {"sh-1"}


@pytest.mark.skipif("sqlite" not in BACKENDS, reason="the plan is SQLite's")
@pytest.mark.parametrize(
    ("where", "index"),
    [
        (RequestFilter(), "ix_generations_requested"),
        (RequestFilter(since_ms=5), "ix_generations_requested"),
        (RequestFilter(status=("failed",)), "ix_generations_status"),
        (RequestFilter(code=("GEN_TIMEOUT",)), "ix_generations_code"),
        (RequestFilter(workspace="ws"), "ix_generations_workspace"),
        (RequestFilter(node="bridge"), "ix_generations_node"),
        (RequestFilter(request_id="r-1"), "sqlite_autoindex_generations_1"),
    ],
)
def test_an_index_serves_a_filter(where: RequestFilter, index: str, tmp_path: Path) -> None:
    opened = database.engine_of(f"sqlite:///{tmp_path / 'plan.db'}")
    database.migrate(opened)
    query = (
        select(GENERATIONS.c.request_id)
        .where(*build_conditions(where, dialect="sqlite"))
        .order_by(GENERATIONS.c.requested_at_ms.desc())
    )
    text = str(query.compile(opened, compile_kwargs={"literal_binds": True}))
    with database.reading(opened) as connection:
        plan = " ".join(row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}"))
    opened.dispose()
    assert f"INDEX {index} " in plan


def test_an_index_serves_ids_that_begin_alike(engine: Engine) -> None:
    with database.writing(engine) as connection:
        connection.execute(
            insert(GENERATIONS),
            [
                {
                    "request_id": f"{'w' if n % 1_000 == 0 else 'r'}-{n}",
                    "life_ms": n,
                    "kind": "layout",
                    "status": "success",
                    "requested_at_ms": n,
                    "record": "{}",
                }
                for n in range(20_000)
            ],
        )
    with engine.begin() as connection:
        connection.execute(text("ANALYZE generations"))
    sent: list[tuple[str, Any]] = []

    @event.listens_for(engine, "before_cursor_execute")
    def keep(_: Any, cursor: Any, statement: str, parameters: Any, *rest: Any) -> None:
        sent.append((statement, parameters))

    assert len(ls(engine, where=RequestFilter(request_id="w-*")).rows) == 20
    event.remove(engine, "before_cursor_execute", keep)
    statement, parameters = next(each for each in sent if each[0].startswith("SELECT"))
    explain, line = {
        "sqlite": ("EXPLAIN QUERY PLAN", "SEARCH generations USING INDEX sqlite_autoindex_generations_1 "),
        "postgresql": ("EXPLAIN", "Index Cond: (((request_id)::text ~>=~ 'w-'::text)"),
    }[engine.dialect.name]
    with database.reading(engine) as connection:
        plan = [str(row[-1]) for row in connection.exec_driver_sql(f"{explain} {statement}", parameters)]
    assert any(line in each for each in plan), plan


def test_the_audit_still_has_a_result_that_the_log_has_deleted(engine: Engine) -> None:
    large = success("r-2", content={"text": "x" * 100_000})
    _add(
        engine,
        records([*life("r-1"), received(BODY, "r-2", sequence=20), received(large, "r-2", sequence=21)]),
    )
    assert find_result(engine, "r-1") == success("r-1")
    assert find_result(engine, "nobody") is None
    assert has_request(engine, "r-2")
    assert not has_request(engine, "nobody")
    with pytest.raises(ContentGone, match="audit show r-2"):
        find_result(engine, "r-2")
