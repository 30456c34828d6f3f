"""Statistics of evaluation runs: intervals by the bootstrap, and exact tests of paired results.

The unit is the case: results of one case resemble each other, so the bootstrap draws cases, and the test swaps the
two runs within a case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import ceil, comb, fsum, log1p
from random import Random
from typing import Final

import msgspec

from infra.inspect.experiment_math import SAMPLES, Interval, enclose

#: Swaps that are drawn, and cases up to which all swaps are tried instead.
SWAPS: Final = 4_000
_TRY_ALL: Final = 12
#: Results that are equal but for rounding count as equal.
_EPSILON: Final = 1e-9

#: A case's results in the earlier and in the later run, in the same order.
Pairs = Sequence[tuple[Sequence[float], Sequence[float]]]
Statistic = Callable[[Sequence[float]], float]


class PairedTest(msgspec.Struct, frozen=True, kw_only=True):
    """Probabilities, if nothing has changed, of a difference at least as large."""

    #: Of one at least as far below, and as far above zero.
    lower: float
    higher: float


def mean(values: Sequence[float]) -> float:
    """The mean of at least one value."""
    return fsum(values) / len(values)


def log_mean(values: Sequence[float]) -> float:
    """The mean of the logarithms of at least one value, none of them negative."""
    return fsum(map(log1p, values)) / len(values)


def percentile_of(share: float) -> Statistic:
    """The value at rank ⌈share·n⌉ of at least one value."""
    return lambda values: sorted(values)[ceil(share * len(values)) - 1]


def measure_mean(units: Mapping[str, Sequence[float]], *, seed: str, error: float) -> Interval | None:
    """A mean with its interval; ``None`` without a value.

    Args:
        units: values by case.
        seed: any text.
        error: probability that the interval misses.
    """
    return _measure(units, mean, seed=seed, error=error)


def measure_percentile(
    units: Mapping[str, Sequence[float]], share: float, *, seed: str, error: float
) -> Interval | None:
    """A percentile with its interval, as :func:`measure_mean`."""
    return _measure(units, percentile_of(share), seed=seed, error=error)


def _measure(
    units: Mapping[str, Sequence[float]], statistic: Statistic, *, seed: str, error: float
) -> Interval | None:
    if not units:
        return None
    parts, random = list(units.values()), Random(seed)  # noqa: S311 - a simulation
    drawn = [
        statistic([value for part in random.choices(parts, k=len(parts)) for value in part])
        for _ in range(SAMPLES)
    ]
    return enclose(statistic([value for part in parts for value in part]), drawn, error)


def difference(pairs: Pairs, statistic: Statistic) -> float:
    """The later run's figure less the earlier one's."""
    before = statistic([value for pair in pairs for value in pair[0]])
    return statistic([value for pair in pairs for value in pair[1]]) - before


def enclose_difference(pairs: Pairs, statistic: Statistic, *, seed: str, error: float) -> Interval:
    """The difference of two runs with its interval, by a bootstrap that draws cases.

    Args:
        pairs: at least one case; both runs have as many results of it.
        statistic: the figure.
        seed: any text.
        error: probability that the interval misses.
    """
    random = Random(seed)  # noqa: S311 - a simulation
    if statistic is mean:
        gains = [(fsum(after) - fsum(before), len(before)) for before, after in pairs]
        samples = (random.choices(gains, k=len(gains)) for _ in range(SAMPLES))
        drawn = [sum(gain for gain, _ in each) / sum(number for _, number in each) for each in samples]
    else:
        drawn = [difference(random.choices(pairs, k=len(pairs)), statistic) for _ in range(SAMPLES)]
    return enclose(difference(pairs, statistic), drawn, error)


def compare_paired(pairs: Pairs, statistic: Statistic, *, seed: str) -> PairedTest:
    """Test whether two runs differ, by swapping them within each case: exact for any statistic.

    Args:
        pairs: at least one case; both runs have as many results of it.
        statistic: the figure.
        seed: any text.
    """
    observed = difference(pairs, statistic)
    differing = [at for at, (before, after) in enumerate(pairs) if list(before) != list(after)]
    lower = higher = tried = 0
    for found in _swapped_differences(pairs, statistic, _swaps(differing, seed=seed)):
        lower += found <= observed + _EPSILON
        higher += found >= observed - _EPSILON
        tried += 1
    if len(differing) > _TRY_ALL:
        # What was observed is one of the swaps.
        lower, higher, tried = lower + 1, higher + 1, tried + 1
    return PairedTest(lower=lower / tried, higher=higher / tried)


def _swapped_differences(
    pairs: Pairs, statistic: Statistic, swaps: Sequence[frozenset[int]]
) -> Iterator[float]:
    if statistic is mean:
        gains = [fsum(after) - fsum(before) for before, after in pairs]
        whole, number = fsum(gains), sum(len(before) for before, _ in pairs)
        for swapped in swaps:
            yield (whole - 2 * sum(gains[at] for at in swapped)) / number
        return
    for swapped in swaps:
        exchanged = [(b, a) if at in swapped else (a, b) for at, (a, b) in enumerate(pairs)]
        yield difference(exchanged, statistic)


def _swaps(differing: Sequence[int], *, seed: str) -> Sequence[frozenset[int]]:
    """Cases whose runs are swapped, each time."""
    if len(differing) <= _TRY_ALL:
        masks: Sequence[int] = range(2 ** len(differing))
    else:
        random = Random(seed)  # noqa: S311 - a simulation
        masks = [random.getrandbits(len(differing)) for _ in range(SWAPS)]
    return [frozenset(case for bit, case in enumerate(differing) if mask >> bit & 1) for mask in masks]


def mcnemar(lost: int, gained: int) -> PairedTest:
    """McNemar's exact test, one-sided, of cases that held in one run alone.

    Args:
        lost: cases that held in the earlier run alone.
        gained: cases that held in the later run alone.
    """
    number = lost + gained
    tail = [comb(number, each) for each in range(number + 1)]
    return PairedTest(
        lower=sum(tail[lost:]) / 2**number,
        higher=sum(tail[gained:]) / 2**number,
    )
