"""Fakes of the ports: the promises of the broker's adapters, kept in this process's memory."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import msgspec

from contracts import events as ev
from contracts.cache_entry import CacheCount, CacheEntry, CacheLayer
from contracts.envelope import Received
from contracts.policy.cache_key import CacheKey
from contracts.ports import Lease, OnToken, SeedOutput, StoredResult
from tests import lives


class FakeCache:
    """A result cache of one layer; entries are created at :data:`created_at_ms`."""

    def __init__(self) -> None:
        self.entries: dict[str, CacheEntry] = {}
        self.layer = CacheLayer.SHARED
        self.created_at_ms = lives.START_MS - 1

    async def get(self, key: CacheKey) -> tuple[CacheEntry, CacheLayer] | None:
        found = self.entries.get(key.key)
        return None if found is None else (found, self.layer)

    async def put(self, key: CacheKey, entry: CacheEntry) -> None:
        self.entries[key.key] = msgspec.structs.replace(entry, created_at_ms=self.created_at_ms)


class FakeLeases:
    """Leases with compare-and-set; ``before_acquire`` runs between a look and the write that follows it."""

    def __init__(self) -> None:
        self.held: dict[str, tuple[Lease, int]] = {}
        self.remaining_s: int | None = None
        self.before_acquire: Callable[[], None] = lambda: None

    async def find(self, key: str) -> tuple[Lease | None, int]:
        return self.held.get(key, (None, 0))

    async def acquire(self, key: str, lease: Lease, *, revision: int, remaining_s: int) -> bool:
        self.before_acquire()
        _, last = self.held.get(key, (None, 0))
        if last != revision:
            return False
        self.store(key, lease)
        self.remaining_s = remaining_s
        return True

    def store(self, key: str, lease: Lease) -> None:
        """Store a lease whatever is there, as another process does."""
        _, last = self.held.get(key, (None, 0))
        self.held[key] = (lease, last + 1)


class FakeResults:
    """The results of requests, by id."""

    def __init__(self) -> None:
        self.stored: dict[str, StoredResult] = {}

    async def find(self, request_id: str) -> StoredResult | None:
        return self.stored.get(request_id)

    async def exists(self, request_id: str) -> bool:
        return request_id in self.stored

    def store(self, request_id: str, result: ev.Result, at_ms: int) -> None:
        self.stored[request_id] = StoredResult(result=result, at_ms=at_ms)


class FakeCounts:
    """Counts of the result cache, in their order."""

    def __init__(self) -> None:
        self.counted: list[CacheCount] = []

    def __call__(self, what: CacheCount) -> None:
        self.counted.append(what)


class FakeLedger:
    """A drift ledger."""

    def __init__(self) -> None:
        self.stored: dict[str, SeedOutput] = {}

    async def first(self, key: str, output: SeedOutput) -> SeedOutput:
        return self.stored.setdefault(key, output)


class FakeReplays:
    """Known replays, by id: the request that each of them repeats."""

    def __init__(self, **known: str) -> None:
        self.known = known

    async def holds(self, request_id: str, replay_of: str) -> bool:
        return self.known.get(request_id) == replay_of


class FakeSteps:
    """What stages stored, by event and request."""

    def __init__(self, *stored: tuple[str, str, ev.Drafted | ev.Structured]) -> None:
        self.stored = {(event, request_id): step for event, request_id, step in stored}

    async def find(self, event: str, request_id: str) -> ev.Drafted | ev.Structured | None:
        return self.stored.get((event, request_id))


class FakeAnnounce:
    """Texts of provider calls, by stage; ``open`` counts the calls that were not ended."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.open = 0

    @contextmanager
    def __call__(self, received: Received[Any], *, stage: str) -> Generator[OnToken]:
        del received

        def hear(text: str) -> None:
            self.texts[stage] = self.texts.get(stage, "") + text

        self.open += 1
        try:
            yield hear
        finally:
            self.open -= 1
