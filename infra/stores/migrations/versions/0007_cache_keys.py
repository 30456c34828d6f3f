"""Column ``cache_key`` of ``replay_items``: where a replay writes its content in the result cache."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("replay_items", sa.Column("cache_key", sa.Text))


def downgrade() -> None:
    op.drop_column("replay_items", "cache_key")
