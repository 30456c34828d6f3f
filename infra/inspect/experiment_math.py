"""Statistics of experiments: sample-ratio test, intervals of rates, bootstrap of percentiles and means.

What is split is the unit, and the results of one unit resemble each other.  So rates count with the effective size of
their sample, and the bootstrap draws units, not results.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import ceil, erfc, exp, gamma, sqrt
from random import Random
from statistics import NormalDist
from typing import Final

import msgspec

#: Below this probability a split is broken.
BROKEN: Final = 0.001
#: Units that each arm must be expected to have before the split is tested.
LEAST_EXPECTED: Final = 5
#: Samples of the bootstrap, and groups of units that it draws from at most.
SAMPLES: Final = 2_000
_GROUPS: Final = 200
_PERCENTILE: Final = 0.95


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """A figure with its confidence interval."""

    value: float
    low: float
    high: float


class UnitResults(msgspec.Struct, kw_only=True):
    """The results of one unit."""

    results: int = 0
    successes: int = 0
    #: Sum over :attr:`results`.
    cost: float = 0.0
    #: ms, of the results that answer a request.
    latencies: list[float] = []


def check_ratio(units: Sequence[int], weights: Sequence[int]) -> float | None:
    """Probability of a split at least as uneven, by the chi-square test; ``None``: there are too few units.

    Args:
        units: of each arm.
        weights: of each arm.
    """
    total, whole = sum(units), sum(weights)
    expected = [total * weight / whole for weight in weights]
    if min(expected) < LEAST_EXPECTED:
        return None
    statistic = sum((seen - due) ** 2 / due for seen, due in zip(units, expected, strict=True))
    return chi_square_tail(statistic, len(units) - 1)


def chi_square_tail(statistic: float, degrees: int) -> float:
    """Probability that a chi-square variable is at least ``statistic``.

    Source: Abramowitz and Stegun, 26.4.4 and 26.4.5.
    """
    half = statistic / 2
    if degrees % 2 == 0:
        terms, tail = range(degrees // 2), 0.0
        shift = 0.0
    else:
        terms, tail = range((degrees - 1) // 2), erfc(sqrt(half))
        shift = 0.5
    return tail + sum(exp(-half) * half ** (index + shift) / gamma(index + shift + 1) for index in terms)


def z_of(error: float) -> float:
    """The deviations of a two-sided interval that misses with probability ``error``."""
    return NormalDist().inv_cdf(1 - error / 2)


def measure_rate(units: Mapping[str, UnitResults], error: float) -> Interval:
    """Share of successes among the results, with Wilson's interval at the effective size of the sample.

    Args:
        units: by pseudonym; at least one result.
        error: probability that the interval misses.
    """
    results = sum(each.results for each in units.values())
    rate = sum(each.successes for each in units.values()) / results
    low, high = wilson(rate, _effective_size(units, rate, results), z_of(error))
    return Interval(value=rate, low=low, high=high)


def wilson(rate: float, size: float, z: float) -> tuple[float, float]:
    """Wilson's score interval of a rate."""
    middle = (rate + z * z / (2 * size)) / (1 + z * z / size)
    half = z * sqrt(rate * (1 - rate) / size + z * z / (4 * size * size)) / (1 + z * z / size)
    return max(0.0, middle - half), min(1.0, middle + half)


def compare_rates(arm: Interval, control: Interval) -> Interval:
    """Difference of two rates; Newcombe's interval (his method 10) from theirs, which must have the same error."""
    difference = arm.value - control.value
    low = difference - sqrt((arm.value - arm.low) ** 2 + (control.high - control.value) ** 2)
    high = difference + sqrt((arm.high - arm.value) ** 2 + (control.value - control.low) ** 2)
    return Interval(value=difference, low=low, high=high)


def _effective_size(units: Mapping[str, UnitResults], rate: float, results: int) -> float:
    """Results that would say as much if they did not resemble each other; never more than there are."""
    if len(units) == results:
        return results
    if not 0 < rate < 1:
        # Nothing varies: only the units are known to be independent.
        return len(units)
    spread = sum((each.successes - rate * each.results) ** 2 for each in units.values())
    variance = spread / results**2 * len(units) / max(1, len(units) - 1)
    size = results if variance == 0 else rate * (1 - rate) / variance
    return max(1.0, min(float(results), size))


class Resampled(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of samples of the units, drawn with replacement."""

    #: 95th percentiles of the latency, ms; empty without a latency.
    p95_ms: list[float] = []
    #: Mean costs of a result.
    cost: list[float] = []


def resample(units: Mapping[str, UnitResults], *, seed: str) -> Resampled:
    """Draw :data:`SAMPLES` samples of the units; the same seed draws the same.

    Args:
        units: by pseudonym; at least one result.
        seed: any text.
    """
    groups = _group(units)
    random, every = Random(seed), range(len(groups))  # noqa: S311 - a simulation
    slowest = sorted(
        (
            (value, index)
            for index, members in enumerate(groups)
            for each in members
            for value in each.latencies
        ),
        reverse=True,
    )
    costs = [sum(each.cost for each in members) for members in groups]
    results = [sum(each.results for each in members) for members in groups]
    measured = [sum(len(each.latencies) for each in members) for members in groups]
    p95_ms: list[float] = []
    cost: list[float] = []
    for _ in range(SAMPLES):
        drawn = random.choices(every, k=len(groups))
        cost.append(sum(costs[index] for index in drawn) / sum(results[index] for index in drawn))
        value = _percentile(Counter(drawn), slowest, sum(measured[index] for index in drawn))
        if value is not None:
            p95_ms.append(value)
    return Resampled(p95_ms=p95_ms, cost=cost)


def _percentile(drawn: Counter[int], slowest: Sequence[tuple[float, int]], size: int) -> float | None:
    """The 95th percentile of a sample; ``None``: it has no latency."""
    above = size - ceil(_PERCENTILE * size)
    for value, index in slowest:
        above -= drawn[index]
        if above < 0:
            return value
    return None


def percentile_95(units: Mapping[str, UnitResults]) -> float:
    """95th percentile of the latency, ms: the value at rank ⌈0.95·n⌉; at least one latency."""
    values = sorted(value for each in units.values() for value in each.latencies)
    return values[ceil(_PERCENTILE * len(values)) - 1]


def enclose(value: float, samples: Sequence[float], error: float) -> Interval:
    """A figure with the interval that all samples but a share ``error`` lie in."""
    ordered = sorted(samples)
    cut = int(len(ordered) * error / 2)
    return Interval(value=value, low=ordered[cut], high=ordered[len(ordered) - 1 - cut])


def _group(units: Mapping[str, UnitResults]) -> list[list[UnitResults]]:
    """The units in groups that are independent of what they have in them: pseudonyms are hashes."""
    number = min(_GROUPS, len(units))
    groups: list[list[UnitResults]] = [[] for _ in range(number)]
    for position, name in enumerate(sorted(units)):
        groups[position % number].append(units[name])
    return groups
