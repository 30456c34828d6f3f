"""Tables of evaluation runs, beside those of the audit."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text

from infra.stores.database import METADATA

EVALUATION_RUNS: Final = Table(
    "evaluation_runs",
    METADATA,
    Column("run", Integer, primary_key=True, autoincrement=True),
    # Of the set: its name, and digits of all its cases.
    Column("name", String(48), nullable=False),
    Column("set_hash", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger),
    Column("cases", Integer, nullable=False),
    Column("repeat", Integer, nullable=False),
    # Of Understudy, and the revision of its folder of sources; none: there is none.
    Column("version", String(64), nullable=False),
    Column("revision", String(64)),
    # What shapes contents, as the process that ran it was set; JSON, without secrets.
    Column("settings", Text, nullable=False),
    Index("ix_evaluation_runs_name", "name", "run"),
    # The number of a run is never used again.
    sqlite_autoincrement=True,
)

EVALUATION_RESULTS: Final = Table(
    "evaluation_results",
    METADATA,
    Column("run", Integer, primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("request_id", String(64), nullable=False),
    # infra.inspect.evaluation_scores.CaseResult as JSON.
    Column("record", Text, nullable=False),
    Index("ix_evaluation_results_request", "request_id"),
)
