"""Values of metrics: counters, gauges and histograms of this process, with bounded labels.

One thread writes, the event loop's; the thread that answers a scrape copies what it reads.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from infra.telemetry.metric_table import MetricType

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from infra.telemetry.metric_table import MetricSpec

#: Label value for everything that is not expected.
OTHER: Final = "other"
#: Characters of a label value that is not known beforehand.
_LONGEST: Final = 100

#: Turns any text into one of a bounded number of label values.
Bound = Callable[[str], str]
Labels = tuple[str, ...]


def one_of(*allowed: Iterable[str]) -> Bound:
    """The bound of a label whose values are known; collections that grow are asked each time."""
    return lambda value: str(value) if any(value in each for each in allowed) else OTHER


class FirstSeen:
    """The bound of a label whose values are not known: the first ones are kept, all others are ``other``.

    Args:
        most: how many are kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen: set[str] = set()

    def __call__(self, value: str) -> str:
        """The value, or ``other``."""
        if value in self._seen:
            return value
        if len(self._seen) >= self._most or len(value) > _LONGEST or not value.isprintable():
            return OTHER
        self._seen.add(value)
        return value


class _Series:
    """Time series of one metric by their labels."""

    def __init__(self, spec: MetricSpec, bounds: Mapping[str, Bound]) -> None:
        self.spec = spec
        self._bounds: Sequence[Bound] = [bounds[label] for label in spec.labels]

    def _bounded(self, labels: Labels) -> Labels:
        return tuple(bound(value) for bound, value in zip(self._bounds, labels, strict=True))


class Counts(_Series):
    """A counter, or a gauge that is set."""

    def __init__(self, spec: MetricSpec, bounds: Mapping[str, Bound]) -> None:
        super().__init__(spec, bounds)
        #: Lists of one number: counting is one look-up.
        self._values: dict[Labels, list[float]] = {}
        if not spec.labels:
            self._values[()] = [0]

    def show(self, labels: Labels) -> None:
        """Export a time series from now on, with 0 until it counts."""
        self._values.setdefault(self._bounded(labels), [0])

    def add(self, labels: Labels = (), amount: float = 1) -> None:
        """Count."""
        found = self._values.get(labels)
        if found is None:
            found = self._values.setdefault(self._bounded(labels), [0])
        found[0] += amount

    def set(self, value: float, labels: Labels = ()) -> None:
        """Set a gauge."""
        self._values[self._bounded(labels)] = [value]

    def clear(self) -> None:
        """Forget all values: what is not known any more is not exported."""
        self._values = {}

    def family(self) -> Metric:
        """The family with this moment's values."""
        spec = self.spec
        made = CounterMetricFamily if spec.type is MetricType.COUNTER else GaugeMetricFamily
        family = made(spec.family, spec.help, labels=spec.labels)
        for labels, value in self._values.copy().items():
            family.add_metric(labels, value[0])
        return family


class Durations(_Series):
    """A histogram of seconds."""

    def __init__(self, spec: MetricSpec, bounds: Mapping[str, Bound]) -> None:
        super().__init__(spec, bounds)
        self._edges = spec.buckets
        #: Observations by bucket, the last one without a bound, then their sum.
        self._values: dict[Labels, list[float]] = {}
        if not spec.labels:
            self.show(())

    def show(self, labels: Labels) -> None:
        """Export a time series from now on, without an observation until there is one."""
        self._values.setdefault(self._bounded(labels), [0.0] * (len(self._edges) + 2))

    def observe(self, seconds: float, labels: Labels = ()) -> None:
        """Add an observation."""
        found = self._values.get(labels)
        if found is None:
            labels = self._bounded(labels)
            found = self._values.setdefault(labels, [0.0] * (len(self._edges) + 2))
        found[bisect_left(self._edges, seconds)] += 1
        found[-1] += seconds

    def family(self) -> Metric:
        """The family with this moment's values."""
        spec = self.spec
        family = HistogramMetricFamily(spec.name, spec.help, labels=spec.labels)
        bounds = [*(f"{edge:g}" for edge in self._edges), "+Inf"]
        for labels, values in self._values.copy().items():
            *counts, total = values
            summed = 0.0
            buckets: list[tuple[str, float]] = []
            for bound, count in zip(bounds, counts, strict=True):
                summed += count
                buckets.append((bound, summed))
            family.add_metric(labels, buckets, total)
        return family


class MetricValues(Collector):
    """The values of some metrics.

    Args:
        specs: which metrics.
        bounds: the bound of each label that they have.
    """

    def __init__(self, specs: Iterable[MetricSpec], bounds: Mapping[str, Bound]) -> None:
        #: Called before each scrape, in its thread; sets gauges.
        self.before_scrape: list[Callable[[], None]] = []
        self._series = {
            spec.name: (Durations if spec.type is MetricType.HISTOGRAM else Counts)(spec, bounds)
            for spec in specs
        }

    def counts(self, spec: MetricSpec) -> Counts:
        """A counter or gauge of these."""
        found = self._series[spec.name]
        if not isinstance(found, Counts):
            raise TypeError(f"{spec.name} is a histogram")
        return found

    def durations(self, spec: MetricSpec) -> Durations:
        """A histogram of these."""
        found = self._series[spec.name]
        if not isinstance(found, Durations):
            raise TypeError(f"{spec.name} is no histogram")
        return found

    def describe(self) -> Iterable[Metric]:
        """The families."""
        return [each.family() for each in self._series.values()]

    def collect(self) -> Iterator[Metric]:
        """The families with this moment's values."""
        for refresh in self.before_scrape:
            refresh()
        for each in self._series.values():
            yield each.family()
