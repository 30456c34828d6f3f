"""Tables ``replay_jobs`` and ``replay_items``; the latest logs of a kind are found by an index, for estimates."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "replay_jobs",
        sa.Column("job", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("plan_hash", sa.String(64), nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("started_ms", sa.BigInteger),
        sa.Column("ended_ms", sa.BigInteger),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("options", sa.Text, nullable=False),
        sa.Column("rate", sa.Float),
        sa.Column("budget_tokens", sa.BigInteger),
        sa.Column("budget_money", sa.Float),
        sa.Column("estimate", sa.Text, nullable=False),
        sa.Column("note", sa.Text),
        sa.Column("runner", sa.String(64)),
        sa.Column("beat_ms", sa.BigInteger),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_replay_jobs_plan", "replay_jobs", ["plan_hash"])
    op.create_table(
        "replay_items",
        sa.Column("job", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("stream", sa.String(32), nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("letter", sa.BigInteger),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("named", sa.String(255)),
        sa.Column("replay_of", sa.String(64)),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("code", sa.String(32)),
        sa.Column("reason", sa.Text),
        sa.Column("cached", sa.Boolean, nullable=False),
        sa.Column("max_tokens", sa.Integer, nullable=False),
    )
    op.create_index("ix_replay_items_state", "replay_items", ["job", "state", "position"])
    op.create_index("ix_replay_items_origin", "replay_items", ["stream", "sequence"])
    op.create_index("ix_replay_items_request", "replay_items", ["request_id"])
    op.create_index("ix_generation_logs_kind", "generation_logs", ["kind", "status", "ended_at_ms"])


def downgrade() -> None:
    op.drop_index("ix_generation_logs_kind", "generation_logs")
    op.drop_table("replay_items")
    op.drop_table("replay_jobs")
