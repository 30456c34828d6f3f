"""Tables of designs: stored node configurations and scene graphs, and their earlier versions."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Integer, String, Table, Text

from infra.stores.database import METADATA

DESIGNS: Final = Table(
    "designs",
    METADATA,
    # node or graph.
    Column("kind", String(8), primary_key=True),
    # Empty: no workspace.
    Column("workspace", String(64), primary_key=True),
    Column("name", String(64), primary_key=True),
    # JSON: the draft.
    Column("content", Text, nullable=False),
    # Number of the draft in design_versions; other content gets another one.
    Column("version", Integer, nullable=False),
    # Grows with every change, also of what is published.
    Column("revision", Integer, nullable=False),
    # The version that requests use; null: none.
    Column("published", Integer),
    Column("disabled", Boolean, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    # Id of the token; null: somebody at this machine, without a token.
    Column("updated_by", String(16)),
)

DESIGN_VERSIONS: Final = Table(
    "design_versions",
    METADATA,
    Column("kind", String(8), primary_key=True),
    Column("workspace", String(64), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("content", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    # How the author was known: token, session, local.
    Column("via", String(16), nullable=False),
    Column("token_id", String(16)),
    # save, restore, import or duplicate.
    Column("action", String(16), nullable=False),
)
