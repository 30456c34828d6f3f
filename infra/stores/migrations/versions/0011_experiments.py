"""Columns of ``generation_logs`` for the arm of an experiment that a request counts for, and an index over them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_COLUMNS = (
    ("experiment", 64),
    ("experiment_arm", 32),
    ("experiment_unit", 16),
    ("experiment_revision", 12),
)


def upgrade() -> None:
    for name, size in _COLUMNS:
        op.add_column("generation_logs", sa.Column(name, sa.String(size)))
    given = sa.text("experiment IS NOT NULL")
    op.create_index(
        "ix_generation_logs_experiment",
        "generation_logs",
        ["experiment", "ended_at_ms"],
        sqlite_where=given,
        postgresql_where=given,
    )


def downgrade() -> None:
    op.drop_index("ix_generation_logs_experiment", "generation_logs")
    for name, _ in _COLUMNS:
        op.drop_column("generation_logs", name)
