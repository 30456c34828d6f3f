"""Tables ``designs`` and ``design_versions``, and an index for the statistics of single nodes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def _key() -> tuple[sa.Column[str], ...]:
    return (
        sa.Column("kind", sa.String(8), primary_key=True),
        sa.Column("workspace", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(64), primary_key=True),
    )


def upgrade() -> None:
    op.create_table(
        "designs",
        *_key(),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("published", sa.Integer),
        sa.Column("disabled", sa.Boolean, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("updated_ms", sa.BigInteger, nullable=False),
        sa.Column("updated_by", sa.String(16)),
    )
    op.create_table(
        "design_versions",
        *_key(),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("via", sa.String(16), nullable=False),
        sa.Column("token_id", sa.String(16)),
        sa.Column("action", sa.String(16), nullable=False),
    )
    given = sa.text("node_id IS NOT NULL")
    op.create_index(
        "ix_generation_logs_node",
        "generation_logs",
        ["node_id", "ended_at_ms"],
        sqlite_where=given,
        postgresql_where=given,
    )


def downgrade() -> None:
    op.drop_index("ix_generation_logs_node", "generation_logs")
    op.drop_table("design_versions")
    op.drop_table("designs")
