"""Columns and indexes for filters and relatives; existing rows get their values from their records."""

from __future__ import annotations

import json
import re
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_PAGE = 1_000
#: What is stored in place of a prompt that is not kept.
_HASH = re.compile(r"sha256:[0-9a-f]{64}")
_INDEXES = {
    "ix_generations_code": ("error_code", "requested_at_ms"),
    "ix_generations_workspace": ("workspace", "requested_at_ms"),
    "ix_generations_node": ("node_id", "requested_at_ms"),
    "ix_generations_replay_of": ("replay_of",),
    "ix_generations_generated_for": ("generated_for",),
}


def upgrade() -> None:
    op.add_column("generations", sa.Column("node_id", sa.String(64)))
    op.add_column("generations", sa.Column("searched", sa.Text))
    op.add_column("generations", sa.Column("shadow", sa.Integer))
    op.add_column("generations", sa.Column("generated_for", sa.String(64)))
    _fill(op.get_bind())
    for name, columns in _INDEXES.items():
        given = sa.text(f"{columns[0]} IS NOT NULL")
        op.create_index(name, "generations", list(columns), sqlite_where=given, postgresql_where=given)


def _fill(connection: sa.Connection) -> None:
    """Read every record once, in pages by key."""
    request_id, life_ms = "", -1
    query = sa.text(
        "SELECT request_id, life_ms, error_message, record FROM generations WHERE request_id > :request_id "
        "OR (request_id = :request_id AND life_ms > :life_ms) ORDER BY request_id, life_ms LIMIT :page"
    )
    change = sa.text(
        "UPDATE generations SET node_id = :node_id, searched = :searched, generated_for = :generated_for "
        "WHERE request_id = :request_id AND life_ms = :life_ms"
    )
    while rows := connection.execute(
        query, {"request_id": request_id, "life_ms": life_ms, "page": _PAGE}
    ).all():
        connection.execute(
            change,
            [
                {"request_id": row[0], "life_ms": row[1], **_values(json.loads(row[3]), message=row[2])}
                for row in rows
            ],
        )
        request_id, life_ms = rows[-1][0], rows[-1][1]


def _values(record: dict[str, Any], *, message: str | None) -> dict[str, str | None]:
    asked = record.get("asked") or {}
    parameters = asked.get("parameters") or {}
    node_id = (parameters.get("node") or {}).get("id") or parameters.get("template_id")
    texts = [each for each in (asked.get("prompt"), message) if each and not _HASH.fullmatch(each)]
    end = record.get("end") or {}
    return {
        "node_id": _fit(node_id, 64),
        "searched": _fit("\n".join(each.casefold() for each in texts) or None),
        "generated_for": _fit(end.get("result", {}).get("meta", {}).get("generated_for"), 64),
    }


def _fit(value: str | None, size: int | None = None) -> str | None:
    """A text as PostgreSQL takes it: not longer than declared, without NUL and without half a surrogate pair."""
    return value and value[:size].encode("utf-8", "replace").decode().replace("\x00", "\ufffd")


def downgrade() -> None:
    for name in _INDEXES:
        op.drop_index(name, "generations")
    op.drop_column("generations", "generated_for")
    op.drop_column("generations", "shadow")
    op.drop_column("generations", "searched")
    op.drop_column("generations", "node_id")
