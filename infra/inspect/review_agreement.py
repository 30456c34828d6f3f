"""Agreement of reviewers: Cohen's kappa with quadratic weights, for two who have scored the same results.

Source: J. Cohen, Weighted kappa, Psychological Bulletin 70 (1968).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from math import floor
from statistics import fmean
from typing import Final

import msgspec

from contracts.reviews import BEST, WORST

#: Results that two must both have scored before their agreement is told.
LEAST_COMMON: Final = 10
#: A result.
Key = tuple[str, int]


class ReviewerAgreement(msgspec.Struct, frozen=True, kw_only=True):
    """How far scores of the same results agree."""

    #: 1: always; 0: as often as by chance; ``None``: not enough is known.
    kappa: float | None
    #: Results with at least two scores.
    results: int
    #: Pairs of reviewers, or reviewers beside the judge, that :attr:`kappa` is the mean of.
    pairs: int
    #: Results that each pair must have in common.
    least: int
    #: In words.
    sentence: str


def weighted_kappa(one: Sequence[int], other: Sequence[int]) -> float | None:
    """Cohen's kappa with quadratic weights of two who scored the same results.

    Args:
        one: scores of one, result by result.
        other: scores of the other, in the same order; as many.

    Returns:
        at most 1; ``None``: every score is the same, so chance alone would agree.
    """
    number = len(one)
    observed = sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) / number
    expected = sum((a - b) ** 2 for a in one for b in other) / number**2
    return None if expected == 0 else 1 - observed / expected


def measure_agreement(scores: Iterable[tuple[str, Key, int]]) -> ReviewerAgreement:
    """The agreement of all reviewers: the mean kappa of the pairs that have enough results in common.

    Args:
        scores: reviewer, result, score.
    """
    by_reviewer: dict[str, dict[Key, int]] = defaultdict(dict)
    seen: dict[Key, int] = defaultdict(int)
    for reviewer, key, score in scores:
        by_reviewer[reviewer][key] = score
        seen[key] += 1
    both = sum(number > 1 for number in seen.values())
    pairs = [(by_reviewer[one], by_reviewer[other]) for one, other in combinations(sorted(by_reviewer), 2)]
    return _conclude(pairs, both, "reviewers")


def measure_judge(scores: Iterable[tuple[str, Key, int]], judged: Mapping[Key, float]) -> ReviewerAgreement:
    """The agreement of each reviewer with an automatic judge, whose scores are rounded.

    Args:
        scores: reviewer, result, score.
        judged: the judge's scores.
    """
    rounded = {key: min(BEST, max(WORST, floor(score + 0.5))) for key, score in judged.items()}
    by_reviewer: dict[str, dict[Key, int]] = defaultdict(dict)
    for reviewer, key, score in scores:
        by_reviewer[reviewer][key] = score
    both = len({key for each in by_reviewer.values() for key in each if key in rounded})
    return _conclude([(each, rounded) for each in by_reviewer.values()], both, "reviewers with the judge")


def _conclude(
    pairs: Iterable[tuple[Mapping[Key, int], Mapping[Key, int]]], both: int, who: str
) -> ReviewerAgreement:
    kappas: list[float] = []
    uniform = 0
    for one, other in pairs:
        common = sorted(one.keys() & other.keys())
        if len(common) < LEAST_COMMON:
            continue
        kappa = weighted_kappa([one[key] for key in common], [other[key] for key in common])
        if kappa is None:
            uniform += 1
        else:
            kappas.append(kappa)
    mean = fmean(kappas) if kappas else None
    return ReviewerAgreement(
        kappa=mean,
        results=both,
        pairs=len(kappas),
        least=LEAST_COMMON,
        sentence=_say(mean, both, uniform, who),
    )


def _say(kappa: float | None, both: int, uniform: int, who: str) -> str:
    if kappa is not None:
        return (
            f"Agreement of {who}: kappa {kappa:.2f} ({_word(kappa)}), over {both:,} results scored by both."
        )
    if uniform:
        return f"Agreement of {who} cannot be told: all scores are the same."
    return (
        f"Not enough for the agreement of {who}: two need {LEAST_COMMON} results in common; {both:,} results have "
        "both scores."
    )


def _word(kappa: float) -> str:
    """Landis and Koch's words (Biometrics 33, 1977)."""
    steps = ((0.8, "almost perfect"), (0.6, "substantial"), (0.4, "moderate"), (0.2, "fair"), (0.0, "slight"))
    return next((word for least, word in steps if kappa > least), "none")
