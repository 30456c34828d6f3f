"""Rows of the audit tables: made from records, and written many at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from operator import itemgetter
from typing import Any, Final

import msgspec
from sqlalchemy import BigInteger, Integer, RowMapping, String, Table, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection
from sqlalchemy.types import TypeEngine

from contracts import pipeline, revisions, subjects
from contracts.redaction import is_redacted
from infra.stores.database import ANOMALIES, GENERATION_LOGS, GENERATIONS
from stages.audit.fold import (
    NO_LIFE,
    Anomaly,
    End,
    LifeView,
    RequestFacts,
    RequestRecord,
    merge,
    open_since_ms,
    seen,
    status,
)

#: Ids in one statement; SQLite takes 32,766 values.
CHUNK: Final = 1_000
#: Columns of ``generation_logs`` without its own key.
LOG_COLUMNS: Final = tuple(column.name for column in GENERATION_LOGS.columns if column.name != "id")
_LOG_KEY: Final = ("request_id", "stream", "stream_created_ms", "sequence")
_ANOMALY_KEY: Final = ("stream", "stream_created_ms", "sequence")
#: Columns that a log row may lack until its request is read.
_FILLED: Final = ("node_id", "shadow", "prompt", "prompt_hash", "input_hash", "latency_ms")
#: Stages whose work is in a result, and the columns of their milliseconds.
STAGE_COLUMNS: Final = {
    stage: f"{stage.replace('-', '_')}_ms" for stage, row in pipeline.STAGE_OF.items() if not row.records
}
_INT_MAX: Final = 2**31 - 1
_BIGINT_MAX: Final = 2**63 - 1
_decode: Final = msgspec.json.Decoder(RequestRecord).decode


def generation_row(one: LifeView) -> dict[str, Any]:
    """The ``generations`` row of a life."""
    record = one.shown
    result: dict[str, Any] = record.end.result if record.end else {}
    meta: dict[str, Any] = result.get("meta", {})
    error: dict[str, Any] = result.get("error") or {}
    if not record.end and record.trouble:
        trouble = record.trouble
        error = {"code": trouble.code, "stage": trouble.stage, "message": trouble.message}
    asked, step = record.asked, record.step
    provider, model = _provider(result) if record.end else (step and step.provider, step and step.model)
    # Not the time in the result: its writer may have invented it.
    began = asked.at_ms if asked else (step and step.requested_at_ms)
    return _fitting(
        GENERATIONS,
        {
            "request_id": record.request_id,
            "life_ms": record.life_ms,
            "kind": record.kind,
            "status": status(record, repeated=one.repeated),
            "origin": result.get("origin") if asked or step else None,
            "workspace": asked.workspace if asked else (step and step.workspace),
            "node_id": _node_id(asked.parameters) if asked else None,
            "input_hash": asked.input_hash if asked else meta.get("input_hash") or (step and step.input_hash),
            "prompt_hash": meta.get("prompt_hash") or (step and step.prompt_hash),
            "prompt_version": meta.get("prompt_version") or (step and step.prompt_version),
            "attempt": step.attempt if step else None,
            "last_event": "result" if record.end else (step.event if step else "requested"),
            "error_code": error.get("code"),
            "error_stage": error.get("stage"),
            "error_message": error.get("message"),
            "provider": provider,
            "model": model,
            "requested_at_ms": began,
            "ended_at_ms": record.end.at_ms if record.end else None,
            "open_since_ms": open_since_ms(record),
            "replay_of": asked.replay_of if asked else meta.get("replay_of") or (step and step.replay_of),
            "shadow": 1 if _is_shadow(record.request_id, asked) else None,
            "revised_by": revisions.source(record.request_id, record.revision and record.revision.by),
            "generated_for": meta.get("generated_for"),
            "searched": _searched(asked.prompt if asked else None, error.get("message")),
            "record": msgspec.json.encode(one.record).decode(),
        },
    )


def log_row(request_id: str, end: End, asked: RequestFacts | None) -> dict[str, Any]:
    """The ``generation_logs`` row of an end; ``asked`` is the request that it answers, if known."""
    result = end.result
    meta = result["meta"]
    tokens, time_ms = meta["cost"]["tokens"], meta["cost"]["time_ms"]
    error = result.get("error") or {}
    provider, model = _provider(result)
    arm: dict[str, Any] = meta.get("experiment") or {}
    began = meta.get("requested_at_ms")
    if began is None and asked is not None:
        began = asked.at_ms
    return _fitting(
        GENERATION_LOGS,
        {
            "request_id": request_id,
            "life_ms": began or NO_LIFE,
            "kind": result["kind"],
            "status": result["status"],
            "origin": result["origin"],
            "node_id": _node_id(asked.parameters) if asked else None,
            "shadow": 1 if _is_shadow(request_id, asked) else None,
            "input_hash": meta.get("input_hash") or (asked and asked.input_hash),
            "prompt": asked.prompt if asked else None,
            "prompt_hash": meta.get("prompt_hash"),
            "latency_ms": max(0, end.at_ms - began) if began is not None else None,
            **{column: time_ms.get(stage) for stage, column in STAGE_COLUMNS.items()},
            "error_code": error.get("code"),
            "error_stage": error.get("stage"),
            "provider": provider,
            "model": model,
            "attempts": len(result["attempts"]),
            "prompt_tokens": tokens.get("prompt"),
            "completion_tokens": tokens.get("completion"),
            "cost": meta["cost"].get("amount"),
            "experiment": arm.get("name"),
            "experiment_arm": arm.get("arm"),
            "experiment_unit": arm.get("unit"),
            "experiment_revision": arm.get("revision"),
            "ended_at_ms": end.at_ms,
            "stream": end.stream,
            "stream_created_ms": end.created_ms,
            "sequence": end.sequence,
        },
    )


def put_anomalies(connection: Connection, found: Iterable[tuple[str, Anomaly]]) -> None:
    """Write anomalies, each with the id that it is listed under; what is stored already stays."""
    values = [anomaly_row(named, anomaly) for named, anomaly in found]
    _write(connection, _insert(connection, ANOMALIES), values, key=_ANOMALY_KEY, changes=None)


def anomaly_row(request_id: str, anomaly: Anomaly) -> dict[str, Any]:
    """The ``anomalies`` row of a message that contradicts itself."""
    return _fitting(
        ANOMALIES,
        {
            "stream": anomaly.stream,
            "stream_created_ms": anomaly.created_ms,
            "sequence": anomaly.sequence,
            "kind": anomaly.kind,
            "request_id": request_id,
            "subject": anomaly.subject,
            "at_ms": anomaly.at_ms,
            "detail": anomaly.detail,
        },
    )


#: One life of one id.
Life = tuple[str, int]


def fold(
    connection: Connection,
    records: Iterable[RequestRecord],
    *,
    generations: Table = GENERATIONS,
    logs: Table = GENERATION_LOGS,
) -> None:
    """Merge records into the tables, within the caller's transaction.

    However many records there are, two statements read and write ``generations`` and one appends to
    ``generation_logs``; a third and a fourth follow where ids were used again or messages contradict themselves.
    """
    known: dict[Life, RequestRecord] = {}
    ends: dict[tuple[str, int, int], tuple[Life, End]] = {}
    anomalies: dict[tuple[str, int, int], dict[str, Any]] = {}
    for record in records:
        life = record.request_id, record.life_ms
        plain = record
        if record.anomaly is not None:
            found = anomaly_row(record.request_id, record.anomaly)
            anomalies[found["stream"], found["stream_created_ms"], found["sequence"]] = found
            plain = msgspec.structs.replace(record, anomaly=None)
        known[life] = merge(known[life], plain) if life in known else plain
        if record.end is not None:
            # Each result is logged, even one that should not exist.
            ends[record.request_id, record.end.created_ms, record.end.sequence] = life, record.end
    for stored in stored_records(connection, sorted({life[0] for life in known}), generations):
        life = stored.request_id, stored.life_ms
        merged = known[life] = merge(known[life], stored) if life in known else stored
        if stored.end is not None and stored.asked != merged.asked:
            # The request is read after its result: now the missing columns of the log row are known.
            ends[stored.request_id, stored.end.created_ms, stored.end.sequence] = life, stored.end
    put(connection, list(known.values()), generations=generations)
    _append(
        connection,
        logs,
        [log_row(life[0], end, known[life].asked) for _, (life, end) in sorted(ends.items())],
    )
    insert = _insert(connection, ANOMALIES)
    _write(connection, insert, [anomalies[key] for key in sorted(anomalies)], key=_ANOMALY_KEY, changes=None)


def put(connection: Connection, lives: Sequence[RequestRecord], *, generations: Table = GENERATIONS) -> None:
    """Write all lives of some ids unchanged, within the caller's transaction.

    Args:
        connection: the transaction.
        lives: every known life of each of these ids.
        generations: the table.
    """
    of: dict[str, list[RequestRecord]] = {}
    for one in lives:
        of.setdefault(one.request_id, []).append(one)
    values: list[dict[str, Any]] = []
    # In the order of the key, for locality.
    for request_id in sorted(of):
        shown = seen(of[request_id])
        values += [generation_row(each) for each in shown]
        gone = {each.life_ms for each in of[request_id]} - {each.record.life_ms for each in shown}
        if gone:
            key = generations.c
            connection.execute(
                delete(generations).where(key.request_id == request_id, key.life_ms.in_(sorted(gone)))
            )
    insert = _insert(connection, generations)
    changed = [column.name for column in generations.columns if not column.primary_key]
    changes = {name: insert.excluded[name] for name in changed}
    _write(connection, insert, values, key=("request_id", "life_ms"), changes=changes)


def put_logs(connection: Connection, log_rows: list[dict[str, Any]]) -> None:
    """Write log rows over those of the same results; columns that the new rows lack keep their values."""
    insert = _insert(connection, GENERATION_LOGS)
    changes: dict[str, Any] = {
        name: insert.excluded[name] for name in LOG_COLUMNS if name not in (*_LOG_KEY, *_FILLED)
    }
    changes |= {name: func.coalesce(insert.excluded[name], GENERATION_LOGS.c[name]) for name in _FILLED}
    _write(connection, insert, log_rows, key=_LOG_KEY, changes=changes)


def log_key(row: RowMapping) -> tuple[Any, ...]:
    """The key of a log row: the result that it is about."""
    return tuple(row[name] for name in _LOG_KEY)


def stored_records(connection: Connection, ids: Sequence[str], generations: Table) -> Iterator[RequestRecord]:
    """Yield every stored life of these ids."""
    for start in range(0, len(ids), CHUNK):
        some = list(ids[start : start + CHUNK])
        # Padded to a power of two: the driver caches a statement for each length.
        some += some[-1:] * ((1 << (len(some) - 1).bit_length()) - len(some))
        query = select(generations.c.record, generations.c.life_ms).where(generations.c.request_id.in_(some))
        for row in connection.execute(query):
            record = _decode(row[0])
            # In rows of the first version only the column has it.
            same = record.life_ms == row[1]
            yield record if same else msgspec.structs.replace(record, life_ms=row[1])


def page_of_ids(connection: Connection, table: Table, *, after: str = "") -> list[str]:
    """The next :data:`CHUNK` ids of a table, in their order; none: there are no more."""
    key = table.c.request_id
    query = select(key).where(key > after).distinct().order_by(key).limit(CHUNK)
    return [found[0] for found in connection.execute(query)]


def _insert(connection: Connection, table: Table) -> Any:
    return (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)


def _append(connection: Connection, table: Table, values: list[dict[str, Any]]) -> None:
    """Append rows; in existing ones fill in what was unknown, and change nothing else."""
    insert = _insert(connection, table)
    filled = {name: func.coalesce(table.c[name], insert.excluded[name]) for name in _FILLED}
    _write(connection, insert, values, key=_LOG_KEY, changes=filled)


def _write(
    connection: Connection,
    insert: Any,
    values: list[dict[str, Any]],
    *,
    key: tuple[str, ...],
    changes: dict[str, Any] | None,
) -> None:
    if not values:
        return
    where = {"index_elements": list(key)}
    statement = (
        insert.on_conflict_do_nothing(**where)
        if changes is None
        else insert.on_conflict_do_update(**where, set_=changes)
    )
    # Directly to the driver: SQLAlchemy would inspect every value of every row, which takes longer than all the rest.
    compiled = statement.compile(dialect=connection.dialect, column_keys=list(values[0]))
    order: list[str] | None = compiled.positiontup
    rows = values if order is None else list(map(itemgetter(*order), values))
    connection.exec_driver_sql(compiled.string, rows)


def _provider(result: dict[str, Any]) -> tuple[str | None, str | None]:
    """Provider and model that wrote the content, else those of the last attempt."""
    meta, attempts = result["meta"], result["attempts"]
    if meta.get("provider") is not None or not attempts:
        return meta.get("provider"), meta.get("model")
    return attempts[-1]["provider"], attempts[-1]["model"]


def _node_id(parameters: dict[str, Any]) -> str | None:
    """Id of the node, else of its template."""
    node = parameters.get("node") or {}
    return node.get("id") or parameters.get("template_id")


def _is_shadow(request_id: str, asked: RequestFacts | None) -> bool:
    """Whether a request is a replay for comparison: its id and its body say so."""
    return subjects.is_shadow(request_id) or (asked is not None and asked.parameters.get("shadow") is True)


def _searched(*texts: str | None) -> str | None:
    """Texts as searches compare them: case-folded, one below the other, without what stands in for one."""
    kept = [each.casefold() for each in texts if each and not is_redacted(each)]
    return "\n".join(kept) or None


def _fitting(table: Table, row: dict[str, Any]) -> dict[str, Any]:
    """A row whose values fit their columns on both databases, whatever the message had."""
    fits = _FITS[table.name]
    return {name: None if value is None else fits[name](value) for name, value in row.items()}


def _fit(column: TypeEngine[Any]) -> Callable[[Any], Any]:
    match column:
        case BigInteger():
            return partial(_whole, _BIGINT_MAX)
        case Integer():
            return partial(_whole, _INT_MAX)
        case String():
            return partial(_text, column.length)
        case _:
            return lambda value: value


def _whole(most: int, value: int) -> int:
    return value if -most <= value <= most else max(-most, min(most, value))


def _text(size: int | None, value: str) -> str:
    # PostgreSQL refuses longer texts than declared, and NUL; UTF-8 has no half of a surrogate pair.
    text = value if size is None else value[:size]
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    return text.replace("\x00", "\ufffd")


_FITS: Final = {
    table.name: {column.name: _fit(column.type) for column in table.columns}
    for table in (GENERATIONS, GENERATION_LOGS, ANOMALIES)
}
