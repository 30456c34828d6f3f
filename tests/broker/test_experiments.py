"""Readings of experiments from both databases, over the index that is made for them."""

from __future__ import annotations

from sqlalchemy import Engine, insert, text

from contracts.experiments import Experiment
from infra.inspect.experiments import read_experiment
from infra.stores.database import GENERATION_LOGS
from tests.broker.audit_fixtures import database_url, engine, postgres

__all__ = ["database_url", "engine", "postgres"]

PLAN = Experiment.model_validate(
    {"name": "tone", "unit": "request", "minimum": 30, "arms": [{"name": "a"}, {"name": "b"}]}
)


def log(engine: Engine, number: int, **fields: object) -> None:
    row = {
        "request_id": f"r-{number}",
        "kind": "layout",
        "status": "success",
        "origin": "live",
        "attempts": 1,
        "latency_ms": number,
        "ended_at_ms": number,
        "stream": "EVENTS",
        "stream_created_ms": 1,
        "sequence": number,
        "experiment": PLAN.name,
        "experiment_arm": "ab"[number % 2],
        "experiment_unit": f"{number:016x}",
        "experiment_revision": PLAN.revision,
    }
    with engine.begin() as connection:
        connection.execute(insert(GENERATION_LOGS), row | fields)


def test_a_reading_takes_the_results_of_its_experiment_version_and_window(engine: Engine) -> None:
    for number in range(1, 9):
        log(engine, number)
    log(engine, 20, experiment_revision="another")
    log(engine, 21, experiment="other")
    log(engine, 22, shadow=1)
    found = read_experiment(engine, PLAN, until_ms=100)
    assert ([each.results for each in found.arms], found.earlier) == ([4, 4], 1)
    since = read_experiment(engine, PLAN, since_ms=7, until_ms=8)
    assert [each.results for each in since.arms] == [0, 1]


def test_the_results_of_an_experiment_are_found_over_an_index(engine: Engine) -> None:
    explain = "EXPLAIN QUERY PLAN" if engine.dialect.name == "sqlite" else "EXPLAIN"
    query = explain + " SELECT status FROM generation_logs WHERE experiment = 'tone' AND ended_at_ms >= 5"  # noqa: S608 - a constant
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL enable_seqscan = off"))
        plan = " ".join(str(row) for row in connection.execute(text(query)))
    assert "ix_generation_logs_experiment" in plan
