"""Queries of designs, also in a database of an older version, which has none."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from infra.stores import designs
from infra.stores.database import DatabaseError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from infra.gateway.gateway import Gateway

T = TypeVar("T")


async def read_designs(gateway: Gateway, read: Callable[[Engine], T], *, missing: T) -> T:
    """Read designs.

    Args:
        gateway: has the database.
        read: the query.
        missing: the answer where there are no designs yet.

    Raises:
        DatabaseError: they cannot be read.
    """
    try:
        return await gateway.query(read, missing=missing)
    except DatabaseError:
        if not await gateway.query(designs.has_tables, missing=False):
            return missing
        # They may have come in between.
        return await gateway.query(read, missing=missing)
