"""Audit database of the command line: one read, and what to do when it fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from infra.cli import console

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

    from infra.settings.settings import Settings

T = TypeVar("T")


def read(query: Callable[[Engine], T]) -> T:
    """Answer a query from the audit database of the settings.

    Raises:
        UnderstudyError: it cannot be read; the text says why and what to do.
    """
    from sqlalchemy.exc import SQLAlchemyError

    settings = console.settings()
    try:
        engine = console.audit_engine(settings)
    except FileNotFoundError as error:
        raise unreadable(settings, error) from None
    try:
        return query(engine)
    except SQLAlchemyError as error:
        raise unreadable(settings, error) from None
    finally:
        engine.dispose()


def unreadable(settings: Settings, error: object) -> Exception:
    """The error for a person about a database that cannot be read."""
    from contracts.errors import UnderstudyError
    from infra.settings.redaction import redact
    from infra.stores import remedies

    where, _ = redact("database_url", settings.database)
    why = str(getattr(error, "orig", None) or error).splitlines()[0]
    return UnderstudyError(
        f"the audit at {where} cannot be read: {why}; {remedies.remedy(settings.database, error)}"
    )
