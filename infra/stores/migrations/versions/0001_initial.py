"""Tables of the first version."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "generations",
        sa.Column("request_id", sa.String(64), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("origin", sa.String(32)),
        sa.Column("workspace", sa.String(64)),
        sa.Column("input_hash", sa.String(64)),
        sa.Column("prompt_hash", sa.String(64)),
        sa.Column("prompt_version", sa.String(64)),
        sa.Column("attempt", sa.Integer),
        sa.Column("last_event", sa.String(32)),
        sa.Column("error_code", sa.String(32)),
        sa.Column("error_stage", sa.String(32)),
        sa.Column("error_message", sa.Text),
        sa.Column("provider", sa.String(64)),
        sa.Column("model", sa.String(128)),
        sa.Column("requested_at_ms", sa.BigInteger),
        sa.Column("ended_at_ms", sa.BigInteger),
        sa.Column("open_since_ms", sa.BigInteger),
        sa.Column("replay_of", sa.String(64)),
        sa.Column("revised_by", sa.String(64)),
        sa.Column("record", sa.Text, nullable=False),
    )
    op.create_index("ix_generations_status", "generations", ["status", "requested_at_ms"])
    op.create_index("ix_generations_requested", "generations", ["requested_at_ms"])
    op.create_index("ix_generations_ended", "generations", ["ended_at_ms", "requested_at_ms"])
    op.create_index("ix_generations_open", "generations", ["open_since_ms"])
    op.create_table(
        "generation_logs",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("origin", sa.String(32), nullable=False),
        sa.Column("input_hash", sa.String(64)),
        sa.Column("prompt", sa.Text),
        sa.Column("prompt_hash", sa.String(64)),
        sa.Column("latency_ms", sa.BigInteger),
        sa.Column("error_code", sa.String(32)),
        sa.Column("provider", sa.String(64)),
        sa.Column("model", sa.String(128)),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("prompt_tokens", sa.Integer),
        sa.Column("completion_tokens", sa.Integer),
        sa.Column("cost", sa.Float),
        sa.Column("ended_at_ms", sa.BigInteger, nullable=False),
        sa.Column("stream", sa.String(32), nullable=False),
        sa.Column("stream_created_ms", sa.BigInteger, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.UniqueConstraint(
            "request_id", "stream", "stream_created_ms", "sequence", name="uq_generation_logs_message"
        ),
    )
    op.create_index("ix_generation_logs_ended", "generation_logs", ["ended_at_ms"])


def downgrade() -> None:
    op.drop_table("generation_logs")
    op.drop_table("generations")
