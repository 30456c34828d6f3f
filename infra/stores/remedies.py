"""Remedies: what to do about a database that cannot be used."""

from __future__ import annotations

import sqlite3
from typing import Final

from infra.stores.database import url_of

#: The part of an SQLite error code that names its kind.
_PRIMARY: Final = 0xFF
#: PostgreSQL's codes of an undefined column and an undefined table.
_UNDEFINED: Final = frozenset({"42703", "42P01"})


def remedy(plain: str, error: object) -> str:
    """Say what to do about a database that cannot be used.

    Args:
        plain: its URL.
        error: its error.
    """
    url = url_of(plain)
    if _lacks_columns(error):
        return (
            "its tables are those of an older version: start the pipeline ('understudy up'), the audit stage "
            "brings them up to date"
        )
    if url.get_backend_name() != "sqlite":
        return (
            "make sure that the server runs and that the database exists (audit makes tables, not the database: "
            f"createdb {url.database}), or correct UNDERSTUDY_DATABASE_URL"
        )
    if damaged(error):
        return (
            f"the file is damaged: move {url.database} away, with its -wal and -shm; audit makes a new one, and "
            "'understudy audit rebuild' fills it with what the log still has"
        )
    return (
        "the audit stage creates the file, so start the pipeline ('understudy up'), or correct "
        "UNDERSTUDY_DATABASE_URL"
    )


def _lacks_columns(error: object) -> bool:
    """Whether a statement names a table or column that the database does not have."""
    origin = getattr(error, "orig", None) or error
    if getattr(origin, "sqlstate", None) in _UNDEFINED:
        return True
    return getattr(origin, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR


def damaged(error: object) -> bool:
    """Whether SQLite reports a damaged file."""
    origin = getattr(error, "orig", None) or error
    code = getattr(origin, "sqlite_errorcode", None)
    return code is not None and code & _PRIMARY in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
