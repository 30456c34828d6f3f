"""Index of PostgreSQL for ids that begin alike; SQLite's index of the primary key serves them already."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.create_index(
            "ix_generations_id_prefix",
            "generations",
            ["request_id"],
            postgresql_ops={"request_id": "text_pattern_ops"},
        )


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.drop_index("ix_generations_id_prefix", "generations")
