"""Table ``reviews``."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "reviews",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("item", sa.String(32), nullable=False),
        sa.Column("side", sa.Integer, nullable=False),
        sa.Column("paired", sa.Boolean, nullable=False),
        sa.Column("reviewer", sa.String(100), nullable=False),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("life_ms", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("workspace", sa.String(64)),
        sa.Column("content_hash", sa.String(64), nullable=False),
        sa.Column("asked", sa.String(64), nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("opened_ms", sa.BigInteger, nullable=False),
        sa.Column("ended_ms", sa.BigInteger),
        sa.Column("score", sa.Integer),
        sa.Column("tags", sa.Text),
        sa.Column("note", sa.Text),
        sa.Column("revealed", sa.Boolean, nullable=False),
        sa.UniqueConstraint("reviewer", "item", "side", name="uq_reviews_item"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_reviews_reviewer", "reviews", ["reviewer", "state", "ended_ms"])
    op.create_index("ix_reviews_request", "reviews", ["request_id", "life_ms"])
    op.create_index("ix_reviews_content", "reviews", ["content_hash"])
    op.create_index("ix_reviews_ended", "reviews", ["state", "ended_ms"])


def downgrade() -> None:
    op.drop_table("reviews")
