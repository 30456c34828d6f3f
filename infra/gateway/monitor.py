"""Monitor of the gateway's process: its metrics, its health, and the port where both are answered."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import TYPE_CHECKING

from prometheus_client import ProcessCollector

from infra.host.extras import installed_version
from infra.telemetry import events as ev
from infra.telemetry import metric_table as table
from infra.telemetry.broker_events import ConnectionLost, ConnectionRestored
from infra.telemetry.exporter import OFF, exporter
from infra.telemetry.gateway_events import HttpAnswered
from infra.telemetry.loop_tick import LoopTick
from infra.telemetry.metric_values import FirstSeen, MetricValues

if TYPE_CHECKING:
    from infra.gateway.gateway import Gateway
    from infra.telemetry.dispatch import TelemetryEvent
    from infra.telemetry.exporter import Exporter

#: Routes, and pairs of method and status, with time series of their own; the gateway's own are fewer.
_ROUTES = 200
_TAKEN = frozenset({HttpAnswered, ConnectionLost, ConnectionRestored, ev.DefectFound})


class GatewayMetrics(MetricValues):
    """The metrics of the gateway; a subscriber of what it emits."""

    def __init__(self) -> None:
        super().__init__(
            table.GATEWAY_METRICS,
            {
                "method": FirstSeen(16),
                "route": FirstSeen(_ROUTES),
                "status": FirstSeen(64),
                "version": str,
                "python": str,
            },
        )
        self.counts(table.BUILD).set(1, (installed_version(), platform.python_version()))

    def takes(self, event: type[TelemetryEvent], level: int) -> bool:
        """Whether such events are counted."""
        del level
        return event in _TAKEN

    def __call__(self, event: TelemetryEvent) -> None:
        """Count an event, if it is one of those."""
        match event:
            case HttpAnswered():
                self.counts(table.HTTP_REQUESTS).add((event.method, event.route, str(event.status)))
                self.durations(table.HTTP_SECONDS).observe(event.duration_ms / 1000, (event.route,))
            case ConnectionLost():
                self.counts(table.CONNECTIONS_LOST).add()
            case ConnectionRestored():
                self.counts(table.DISCONNECTED_SECONDS).add((), event.seconds)
            case ev.DefectFound():
                self.counts(table.DEFECTS).add()
            case _:
                pass


class GatewayMonitor:
    """Metrics and health of the gateway's process.

    Args:
        gateway: what they are about.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.metrics = GatewayMetrics()
        self._tick = LoopTick(self.metrics.durations(table.LOOP_LAG).observe)
        self._exporter: Exporter | None = None
        self.metrics.before_scrape.append(self._refresh)

    @property
    def address(self) -> str | None:
        """``HOST:PORT`` where it answers; ``None``: it does not."""
        return None if self._exporter is None else self._exporter.address

    def start(self) -> None:
        """Count what is emitted, and answer at the address that the settings name."""
        address = self._gateway.settings.metrics
        if address == OFF:
            return
        self._gateway.telemetry.subscribe(self.metrics)
        self._tick.start()
        self._exporter = exporter(
            address,
            (self.metrics, ProcessCollector(registry=None)),
            self._gateway.telemetry,
            live=self._tick.problems,
            ready=self._ready,
        )

    def stop(self) -> None:
        """Answer no more."""
        self._tick.stop()
        if self._exporter is not None:
            self._exporter.close()

    def _ready(self) -> Sequence[str]:
        return self._gateway.problems()

    def _refresh(self) -> None:
        self.metrics.counts(table.BROKER_CONNECTED).set(self._gateway.connected)
        self.metrics.counts(table.HTTP_WAITING).set(self._gateway.waiting)
        self.metrics.counts(table.HTTP_STREAMS).set(self._gateway.hub.feeds)
        self.metrics.counts(table.READY).set(not (self._tick.problems() or self._ready()))
