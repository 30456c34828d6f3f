"""Column ``workspace`` of ``replay_jobs``: the only workspace whose requests a job repeats."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("replay_jobs", sa.Column("workspace", sa.String(64)))


def downgrade() -> None:
    op.drop_column("replay_jobs", "workspace")
