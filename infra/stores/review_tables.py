"""Table of reviews, beside those of the audit."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Table, Text, UniqueConstraint

from infra.stores.database import METADATA

REVIEWS: Final = Table(
    "reviews",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=True),
    # What the reviewer saw at once: one content, or two on two sides.
    Column("item", String(32), nullable=False),
    # 0: alone or on the left; 1: on the right.
    Column("side", Integer, nullable=False),
    Column("paired", Boolean, nullable=False),
    Column("reviewer", String(100), nullable=False),
    # The result; a swept id may be used again, for another request.
    Column("request_id", String(64), nullable=False),
    Column("life_ms", BigInteger, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("workspace", String(64)),
    Column("content_hash", String(64), nullable=False),
    # Digest of the filter that it was asked for with.
    Column("asked", String(64), nullable=False),
    # open, scored or skipped.
    Column("state", String(8), nullable=False),
    Column("opened_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger),
    Column("score", Integer),
    # A JSON array.
    Column("tags", Text),
    Column("note", Text),
    # Its writer had been shown before it was scored: an earlier score was undone.
    Column("revealed", Boolean, nullable=False),
    UniqueConstraint("reviewer", "item", "side", name="uq_reviews_item"),
    Index("ix_reviews_reviewer", "reviewer", "state", "ended_ms"),
    Index("ix_reviews_request", "request_id", "life_ms"),
    Index("ix_reviews_content", "content_hash"),
    Index("ix_reviews_ended", "state", "ended_ms"),
    # A number is never used again, so that the latest one is the last.
    sqlite_autoincrement=True,
)
