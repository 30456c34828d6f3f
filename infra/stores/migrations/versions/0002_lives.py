"""Column ``life_ms``: it tells apart several requests with the same id; rows of the first version get theirs."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_PAGE = 1_000


def upgrade() -> None:
    op.add_column(
        "generations", sa.Column("life_ms", sa.BigInteger, nullable=False, server_default=sa.text("0"))
    )
    op.add_column("generation_logs", sa.Column("life_ms", sa.BigInteger))
    connection = op.get_bind()
    _fill(connection)
    _rekey(connection)
    connection.execute(
        sa.text("UPDATE generation_logs SET life_ms = ended_at_ms - latency_ms WHERE latency_ms > 0")
    )
    op.create_table(
        "anomalies",
        sa.Column("stream", sa.String(32), primary_key=True),
        sa.Column("stream_created_ms", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
    )
    op.create_index("ix_anomalies_at", "anomalies", ["at_ms"])


def _fill(connection: sa.Connection) -> None:
    """Every row is one life; the record says which."""
    last = ""
    query = sa.text(
        "SELECT request_id, record FROM generations WHERE request_id > :last ORDER BY request_id LIMIT :page"
    )
    change = sa.text("UPDATE generations SET life_ms = :life_ms WHERE request_id = :request_id")
    while rows := connection.execute(query, {"last": last, "page": _PAGE}).all():
        connection.execute(
            change, [{"request_id": row[0], "life_ms": _life_ms(json.loads(row[1]))} for row in rows]
        )
        last = rows[-1][0]


def _life_ms(record: dict[str, Any]) -> int:
    asked, step, end = (record.get(name) or {} for name in ("asked", "step", "end"))
    claimed = end.get("result", {}).get("meta", {}).get("requested_at_ms")
    return asked.get("at_ms") or step.get("requested_at_ms") or claimed or 0


def _rekey(connection: sa.Connection) -> None:
    if connection.dialect.name == "postgresql":
        op.drop_constraint("generations_pkey", "generations", type_="primary")
        op.create_primary_key("generations_pkey", "generations", ["request_id", "life_ms"])
        op.alter_column("generations", "life_ms", server_default=None)
        return
    # SQLite cannot change a key.
    old = sa.Table("generations", sa.MetaData(), autoload_with=connection)
    indexes = [(index.name, [column.name for column in index.columns]) for index in old.indexes]
    columns = [
        sa.Column(
            column.name,
            column.type,
            nullable=column.nullable,
            primary_key=column.name in {"request_id", "life_ms"},
            autoincrement=False,
        )
        for column in old.columns
    ]
    op.create_table("generations_keyed", *columns)
    names = ", ".join(column.name for column in columns)
    connection.execute(sa.text(f"INSERT INTO generations_keyed ({names}) SELECT {names} FROM generations"))  # noqa: S608
    op.drop_table("generations")
    op.rename_table("generations_keyed", "generations")
    for name, of in indexes:
        op.create_index(name, "generations", of)


def downgrade() -> None:
    raise NotImplementedError("an id's second life has no place in the first version's tables")
