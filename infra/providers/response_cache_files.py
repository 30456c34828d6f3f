"""Where are the answers of providers kept beyond the life of a process?

One file per answer, written under another name and renamed, so that several processes can share a
folder and none reads half an answer.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from contracts.policy import fingerprint
from infra.providers.response_cache import CachedResponse

_SUFFIX: Final = ".json"
_PARTIAL: Final = ".partial"
#: Share of the limit that is kept when files have to go: room for some new ones.
_KEPT: Final = 0.9


class _File(msgspec.Struct, frozen=True, kw_only=True):
    """What a file says; the sum tells a damaged one."""

    key: str
    entry: CachedResponse
    #: SHA-256 of key and entry.
    sum: str


class CacheFiles:
    """Answers on disk, the longest unused removed first.  A disk that fails costs answers, never a call.

    Args:
        folder: made when something is first kept.
        max_bytes: that all files together may take.
        on_fault: told, in a sentence, what went wrong with the disk or a file.
    """

    def __init__(self, folder: Path, *, max_bytes: int, on_fault: Callable[[str], None]) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._on_fault = on_fault
        #: Bytes in the folder; ``None`` until they were counted.  Other processes' files are seen then.
        self._bytes: int | None = None

    def get(self, key: str) -> CachedResponse | None:
        """The entry, which counts as used now; a damaged file is removed and no entry."""
        path = self._path(key)
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            self._on_fault(f"{path} cannot be read: {error.strerror}")
            return None
        try:
            found = msgspec.json.decode(raw, type=_File)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            found = None
        if found is None or found.key != key or found.sum != _sum(key, found.entry):
            self._on_fault(f"{path} is damaged and was removed")
            self._remove(path)
            return None
        try:
            os.utime(path)
        except OSError:
            # Removed by another process since: what was read is still good.
            return found.entry
        return found.entry

    def put(self, key: str, entry: CachedResponse) -> None:
        """Keep an entry, and remove old ones where it is needed."""
        raw = msgspec.json.encode(_File(key=key, entry=entry, sum=_sum(key, entry)))
        if len(raw) > self._max_bytes:
            return
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, suffix=_PARTIAL, delete=False) as file:
                partial = Path(file.name)
                try:
                    file.write(raw)
                    file.flush()
                    partial.replace(path)
                except OSError:
                    partial.unlink(missing_ok=True)
                    raise
            if self._bytes is not None:
                self._bytes += len(raw)
            if self._bytes is None or self._bytes > self._max_bytes:
                self._bytes = self._tidy()
        except OSError as error:
            self._on_fault(f"an answer cannot be kept in {self._folder}: {error.strerror}")

    def _tidy(self) -> int:
        """Remove the longest unused files above the limit, and what a killed process left; bytes left."""
        found: list[tuple[float, int, Path]] = []
        for path in self._folder.rglob("*"):
            if path.suffix not in {_SUFFIX, _PARTIAL}:
                continue
            try:
                about = path.stat()
            except FileNotFoundError:
                continue
            found.append((about.st_mtime, about.st_size, path))
        total = sum(size for _, size, _ in found)
        if total <= self._max_bytes:
            return total
        for _, size, path in sorted(found):
            if total <= self._max_bytes * _KEPT:
                break
            self._remove(path)
            total -= size
        return total

    def _remove(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            self._on_fault(f"{path} cannot be removed: {error.strerror}")

    def _path(self, key: str) -> Path:
        name = fingerprint.digest_text(key)
        return self._folder / name[:2] / f"{name}{_SUFFIX}"


def _sum(key: str, entry: CachedResponse) -> str:
    return fingerprint.digest([key, entry])
