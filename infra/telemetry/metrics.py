"""Which numbers does a process have for Prometheus?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from infra.providers.breaker import CircuitState

if TYPE_CHECKING:
    from infra.providers.breaker import Breaker


class Circuits(Collector):
    """Where the circuit breakers of this process stand, looked up whenever somebody asks.

    Args:
        breakers: one per provider; more may come.
    """

    def __init__(self, breakers: Sequence[Breaker]) -> None:
        self._breakers = breakers

    def describe(self) -> Iterable[Metric]:
        """The families without a value."""
        return self._families()

    def collect(self) -> Iterator[Metric]:
        """The families with this moment's values."""
        states, failures = self._families()
        for each in self._breakers:
            for state in CircuitState:
                states.add_metric((each.name, each.model, str(state)), float(each.state is state))
            failures.add_metric((each.name, each.model), each.failures)
        yield states
        yield failures

    @staticmethod
    def _families() -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
        return (
            GaugeMetricFamily(
                "understudy_provider_circuit_state",
                "1 for the state that a provider's circuit breaker is in, else 0.",
                labels=("provider", "model", "state"),
            ),
            GaugeMetricFamily(
                "understudy_provider_circuit_failures",
                "Calls in a row that found a provider away.",
                labels=("provider", "model"),
            ),
        )


class Exporter:
    """Answers ``GET /metrics`` until it is closed.

    Args:
        address: ``HOST:PORT``; port 0 takes a free one.
        breakers: whose circuits are told.

    Raises:
        OSError: nothing can listen there.
        OverflowError: there is no such port.
    """

    def __init__(self, address: str, breakers: Sequence[Breaker]) -> None:
        registry = CollectorRegistry()
        registry.register(Circuits(breakers))
        host, _, port = address.rpartition(":")
        self._server, self._thread = start_http_server(int(port), addr=host, registry=registry)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.server_port

    def close(self) -> None:
        """Answer nobody any more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def exporter(address: str, breakers: Sequence[Breaker], log: Any) -> Exporter | None:
    """The exporter; ``None``, and a line in the log, where nothing can listen: work goes on without it."""
    try:
        return Exporter(address, breakers)
    except (OSError, OverflowError) as error:
        log.warning("no metrics", address=address, problem=str(error), fix="UNDERSTUDY_METRICS")
        return None
