"""Circuit metrics: where the circuit breakers of this process stand, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from infra.providers.breaker import CircuitState

if TYPE_CHECKING:
    from infra.providers.breaker import Breaker


class Circuits(Collector):
    """The state of circuit breakers, read whenever somebody asks.

    Args:
        breakers: one per provider, and one per provider of a helper task; more may come.
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
                states.add_metric((each.name, each.model, each.task, str(state)), float(each.state is state))
            failures.add_metric((each.name, each.model, each.task), each.failures)
        yield states
        yield failures

    @staticmethod
    def _families() -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
        return (
            GaugeMetricFamily(
                "understudy_provider_circuit_state",
                "1 for the state that a provider's circuit breaker is in, else 0; task: the helper task that it is for, or empty.",
                labels=("provider", "model", "task", "state"),
            ),
            GaugeMetricFamily(
                "understudy_provider_circuit_failures",
                "Calls in a row that found a provider away.",
                labels=("provider", "model", "task"),
            ),
        )
