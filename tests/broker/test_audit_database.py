"""Does a database get its tables, whoever asks for them and however many at once?"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, inspect, text

from infra.stores import access_tables, database, design_tables, replay_tables
from tests.broker.audit_fixtures import database_url, engine, postgres

__all__ = ["database_url", "engine", "postgres"]

EMPTY = r"is empty, needs schema \d{4}"
MIGRATE = "import sys; from infra.stores import database as d; d.migrate(d.engine_of(sys.argv[1]))"


def test_a_new_database_has_no_tables_and_asking_creates_none(database_url: str) -> None:
    for _ in range(2):
        assert re.fullmatch(EMPTY, database.migration_state(database_url) or "")


def test_asking_about_a_missing_sqlite_file_does_not_create_it(tmp_path: Path) -> None:
    file = tmp_path / "none" / "audit.db"
    assert re.fullmatch(EMPTY, database.migration_state(f"sqlite:///{file}") or "")
    assert not file.parent.exists()


def test_migrating_twice_is_migrating_once(engine: Engine, database_url: str) -> None:
    database.migrate(engine)
    assert database.migration_state(database_url) == "current"


def test_several_processes_may_migrate_at_once(database_url: str) -> None:
    command = [sys.executable, "-c", MIGRATE, database_url]
    started = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate(timeout=60)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], said
    assert database.migration_state(database_url) == "current"


def test_the_migrations_make_the_tables_that_the_code_describes(engine: Engine) -> None:

    def belongs(_: Any, name: str | None, *rest: Any) -> bool:
        return engine.dialect.name == "postgresql" or name != "ix_generations_id_prefix"

    with engine.connect() as connection:
        options = {"compare_type": True, "include_object": belongs}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, database.METADATA) == []
    tables = {
        "generations",
        "generation_logs",
        replay_tables.REPLAY_JOBS.name,
        replay_tables.REPLAY_ITEMS.name,
        access_tables.ACCESS_TOKENS.name,
        design_tables.DESIGNS.name,
    }
    assert tables <= set(inspect(engine).get_table_names())


def test_rows_of_the_first_version_become_lives(database_url: str) -> None:
    engine = database.engine_of(database_url)
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    asked = {"at_ms": 7, "prompt": "Über\x00", "parameters": {"node": {"id": "bridge"}}}
    meta, error = {"generated_for": "\x00" + "g" * 70}, {"stage": "\x00" + "s" * 40}
    end = {"created_ms": 1, "sequence": 1, "result": {"meta": meta, "error": error}}
    lines = [("r-1", {"asked": asked, "end": end}), ("r-2", {"step": {"requested_at_ms": 8}}), ("nobody", {})]
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for request_id, record in lines:
            connection.execute(
                text(
                    "INSERT INTO generations (request_id, kind, status, record) VALUES (:id, 'layout', 'success', :as)"
                ),
                {"id": request_id, "as": json.dumps(record)},
            )
        connection.execute(
            text(
                "INSERT INTO generation_logs (request_id, kind, status, origin, attempts, ended_at_ms, latency_ms, "
                "stream, stream_created_ms, sequence) VALUES ('r-1', 'layout', 'success', 'live', 1, 57, 50, 'E', 1, 1)"
            )
        )
    database.migrate(engine)
    with database.reading(engine) as connection:
        found = connection.execute(text("SELECT request_id, life_ms FROM generations ORDER BY 2")).all()
        ended = connection.execute(text("SELECT life_ms FROM generation_logs")).scalar()
        searched = connection.execute(
            text("SELECT node_id, searched FROM generations ORDER BY request_id DESC")
        ).all()
        fitted = connection.execute(
            text(
                "SELECT generated_for, logs.error_stage, logs.node_id FROM generations JOIN generation_logs AS logs "
                "USING (request_id)"
            )
        ).all()
    assert ([tuple(row) for row in found], ended) == ([("nobody", 0), ("r-1", 7), ("r-2", 8)], 7)
    assert [tuple(row) for row in searched] == [(None, None), ("bridge", "über\ufffd"), (None, None)]
    assert [tuple(row) for row in fitted] == [("\ufffd" + "g" * 63, "\ufffd" + "s" * 31, "bridge")]
    engine.dispose()


def test_tables_of_a_newer_release_are_left_alone(engine: Engine, database_url: str) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(database.DatabaseError, match="version 9999"):
        database.migrate(engine)
    with pytest.raises(database.DatabaseError, match="newer release"):
        database.migration_state(database_url)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("nonsense", "cannot be read"),
        ("mysql://host/db", "'mysql' is not supported"),
        ("sqlite://", "in memory"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_with_the_way_out(url: str, says: str) -> None:
    with pytest.raises(database.DatabaseError, match=says):
        database.engine_of(url)


@pytest.mark.parametrize("url", ["postgresql://u@h/d", "postgres://u@h/d", "postgresql+psycopg://u@h/d"])
def test_postgresql_means_the_driver_that_is_installed(url: str) -> None:
    assert database.url_of(url).drivername == "postgresql+psycopg"


def test_one_rebuild_at_a_time(engine: Engine) -> None:
    first = ExitStack()
    first.enter_context(database.rebuilding(engine))
    with first, pytest.raises(database.DatabaseError, match="another rebuild"), database.rebuilding(engine):
        pytest.fail("a second rebuild was let in")
    with database.rebuilding(engine):
        pass


def test_a_reader_neither_waits_for_a_writer_nor_stops_one(engine: Engine) -> None:
    with database.writing(engine) as writer, database.reading(engine) as reader:
        writer.execute(text("DELETE FROM generations"))
        assert reader.execute(text("SELECT count(*) FROM generations")).scalar() == 0
