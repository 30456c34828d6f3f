"""Redaction of stored rows: the words that were kept before ``audit.store_prompts`` was turned off."""

from __future__ import annotations

from contextlib import closing
from typing import Final

from sqlalchemy import Engine, bindparam, select, update
from sqlalchemy.engine import Connection

from contracts.redaction import is_redacted, redact_text
from infra.stores import database, rows
from infra.stores.database import GENERATION_LOGS, GENERATIONS
from infra.stores.review_tables import REVIEWS
from stages.audit.redact import redact

_logs: Final = GENERATION_LOGS.c
#: Milliseconds for which SQLite's log waits for readers before it stays as it is.
_PATIENCE_MS: Final = 5_000


def redact_rows(engine: Engine) -> int:
    """Replace the words in all rows of requests by hashes and lengths; how many requests had some.  Blocks.

    Reviewers' notes go.

    Audit may continue meanwhile: each page is one transaction.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database does not answer; what is replaced stays so.
    """
    changed, after = 0, ""
    with database.writing(engine) as connection:
        # They may quote what people and models have written.
        connection.execute(update(REVIEWS).where(REVIEWS.c.note.is_not(None)).values(note=None))
    while True:
        with database.writing(engine) as connection:
            if connection.dialect.name == "sqlite":
                # Zeros over what is replaced.
                connection.exec_driver_sql("PRAGMA secure_delete=ON")
            ids = rows.page_of_ids(connection, GENERATIONS, after=after)
            if not ids:
                break
            changed += _redact_page(connection, ids)
        after = ids[-1]
    _truncate_log(engine)
    return changed


def _redact_page(connection: Connection, ids: list[str]) -> int:
    stored = list(rows.stored_records(connection, ids, GENERATIONS))
    touched = {each.request_id for each in stored if redact(each) != each}
    # All lives of an id: each row also shows what belongs to it by its time.
    rows.put(connection, [redact(each) for each in stored if each.request_id in touched])
    query = select(_logs.id, _logs.request_id, _logs.prompt)
    query = query.where(_logs.request_id.in_(ids), _logs.prompt.is_not(None))
    found = [row for row in connection.execute(query) if not is_redacted(row.prompt)]
    if found:
        change = update(GENERATION_LOGS).where(_logs.id == bindparam("key"))
        values = [{"key": row.id, "prompt": redact_text(row.prompt)} for row in found]
        connection.execute(change.values(prompt=bindparam("prompt")), values)
    return len(touched | {row.request_id for row in found})


def _truncate_log(engine: Engine) -> None:
    """Write SQLite's log into the file and empty it: it has the pages as they were."""
    if engine.dialect.name != "sqlite":
        return
    with closing(engine.raw_connection()) as plain:
        cursor = plain.cursor()
        cursor.execute(f"PRAGMA busy_timeout={_PATIENCE_MS}")
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        plain.invalidate()
