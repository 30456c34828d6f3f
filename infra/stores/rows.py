"""How does a record of the fold become rows, and how are many written at once?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Table, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from infra.stores.database import GENERATION_LOGS, GENERATIONS
from stages.audit.fold import Record, merge, status

#: Ids asked for in one statement; SQLite takes 32,766 values.
_CHUNK: Final = 500
_decode: Final = msgspec.json.Decoder(Record).decode


def generation_row(record: Record) -> dict[str, Any]:
    """The ``generations`` row of a record."""
    result: dict[str, Any] = record.end.result if record.end else {}
    meta: dict[str, Any] = result.get("meta", {})
    error: dict[str, Any] = result.get("error") or {}
    if not record.end and record.trouble:
        trouble = record.trouble
        error = {"code": trouble.code, "stage": trouble.stage, "message": trouble.message}
    asked, step = record.asked, record.step
    return {
        "request_id": record.request_id,
        "kind": record.kind,
        "status": status(record),
        "origin": result.get("origin"),
        "workspace": asked.workspace if asked else None,
        "input_hash": meta.get("input_hash") or (asked.input_hash if asked else None),
        "prompt_hash": meta.get("prompt_hash") or (step.prompt_hash if step else None),
        "prompt_version": meta.get("prompt_version") or (step.prompt_version if step else None),
        "attempt": step.attempt if step else None,
        "last_event": "result" if record.end else (step.event if step else "requested"),
        "error_code": error.get("code"),
        "error_stage": error.get("stage"),
        "error_message": error.get("message"),
        "provider": meta.get("provider"),
        "model": meta.get("model"),
        "requested_at_ms": asked.at_ms if asked else meta.get("requested_at_ms"),
        "ended_at_ms": record.end.at_ms if record.end else None,
        "replay_of": asked.replay_of if asked else meta.get("replay_of"),
        "revised_by": record.revision.by if record.revision else None,
        "record": msgspec.json.encode(record).decode(),
    }


def log_row(record: Record) -> dict[str, Any] | None:
    """The ``generation_logs`` row of an ended request."""
    if record.end is None:
        return None
    result = record.end.result
    meta = result["meta"]
    cost = meta["cost"]
    asked = record.asked
    began = meta.get("requested_at_ms") or (asked.at_ms if asked else None)
    return {
        "request_id": record.request_id,
        "kind": result["kind"],
        "status": result["status"],
        "origin": result["origin"],
        "input_hash": meta.get("input_hash") or (asked.input_hash if asked else None),
        "prompt": asked.prompt if asked else None,
        "prompt_hash": meta.get("prompt_hash") or (record.step.prompt_hash if record.step else None),
        "latency_ms": record.end.at_ms - began if began is not None else None,
        "error_code": (result.get("error") or {}).get("code"),
        "provider": meta.get("provider"),
        "model": meta.get("model"),
        "attempts": len(result["attempts"]),
        "prompt_tokens": cost["tokens"].get("prompt"),
        "completion_tokens": cost["tokens"].get("completion"),
        "cost": cost.get("amount"),
        "ended_at_ms": record.end.at_ms,
        "stream": record.end.stream,
        "stream_created_ms": record.end.created_ms,
        "sequence": record.end.sequence,
    }


def fold(
    connection: Connection,
    records: Iterable[Record],
    *,
    generations: Table = GENERATIONS,
    logs: Table = GENERATION_LOGS,
) -> None:
    """Merge records into the tables, within the caller's transaction."""
    waiting: dict[str, Record] = {}
    for record in records:
        known = waiting.get(record.request_id)
        waiting[record.request_id] = merge(known, record) if known else record
    for request_id, stored in _stored(connection, list(waiting), generations):
        waiting[request_id] = merge(waiting[request_id], stored)
    ordered = [waiting[request_id] for request_id in sorted(waiting)]
    _upsert(connection, generations, [generation_row(one) for one in ordered])
    _upsert_logs(connection, logs, [row for one in ordered if (row := log_row(one)) is not None])


def _stored(connection: Connection, ids: Sequence[str], generations: Table) -> list[tuple[str, Record]]:
    found: list[tuple[str, Record]] = []
    for start in range(0, len(ids), _CHUNK):
        query = select(generations.c.request_id, generations.c.record).where(
            generations.c.request_id.in_(ids[start : start + _CHUNK])
        )
        found += [(row[0], _decode(row[1])) for row in connection.execute(query)]
    return found


def _insert(connection: Connection, table: Table) -> Any:
    return (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)


def _upsert(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    insert = _insert(connection, table)
    changed = {name: insert.excluded[name] for name in rows[0] if name != "request_id"}
    connection.execute(insert.on_conflict_do_update(index_elements=["request_id"], set_=changed), rows)


def _upsert_logs(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Append; what was unknown when the row was written is filled in, nothing is changed."""
    if not rows:
        return
    insert = _insert(connection, table)
    filled = {
        name: func.coalesce(table.c[name], insert.excluded[name])
        for name in ("prompt", "prompt_hash", "input_hash", "latency_ms")
    }
    key = ["stream", "stream_created_ms", "sequence"]
    connection.execute(insert.on_conflict_do_update(index_elements=key, set_=filled), rows)
