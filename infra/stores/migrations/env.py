"""Alembic environment: migrations over the connection that ``database.migrate`` opens."""

from __future__ import annotations

from alembic import context

from infra.stores.database import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
with context.begin_transaction():
    context.run_migrations()
