"""Metrics: numbers of this process for Prometheus; the second subscriber of what happens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from infra.telemetry.events import MessageHandled, ResultPublished
from infra.telemetry.process_events import ExporterFailed

if TYPE_CHECKING:
    from infra.telemetry.dispatch import Telemetry, TelemetryEvent

_MESSAGE_LABELS: Final = ("stage", "name", "ending")
_RESULT_LABELS: Final = ("stage", "kind", "status", "origin", "code")


class EventCounts(Collector):
    """Counts messages and results as they are emitted."""

    def __init__(self) -> None:
        self._messages: Counter[tuple[str, ...]] = Counter()
        self._seconds: Counter[tuple[str, ...]] = Counter()
        self._results: Counter[tuple[str, ...]] = Counter()

    def __call__(self, event: TelemetryEvent) -> None:
        """Count an event, if it is one of those."""
        match event:
            case MessageHandled():
                labels = (event.stage, event.name, str(event.ending))
                self._messages[labels] += 1
                self._seconds[labels] += event.duration_ms / 1000  # pyright: ignore[reportArgumentType] - a sum
            case ResultPublished():
                self._results[event.stage, event.kind, event.status, event.origin, event.code] += 1
            case _:
                pass

    def describe(self) -> Iterable[Metric]:
        """The families without a value."""
        return self._families()

    def collect(self) -> Iterator[Metric]:
        """The families with this moment's values."""
        families = self._families()
        for family, counts in zip(families, (self._messages, self._seconds, self._results), strict=True):
            for labels, count in tuple(counts.items()):
                family.add_metric(labels, count)
        yield from families

    @staticmethod
    def _families() -> tuple[CounterMetricFamily, ...]:
        return (
            CounterMetricFamily("understudy_messages", "Messages handled.", labels=_MESSAGE_LABELS),
            CounterMetricFamily(
                "understudy_message_seconds", "Seconds that they took in all.", labels=_MESSAGE_LABELS
            ),
            CounterMetricFamily("understudy_results", "Results published.", labels=_RESULT_LABELS),
        )


class Exporter:
    """Answers ``GET /metrics`` until it is closed.

    Args:
        address: ``HOST:PORT``; port 0 takes a free one.
        collectors: whose numbers are shown.

    Raises:
        OSError: nothing can listen there.
        OverflowError: there is no such port.
    """

    def __init__(self, address: str, collectors: Sequence[Collector]) -> None:
        registry = CollectorRegistry()
        for each in collectors:
            registry.register(each)
        host, _, port = address.rpartition(":")
        self._server, self._thread = start_http_server(int(port), addr=host, registry=registry)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.server_port

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def exporter(address: str, collectors: Sequence[Collector], telemetry: Telemetry) -> Exporter | None:
    """The exporter, with counts of what is emitted; ``None`` where nothing can listen: work goes on without it."""
    counts = EventCounts()
    try:
        found = Exporter(address, [*collectors, counts])
    except (OSError, OverflowError) as error:
        telemetry.emit(ExporterFailed(address=address, problem=str(error)))
        return None
    telemetry.subscribe(counts)
    return found
