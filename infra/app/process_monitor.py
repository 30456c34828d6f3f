"""Monitor of one process of stages: its metrics, its health, and the port where both are answered."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from nats import errors as nats_errors
from prometheus_client import ProcessCollector

from contracts import pipeline
from contracts.errors import Unavailable, error_text
from infra.nats import accounts
from infra.nats.log import StreamMissing
from infra.providers.circuit_metrics import Circuits
from infra.providers.names import helper_chains
from infra.stores import cache_stats, stream_fill
from infra.telemetry import metric_table as table
from infra.telemetry.exporter import OFF, exporter
from infra.telemetry.loop_tick import LoopTick
from infra.telemetry.metrics import ProcessMetrics
from infra.telemetry.process_events import BrokerUnread

if TYPE_CHECKING:
    from infra.app.application import Application
    from infra.nats.accounts import LiveAccount
    from infra.telemetry.exporter import Exporter

#: Seconds between two looks at what the broker knows of queues and streams.
LOOK_S: Final = 5.0
#: Looks between two at the budgets: there may be thousands of accounts.
_LOOKS_PER_BUDGETS: Final = 6
#: Field of a consumer's state that each queue metric shows.
_QUEUE_FIELDS: Final = {
    table.QUEUE_WAITING: "num_pending",
    table.QUEUE_UNACKNOWLEDGED: "num_ack_pending",
    table.QUEUE_REDELIVERED: "num_redelivered",
}
#: What is read from the broker at intervals.
_LOOKED_AT: Final = (
    *_QUEUE_FIELDS,
    table.STREAM_MESSAGES,
    table.STREAM_BYTES,
    table.STREAM_LIMIT_BYTES,
    table.BUDGET_USED,
)
_UNITS: Final = {"tokens": "tokens", "nanos": "cost", "generations": "generations"}


class ProcessMonitor:
    """Metrics and health of a process.

    Args:
        application: the process.
    """

    def __init__(self, application: Application) -> None:
        self._application = application
        self._adapters = application.adapters
        self.metrics = ProcessMetrics(application.stages)
        self._tick = LoopTick(self.metrics.durations(table.LOOP_LAG).observe)
        self._exporter: Exporter | None = None
        for event in cache_stats.COUNTS:
            self.metrics.counts(table.CACHE_EVENTS).show((event,))
        tasks = pipeline.helpers(application.stages)
        for provider in self._adapters.providers:
            called_by = [stage for stage in application.stages if stage in pipeline.EXPENSIVE]
            called_by += [
                task
                for task, names in helper_chains(application.settings)
                if task in tasks and provider.name in names
            ]
            self.metrics.show_provider(provider.name, provider.model, called_by)
        self.metrics.before_scrape.append(self._refresh)

    @property
    def address(self) -> str | None:
        """``HOST:PORT`` where it answers; ``None``: it does not."""
        return None if self._exporter is None else self._exporter.address

    def start(self) -> None:
        """Count what is emitted, and answer at the address that the settings name."""
        if self._application.settings.metrics == OFF:
            return
        self._application.telemetry.subscribe(self.metrics)
        self._tick.start()
        collectors = (self.metrics, Circuits(self._adapters.breakers), ProcessCollector(registry=None))
        self._exporter = exporter(
            self._application.settings.metrics,
            collectors,
            self._application.telemetry,
            live=self._tick.problems,
            ready=self._ready,
        )

    def stop(self) -> None:
        """Answer no more."""
        self._tick.stop()
        if self._exporter is not None:
            self._exporter.close()

    async def look(self) -> None:
        """Read again and again what only the broker knows."""
        await self._application.ready.wait()
        problem = ""
        for number in itertools.count():
            try:
                await self._look_at_queues()
                if pipeline.RECORDERS & set(self._application.stages):
                    await self._look_at_streams()
                if number % _LOOKS_PER_BUDGETS == 0 and pipeline.EXPENSIVE & set(self._application.stages):
                    await self._look_at_budgets()
                problem = ""
            except (Unavailable, nats_errors.Error) as error:
                # A lost connection has an event of its own.
                if not problem and self._connected():
                    problem = error_text(error)
                    self._application.telemetry.emit(BrokerUnread(problem=problem))
                # Old numbers would look like new ones.
                for spec in _LOOKED_AT:
                    self.metrics.counts(spec).clear()
            await asyncio.sleep(LOOK_S)

    async def _look_at_queues(self) -> None:
        for subscriber in self._application.subscribers:
            route = subscriber.route
            labels = (route.stream, route.stage)
            info = await stream_fill.call_api(
                self._adapters.wire, f"CONSUMER.INFO.{route.stream}.{route.durable}"
            )
            for spec, field in _QUEUE_FIELDS.items():
                self.metrics.counts(spec).set(int(info.get(field, 0)), labels)

    async def _look_at_streams(self) -> None:
        for fill in (await stream_fill.read_fill(self._adapters.wire)).values():
            self.metrics.counts(table.STREAM_MESSAGES).set(fill.messages, (fill.name,))
            self.metrics.counts(table.STREAM_BYTES).set(fill.bytes, (fill.name,))
            self.metrics.counts(table.STREAM_LIMIT_BYTES).set(fill.limit, (fill.name,))

    async def _look_at_budgets(self) -> None:
        now_ms = int(self._adapters.clock.now() * 1000)
        try:
            found = await accounts.current(self._adapters.wire, now_ms)
        except StreamMissing:
            found = []
        used = self.metrics.counts(table.BUDGET_USED)
        used.clear()
        for (scope, unit), share in fullest(found, now_ms).items():
            used.set(share, (scope, unit))

    def _refresh(self) -> None:
        metrics = self.metrics
        for event, count in tuple(self._adapters.cache_stats.counts.items()):
            metrics.counts(table.CACHE_EVENTS).set(count, (event,))
        for each in self._application.subscribers:
            metrics.counts(table.IN_HAND).set(each.pull.in_hand, (each.route.stream, each.route.stage))
        metrics.counts(table.BROKER_CONNECTED).set(self._connected())
        metrics.counts(table.READY).set(not (self._tick.problems() or self._ready()))

    def _connected(self) -> bool:
        try:
            return self._adapters.wire.client.is_connected
        except Unavailable:
            return False

    def _ready(self) -> Sequence[str]:
        """What keeps this process from working."""
        application = self._application
        if application.stopping:
            return ("the process is stopping",)
        if not application.ready.is_set():
            return ("the stages are not bound to their consumers yet",)
        if not application.loaded.is_set():
            return ("the local model is loading",)
        return () if self._connected() else ("there is no connection to the broker",)


def fullest(found: Sequence[LiveAccount], now_ms: int) -> dict[tuple[str, str], float]:
    """The used share of the fullest budget, by scope and unit.

    Args:
        found: the accounts of the windows that are open.
        now_ms: ms since the epoch.
    """
    shares: dict[tuple[str, str], float] = {}
    for each in found:
        used: Any = each.account.spent + each.account.reserved(now_ms)
        for unit, name in _UNITS.items():
            cap = getattr(each.account.cap, unit)
            if cap:
                key = (each.named.scope, name)
                shares[key] = max(shares.get(key, 0.0), getattr(used, unit) / cap)
    return shares
