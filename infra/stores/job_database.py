"""The audit's database, opened by a command that keeps jobs or runs in it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from contracts.errors import error_text
from infra.stores import database, remedies
from infra.stores.database import DatabaseError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from sqlalchemy import Engine

    from infra.settings.settings import Settings


@asynccontextmanager
async def open_database(settings: Settings, *, needed_by: str) -> AsyncGenerator[Engine]:
    """The database that keeps jobs and runs, with its tables.

    Args:
        settings: where it is.
        needed_by: what needs it, for the error, in the plural.

    Raises:
        DatabaseError: it cannot be used; the text says why and what to do.
    """
    engine = database.engine_of(settings.database)
    try:
        try:
            await asyncio.to_thread(database.migrate, engine)
            yield engine
        except SQLAlchemyError as error:
            raise DatabaseError(
                f"{needed_by} need the database, which cannot be used: {error_text(error)}; "
                f"{remedies.remedy(settings.database, error)}"
            ) from None
    finally:
        engine.dispose()
