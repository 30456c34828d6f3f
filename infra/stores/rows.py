"""How does a record of the fold become rows, and how are many written at once?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import RowMapping, Table, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from infra.stores.database import GENERATION_LOGS, GENERATIONS
from stages.audit.fold import Asked, End, Record, merge, open_since_ms, status

#: Ids asked for in one statement; SQLite takes 32,766 values.
CHUNK: Final = 1_000
#: Columns of ``generation_logs`` that say something.
LOG_COLUMNS: Final = tuple(column.name for column in GENERATION_LOGS.columns if column.name != "id")
_LOG_KEY: Final = ("request_id", "stream", "stream_created_ms", "sequence")
#: What a log row may lack while its request has not been read.
_FILLED: Final = ("prompt", "prompt_hash", "input_hash", "latency_ms")
_INT_MAX: Final = 2**31 - 1
_BIGINT_MAX: Final = 2**63 - 1
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
    provider, model = _who(result) if record.end else (step and step.provider, step and step.model)
    began = asked.at_ms if asked else meta.get("requested_at_ms") or (step and step.requested_at_ms)
    return {
        "request_id": record.request_id,
        "kind": record.kind,
        "status": status(record),
        "origin": result.get("origin"),
        "workspace": asked.workspace if asked else (step and step.workspace),
        "input_hash": asked.input_hash if asked else meta.get("input_hash") or (step and step.input_hash),
        "prompt_hash": meta.get("prompt_hash") or (step and step.prompt_hash),
        "prompt_version": _text(meta.get("prompt_version") or (step and step.prompt_version), 64),
        "attempt": _whole(step.attempt, _INT_MAX) if step else None,
        "last_event": "result" if record.end else (step.event if step else "requested"),
        "error_code": error.get("code"),
        "error_stage": _text(error.get("stage"), 32),
        "error_message": _text(error.get("message")),
        "provider": _text(provider, 64),
        "model": _text(model, 128),
        "requested_at_ms": _whole(began),
        "ended_at_ms": record.end.at_ms if record.end else None,
        "open_since_ms": _whole(open_since_ms(record)),
        "replay_of": asked.replay_of if asked else meta.get("replay_of") or (step and step.replay_of),
        "revised_by": _text(record.revision.by, 64) if record.revision else None,
        "record": msgspec.json.encode(record).decode(),
    }


def log_row(request_id: str, end: End, asked: Asked | None) -> dict[str, Any]:
    """The ``generation_logs`` row of an end; ``asked`` is the request that it answers, if known."""
    result = end.result
    meta = result["meta"]
    tokens = meta["cost"]["tokens"]
    provider, model = _who(result)
    began = meta.get("requested_at_ms")
    if began is None and asked is not None:
        began = asked.at_ms
    return {
        "request_id": request_id,
        "kind": result["kind"],
        "status": result["status"],
        "origin": result["origin"],
        "input_hash": meta.get("input_hash") or (asked and asked.input_hash),
        "prompt": _text(asked.prompt) if asked else None,
        "prompt_hash": meta.get("prompt_hash"),
        "latency_ms": _whole(max(0, end.at_ms - began)) if began is not None else None,
        "error_code": (result.get("error") or {}).get("code"),
        "provider": _text(provider, 64),
        "model": _text(model, 128),
        "attempts": len(result["attempts"]),
        "prompt_tokens": _whole(tokens.get("prompt"), _INT_MAX),
        "completion_tokens": _whole(tokens.get("completion"), _INT_MAX),
        "cost": meta["cost"].get("amount"),
        "ended_at_ms": end.at_ms,
        "stream": end.stream,
        "stream_created_ms": end.created_ms,
        "sequence": end.sequence,
    }


def fold(
    connection: Connection,
    records: Iterable[Record],
    *,
    generations: Table = GENERATIONS,
    logs: Table = GENERATION_LOGS,
) -> None:
    """Merge records into the tables, within the caller's transaction.

    Two statements read and write ``generations``, one appends to ``generation_logs``, however many
    records there are.
    """
    known: dict[str, Record] = {}
    ends: dict[tuple[str, int, int], tuple[str, End]] = {}
    for record in records:
        known[record.request_id] = (
            merge(known[record.request_id], record) if record.request_id in known else record
        )
        if record.end is not None:
            # Each result is logged, also one of a swept id that was used again.
            key = (record.request_id, record.end.created_ms, record.end.sequence)
            ends[key] = (record.request_id, record.end)
    for stored in stored_records(connection, list(known), generations):
        merged = known[stored.request_id] = merge(known[stored.request_id], stored)
        if stored.end is not None and stored.asked != merged.asked:
            # The request is read after its result: what the log row lacked can be filled in.
            ends[stored.request_id, stored.end.created_ms, stored.end.sequence] = (
                stored.request_id,
                stored.end,
            )
    _upsert(connection, generations, list(known.values()))
    _append(connection, logs, [_logged(*ends[key], known) for key in sorted(ends)])


def put(connection: Connection, records: Iterable[Record]) -> None:
    """Write records as they are, whatever is stored; within a transaction that holds the lock."""
    _upsert(connection, GENERATIONS, list(records))


def put_logs(connection: Connection, log_rows: list[dict[str, Any]]) -> None:
    """Write log rows as they are, whatever is stored for the same results; what they lack is kept."""
    insert = _insert(connection, GENERATION_LOGS)
    changes: dict[str, Any] = {
        name: insert.excluded[name] for name in LOG_COLUMNS if name not in (*_LOG_KEY, *_FILLED)
    }
    changes |= {name: func.coalesce(insert.excluded[name], GENERATION_LOGS.c[name]) for name in _FILLED}
    _write(connection, insert, log_rows, key=_LOG_KEY, changes=changes)


def log_key(row: RowMapping) -> tuple[Any, ...]:
    """Which result a log row is about."""
    return tuple(row[name] for name in _LOG_KEY)


def _logged(request_id: str, end: End, known: dict[str, Record]) -> dict[str, Any]:
    asked = known[request_id].asked
    return log_row(request_id, end, asked if asked is not None and end.answers(asked) else None)


def stored_records(connection: Connection, ids: Sequence[str], generations: Table) -> Iterator[Record]:
    """Yield the stored records of these ids."""
    for start in range(0, len(ids), CHUNK):
        some = list(ids[start : start + CHUNK])
        # Filled up to a power of two: every length is a statement of its own, and the driver keeps them.
        some += some[-1:] * ((1 << (len(some) - 1).bit_length()) - len(some))
        query = select(generations.c.record).where(generations.c.request_id.in_(some))
        for row in connection.execute(query):
            yield _decode(row[0])


def _insert(connection: Connection, table: Table) -> Any:
    return (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)


def _upsert(connection: Connection, table: Table, records: list[Record]) -> None:
    # In the order of the key, for locality.
    values = [generation_row(record) for record in sorted(records, key=lambda each: each.request_id)]
    insert = _insert(connection, table)
    changed = [column.name for column in table.columns if not column.primary_key]
    changes = {name: insert.excluded[name] for name in changed}
    _write(connection, insert, values, key=("request_id",), changes=changes)


def _append(connection: Connection, table: Table, values: list[dict[str, Any]]) -> None:
    """Append; what was unknown when the row was written is filled in, nothing is changed."""
    insert = _insert(connection, table)
    filled = {name: func.coalesce(table.c[name], insert.excluded[name]) for name in _FILLED}
    _write(connection, insert, values, key=_LOG_KEY, changes=filled)


def _write(
    connection: Connection,
    insert: Any,
    values: list[dict[str, Any]],
    *,
    key: tuple[str, ...],
    changes: dict[str, Any],
) -> None:
    if values:
        connection.execute(insert.on_conflict_do_update(index_elements=list(key), set_=changes), values)


def _who(result: dict[str, Any]) -> tuple[str | None, str | None]:
    """Who wrote the content, else who was asked last."""
    meta, attempts = result["meta"], result["attempts"]
    if meta.get("provider") is not None or not attempts:
        return meta.get("provider"), meta.get("model")
    return attempts[-1]["provider"], attempts[-1]["model"]


def _text(value: str | None, size: int | None = None) -> str | None:
    """Text that both databases take: PostgreSQL has no NUL, and refuses what is longer than declared."""
    return value[:size].replace("\x00", "\ufffd") if value is not None else None


def _whole(value: int | None, largest: int = _BIGINT_MAX) -> int | None:
    """A number that its column can hold; what the wire brings may be any."""
    return max(-largest, min(largest, value)) if value is not None else None
