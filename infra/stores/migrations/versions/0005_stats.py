"""Columns of ``generation_logs`` for statistics: node, shadow, failing stage and each stage's work; from the records where known."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_PAGE = 1_000
#: Columns of the stages' milliseconds, by the stage's name in a result.
_STAGES = {
    "context-build": "context_build_ms",
    "freeform-gen": "freeform_gen_ms",
    "structuring": "structuring_ms",
    "validate-repair": "validate_repair_ms",
    "fallback": "fallback_ms",
}


def upgrade() -> None:
    op.add_column("generation_logs", sa.Column("node_id", sa.String(64)))
    op.add_column("generation_logs", sa.Column("shadow", sa.Integer))
    op.add_column("generation_logs", sa.Column("error_stage", sa.String(32)))
    for name in _STAGES.values():
        op.add_column("generation_logs", sa.Column(name, sa.Float))
    _fill(op.get_bind())


def _fill(connection: sa.Connection) -> None:
    """Read the record of every log row once, in pages by key."""
    last = 0
    query = sa.text(
        "SELECT logs.id, logs.stream_created_ms, logs.sequence, requests.record FROM generation_logs AS logs "
        "JOIN generations AS requests ON requests.request_id = logs.request_id AND requests.life_ms = logs.life_ms "
        "WHERE logs.id > :last ORDER BY logs.id LIMIT :page"
    )
    names = ("node_id", "error_stage", *_STAGES.values())
    change = sa.text(
        f"UPDATE generation_logs SET {', '.join(f'{name} = :{name}' for name in names)} WHERE id = :id"  # noqa: S608
    )
    while rows := connection.execute(query, {"last": last, "page": _PAGE}).all():
        connection.execute(
            change, [{"id": row[0], **_values(json.loads(row[3]), row[1], row[2])} for row in rows]
        )
        last = rows[-1][0]


def _values(record: dict[str, Any], created_ms: int, sequence: int) -> dict[str, Any]:
    parameters = (record.get("asked") or {}).get("parameters") or {}
    end = record.get("end") or {}
    # An id has one record, and a log row for each of its results.
    same = (end.get("created_ms"), end.get("sequence")) == (created_ms, sequence)
    result = end.get("result") or {} if same else {}
    time_ms = result.get("meta", {}).get("cost", {}).get("time_ms", {})
    return {
        "node_id": _fit((parameters.get("node") or {}).get("id") or parameters.get("template_id"), 64),
        "error_stage": _fit((result.get("error") or {}).get("stage"), 32),
        **{column: time_ms.get(stage) for stage, column in _STAGES.items()},
    }


def _fit(value: str | None, size: int) -> str | None:
    """A text as PostgreSQL takes it: not longer than declared, without NUL and without half a surrogate pair."""
    return value and value[:size].encode("utf-8", "replace").decode().replace("\x00", "\ufffd")


def downgrade() -> None:
    for name in ("node_id", "shadow", "error_stage", *_STAGES.values()):
        op.drop_column("generation_logs", name)
