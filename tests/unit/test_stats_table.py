"""Table of the statistics: its width, its windows, and what it says when there is nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, text

from infra.cli.stats_table import render
from infra.inspect.figures import GroupFigures, Percentiles, StageFigures, StandInReason
from infra.inspect.stats import WINDOWS, PipelineStats, WindowStats
from infra.stores import database
from infra.stores.database import GENERATION_LOGS
from tests.command_line import understudy

TIMES = Percentiles(p50=2_849.0, p95=59_000.0, p99=599_000.0)


def figures(requests: int = 123_456, **changes: Any) -> GroupFigures:
    return GroupFigures(
        **{
            "requests": requests,
            "statuses": {"success": requests - 1, "cancelled": 1} if requests else {},
            "origins": {"live": requests - 1, "none": 1} if requests else {},
            "answered": max(0, requests - 1),
            "success_rate": 0.9996 if requests else None,
            "stand_in_rate": 0.0004 if requests else None,
            "stand_ins": (StandInReason(code="GEN_TIMEOUT", requests=5, rate=0.0004),) if requests else (),
            "failure_rate": 0.0 if requests else None,
            "errors": {"GEN_TIMEOUT": 5} if requests else {},
            "latency_ms": TIMES if requests else None,
            "calls": 2 * requests,
            "prompt_tokens": 123_456_789 if requests else None,
            "completion_tokens": None,
            "cost": 123_456.789 if requests else None,
            **changes,
        }
    )


def stats(**requests: int) -> PipelineStats:
    """Statistics with so many requests in each window."""
    windows = [
        WindowStats(
            window=window,
            since_ms=-span,
            until_ms=0,
            total=figures(requests[f"in_{window}"]),
            providers=(
                figures(name="an-openai-server", model="a-model-with-a-rather-long-name-4b-instruct"),
            ),
            kinds=(figures(name="transition"),),
            nodes=tuple(figures(name=f"node-{number}") for number in range(13)),
            stages=(
                StageFigures(
                    name="validate-repair",
                    requests=123_455,
                    work_ms=TIMES,
                    errors={"GEN_SCHEMA_INVALID": 1},
                    failure_rate=0.00001,
                ),
            ),
        )
        for window, span in WINDOWS.items()
    ]
    return PipelineStats(until_ms=0, open=3, open_since_ms=-61_000, windows=tuple(windows))


@pytest.fixture
def environment(tmp_path: Path) -> Mapping[str, str]:
    """An audit with its tables and no row."""
    url = f"sqlite:///{tmp_path / 'audit.db'}"
    engine = database.engine_of(url)
    database.migrate(engine)
    engine.dispose()
    return {"UNDERSTUDY_DATABASE_URL": url, "UNDERSTUDY_DATA_DIR": str(tmp_path)}


def test_no_line_is_wider_than_a_terminal_of_80_columns() -> None:
    found = stats(in_5m=123_456, in_1h=123_456, in_24h=123_456)
    lines = [line.plain for line in render(found, "1h", width=80)]
    table = [line for line in lines if not line.startswith(("Requests", "Stand-ins", "Errors"))]
    assert max(map(len, table)) <= 80
    assert any(line.startswith("last hour") and ">99.9%" in line and "<0.1%" in line for line in table)
    joined = "".join(line.strip() for line in table)
    assert "a-model-with-a-ra" in joined
    assert "… 3 more; --json shows all" in lines


def test_the_table_names_its_windows_and_what_is_open() -> None:
    lines = [line.plain for line in render(stats(in_5m=0, in_1h=7, in_24h=7), "24h", width=80)]
    assert "3 are open, the oldest for 61s" in lines[0]
    assert [line.split("  ")[0] for line in lines[2:5]] == ["last 5 minutes", "last hour", "last 24 hours"]
    assert "\nBy provider, last 24 hours" in lines
    assert "Stand-ins by reason: GEN_TIMEOUT 5 (<0.1%)" in lines


def test_a_window_without_requests_says_so() -> None:
    lines = [line.plain for line in render(stats(in_5m=0, in_1h=7, in_24h=7), "5m", width=80)]
    assert lines[-1] == "No request ended in the last 5 minutes; --window shows another one."


def test_nothing_at_all_is_one_sentence(environment: Mapping[str, str]) -> None:
    ended = understudy("stats", environment=environment)
    assert ended.status == 0
    assert "none is open.\nNo request ended in the last 24 hours.\n" in ended.out


def test_json_has_every_window(environment: Mapping[str, str]) -> None:
    ended = understudy("stats", "--json", environment=environment)
    assert [each["window"] for each in json.loads(ended.out)["windows"]] == ["5m", "1h", "24h"]


def test_a_missing_database_names_the_way_out(tmp_path: Path) -> None:
    ended = understudy("stats", environment={"UNDERSTUDY_DATA_DIR": str(tmp_path)})
    assert (ended.status, ended.out) == (1, "")
    assert "start the pipeline ('understudy up')" in " ".join(ended.err.split())


def test_tables_of_an_older_release_say_who_changes_them(environment: Mapping[str, str]) -> None:
    engine = database.engine_of(environment["UNDERSTUDY_DATABASE_URL"])
    with engine.begin() as connection:
        connection.execute(text("DROP INDEX ix_generation_logs_node"))
        connection.execute(text("ALTER TABLE generation_logs DROP COLUMN node_id"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0004'"))
    engine.dispose()
    ended = understudy("stats", environment=environment)
    assert ended.status == 1
    assert "its tables are those of an older version" in " ".join(ended.err.split())


def test_a_file_gets_names_whole(environment: Mapping[str, str]) -> None:
    engine = database.engine_of(environment["UNDERSTUDY_DATABASE_URL"])
    row = {"kind": "layout", "status": "success", "origin": "live", "attempts": 1, "stream": "EVENTS"}
    now_ms = int(time.time() * 1000) - 1_000
    name = "n" * 64
    with engine.begin() as connection:
        more = {
            "request_id": "r",
            "ended_at_ms": now_ms,
            "stream_created_ms": 1,
            "sequence": 1,
            "node_id": name,
        }
        connection.execute(insert(GENERATION_LOGS), [{**row, **more}])
    engine.dispose()
    assert name in understudy("stats", environment=environment).out
