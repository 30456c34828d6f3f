"""Adapters of one process: everything that its stages need from the broker, the providers and the schema worker."""

from __future__ import annotations

import uuid
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cachetools import LRUCache

from infra.app.schema_checks import SchemaWorker
from infra.nats.accounts import KvAccounts
from infra.nats.batches import Batches
from infra.nats.clock import BrokerClock
from infra.nats.leases import KvLeases
from infra.nats.lookup import Lookup
from infra.nats.multiplexer import RequestMultiplexer
from infra.nats.results import LoggedResults
from infra.nats.scene_log import LoggedScenes
from infra.nats.steps import LoggedSteps
from infra.providers.reservation import StructuringReservations
from infra.replay.marks import ReplayMarks
from infra.runner.deadlines import Deadlines
from infra.runner.progress import Announcer
from infra.stores.assets import Assets
from infra.stores.cache_stats import CacheStats
from infra.stores.cache_store import CacheMemory, CacheStore
from infra.stores.drift_ledger import KvDriftLedger
from infra.telemetry.log_lines import to_log

if TYPE_CHECKING:
    from contracts.envelope import Received
    from contracts.ports import OnToken, Provider
    from infra.providers.breaker import Breaker
    from infra.providers.response_cache import CachedResponse
    from infra.settings.settings import Settings


class Adapters:
    """The adapters that share one connection to the broker; nothing opens before ``wire.open``.

    Args:
        settings: this process's settings.
    """

    def __init__(self, settings: Settings) -> None:
        self.telemetry = to_log(words=settings.audit.store_prompts)
        self.wire = RequestMultiplexer()
        self.lookup = Lookup(self.wire)
        self.assets = Assets(self.wire)
        self.clock = BrokerClock(self.wire)
        self.batches = Batches(self.wire)
        self.deadlines = Deadlines(self.clock)
        self.accounts = KvAccounts(wire=self.wire, lookup=self.lookup, clock=self.clock.now)
        self.results = LoggedResults(wire=self.wire, lookup=self.lookup)
        self.reservations = StructuringReservations(self.results.wait)
        self.leases = KvLeases(wire=self.wire, lookup=self.lookup)
        self.scene_log = LoggedScenes(self.lookup)
        self.replays = ReplayMarks(self.lookup)
        self.steps = LoggedSteps(self.lookup)
        self.cache_stats = CacheStats(wire=self.wire, instance=uuid.uuid4().hex)
        limits = settings.result_cache
        self.cache = CacheStore(
            wire=self.wire,
            lookup=self.lookup,
            assets=self.assets,
            memory=CacheMemory(entries=limits.entries, max_bytes=limits.max_bytes),
            count=self.cache_stats.count,
            telemetry=self.telemetry,
        )
        self.ledger = KvDriftLedger(
            wire=self.wire, lookup=self.lookup, count=self.cache_stats.count, telemetry=self.telemetry
        )
        #: Answers of providers, kept to be used again.
        self.responses: LRUCache[str, CachedResponse] = LRUCache(
            maxsize=settings.narrative.response_cache.entries
        )
        self.schema_worker = SchemaWorker()
        #: Providers that were built for this process, and their circuit breakers.
        self.providers: list[Provider] = []
        self.breakers: list[Breaker] = []

    @contextmanager
    def announce(self, received: Received[Any], *, stage: str) -> Generator[OnToken]:
        """Publish the text of a provider call while it is written.

        Implements :class:`contracts.ports.Announce`.
        """
        announcer = Announcer(
            client=self.wire.client,
            kind=received.kind,
            request_id=received.request_id,
            stage=stage,
            attempt=received.event.attempt,
        )
        try:
            yield announcer
        finally:
            announcer.close()

    async def close(self) -> None:
        """Write what is still to be written, and close everything."""
        await self.cache_stats.close()
        await self.reservations.close()
        await self.accounts.close()
        await self.wire.close()
        self.schema_worker.close()
