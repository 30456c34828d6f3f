"""Response store: the layer of the response cache that outlives a process, one SQLite table in a folder.

Several processes may share the folder.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from infra.providers.response_cache import CachedResponse

T = TypeVar("T")

_NAME: Final = "responses.db"
_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS responses (key TEXT PRIMARY KEY, entry BLOB NOT NULL, used_at REAL NOT NULL)"
)
_INDEX: Final = "CREATE INDEX IF NOT EXISTS responses_used_at ON responses (used_at)"
_REMOVE: Final = (
    "DELETE FROM responses WHERE key IN (SELECT key FROM responses ORDER BY used_at, rowid LIMIT ?)"
)
#: Seconds that a write of another process may take.
_BUSY_S: Final = 5.0
#: One answer in so many is removed when room is needed.
_SHARE: Final = 10


class ResponseStore:
    """Answers on disk, the longest unused removed first.  A disk that fails costs answers, never a call.

    Args:
        folder: made when something is first kept.
        max_bytes: that all answers together may take.
        on_fault: gets a sentence about what went wrong with the disk or the file.
    """

    def __init__(self, folder: Path, *, max_bytes: int, on_fault: Callable[[str], None]) -> None:
        self._path = folder / _NAME
        self._max_bytes = max_bytes
        self._on_fault = on_fault
        self._lock = threading.Lock()

    def get(self, key: str) -> CachedResponse | None:
        """The entry, which counts as used now."""
        if not self._path.exists():
            return None
        return self._try(lambda db: _get(db, key), "an answer cannot be read from")

    def put(self, key: str, entry: CachedResponse) -> None:
        """Keep an entry, and remove old ones where room is needed."""
        raw = msgspec.json.encode(entry)
        if len(raw) <= self._max_bytes:
            self._try(lambda db: _put(db, key, raw, self._max_bytes), "an answer cannot be kept in")

    def _try(self, work: Callable[[sqlite3.Connection], T], failure: str) -> T | None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._lock, closing(sqlite3.connect(self._path, timeout=_BUSY_S)) as db, db:
                # A cache: what a power cut damages is made anew.
                db.execute("PRAGMA synchronous = OFF")
                db.execute(_TABLE)
                db.execute(_INDEX)
                return work(db)
        except (OSError, sqlite3.OperationalError) as error:
            self._on_fault(f"{failure} {self._path}: {error}")
        except (sqlite3.DatabaseError, msgspec.MsgspecError) as error:
            self._on_fault(f"{self._path} is damaged and was removed: {error}")
            self._path.unlink(missing_ok=True)
        return None


def clear(folder: Path, *, dry_run: bool = False) -> int:
    """Remove every answer of a folder, to its last byte; how many.  Blocks.

    Args:
        folder: of the store; one without a store has no answers.
        dry_run: count them only.

    Raises:
        sqlite3.Error: the file cannot be used.
    """
    path = folder / _NAME
    if not path.is_file():
        return 0
    with closing(sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)) as db:
        db.execute(_TABLE)
        (count,) = db.execute("SELECT count(*) FROM responses").fetchone()
        if not dry_run:
            db.execute("DELETE FROM responses")
            db.execute("VACUUM")
        return int(count)


def _get(db: sqlite3.Connection, key: str) -> CachedResponse | None:
    row = db.execute("SELECT entry FROM responses WHERE key = ?", (key,)).fetchone()
    if row is None:
        return None
    db.execute("UPDATE responses SET used_at = ? WHERE key = ?", (time.time(), key))
    return msgspec.json.decode(row[0], type=CachedResponse)


def _put(db: sqlite3.Connection, key: str, raw: bytes, max_bytes: int) -> None:
    db.execute("INSERT OR REPLACE INTO responses VALUES (?, ?, ?)", (key, raw, time.time()))
    while _used_bytes(db) > max_bytes:
        (count,) = db.execute("SELECT count(*) FROM responses").fetchone()
        if not count:
            return
        db.execute(_REMOVE, (count // _SHARE + 1,))


def _used_bytes(db: sqlite3.Connection) -> int:
    """Pages that hold something; deleted answers leave room in the file that is used again."""
    pages, free, size = (
        db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)
