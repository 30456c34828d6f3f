"""Audit database of the gateway: one engine for all routes, used in threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from infra.stores import database, remedies

if TYPE_CHECKING:
    from sqlalchemy import Engine

T = TypeVar("T")


class GatewayDatabase:
    """The audit's database; it is opened on first use.

    Args:
        url: its URL.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._engine: Engine | None = None
        self._migrated = False

    def engine(self) -> Engine | None:
        """The engine, shared by all routes: do not dispose of it; ``None``: there is no database yet."""
        if self._engine is None:
            url = database.url_of(self._url)
            if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).is_file():
                # SQLite would create it.
                return None
            self._engine = database.engine_of(self._url)
        return self._engine

    def open(self) -> Engine:
        """An engine of its own for a function that disposes of it.

        Raises:
            FileNotFoundError: there is no database yet.
        """
        if self.engine() is None:
            raise FileNotFoundError("the audit has no database yet")
        return database.engine_of(self._url)

    def close(self) -> None:
        """Close its connections."""
        if self._engine is not None:
            self._engine.dispose()

    async def query(self, read: Callable[[Engine], T], *, missing: T) -> T:
        """Read, in a thread.

        Args:
            read: the query.
            missing: the answer while there is no database yet.

        Raises:
            DatabaseError: it cannot be read; the text says what to do.
        """
        engine = self.engine()
        return missing if engine is None else await self._call(read, engine, "read")

    async def update(self, change: Callable[[Engine], T]) -> T:
        """Change something, in a thread; the database and its tables are created where they are missing.

        Args:
            change: the change, in a transaction of its own.

        Raises:
            DatabaseError: it cannot be changed; the text says what to do.
        """
        if self._engine is None:
            self._engine = database.engine_of(self._url)

        def changed(engine: Engine) -> T:
            if not self._migrated:
                database.migrate(engine)
                self._migrated = True
            return change(engine)

        return await self._call(changed, self._engine, "changed")

    async def _call(self, work: Callable[[Engine], T], engine: Engine, done: str) -> T:
        from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 - slow to import

        try:
            return await asyncio.to_thread(work, engine)
        except SQLAlchemyError as error:
            why = str(getattr(error, "orig", None) or error).splitlines()[0]
            remedy = remedies.remedy(self._url, error)
            raise database.DatabaseError(f"the audit cannot be {done}: {why}; {remedy}") from None
