"""Agreement of reviewers against values that were calculated by hand, and properties that it must have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.inspect.review_agreement import LEAST_COMMON, measure_agreement, measure_judge, weighted_kappa

SCORES = st.integers(1, 5)
PAIRS = st.lists(st.tuples(SCORES, SCORES), min_size=1, max_size=40)


@pytest.mark.parametrize(
    ("one", "other", "kappa"),
    [
        ([1, 2, 4], [1, 2, 4], 1.0),
        # Observed (0 + 1 + 1)/3 = 2/3; by chance (0+0+4 + 1+1+1 + 1+1+1)/9 = 10/9.
        ([1, 2, 2], [1, 1, 3], 0.4),
        # Opposite: observed 16, by chance (16 + 0 + 0 + 16)/4 = 8.
        ([1, 5], [5, 1], -1.0),
        # Independent: observed (0 + 1 + 1 + 0)/4 = 1/2, by chance (0+1+0+1 + 0+1+0+1 + 1+0+1+0 + 1+0+1+0)/16 = 1/2.
        ([1, 1, 2, 2], [1, 2, 1, 2], 0.0),
    ],
)
def test_kappa_by_hand(one: list[int], other: list[int], kappa: float) -> None:
    assert weighted_kappa(one, other) == pytest.approx(kappa)


def test_scores_that_are_all_the_same_say_nothing() -> None:
    assert weighted_kappa([4, 4], [4, 4]) is None


@given(PAIRS)
def test_kappa_is_the_textbook_s(pairs: list[tuple[int, int]]) -> None:
    """Against the table of weights, observed and expected shares."""
    one, other = [a for a, _ in pairs], [b for _, b in pairs]
    n = len(pairs)
    cells = [(i, j) for i in range(1, 6) for j in range(1, 6)]
    weight = {(i, j): (i - j) ** 2 / 16 for i, j in cells}
    observed = sum(weight[cell] * pairs.count(cell) / n for cell in cells)
    expected = sum(weight[i, j] * one.count(i) / n * other.count(j) / n for i, j in cells)
    found = weighted_kappa(one, other)
    assert (found is None) == (expected == 0)
    if found is not None:
        assert found == pytest.approx(1 - observed / expected)
        assert found <= 1
        assert found == pytest.approx(weighted_kappa(other, one))


def scores_of(reviewer: str, *given: int) -> list[tuple[str, tuple[str, int], int]]:
    return [(reviewer, (f"r-{number}", 1), score) for number, score in enumerate(given)]


def test_too_few_results_in_common_are_not_enough() -> None:
    few = [1, 2, 3, 4, 5, 4, 3, 2, 1]
    assert len(few) == LEAST_COMMON - 1
    found = measure_agreement(scores_of("anna", *few) + scores_of("ben", *few))
    assert (found.kappa, found.results) == (None, len(few))
    assert found.sentence.startswith("Not enough")


def test_the_mean_is_of_the_pairs_with_enough_in_common() -> None:
    anna = [1, 2, 3, 4, 5, 4, 3, 2, 1, 5]
    opposite = [6 - each for each in anna]
    found = measure_agreement(
        scores_of("anna", *anna)
        + scores_of("ben", *anna)
        + scores_of("cleo", *opposite)
        + scores_of("dan", 3)
    )
    kappa = weighted_kappa(anna, opposite)
    assert kappa is not None
    assert kappa < 0
    assert found.kappa == pytest.approx((1 + kappa + kappa) / 3)
    assert (found.pairs, found.results) == (3, 10)


def test_uniform_scores_cannot_be_told() -> None:
    found = measure_agreement(scores_of("anna", *[4] * 10) + scores_of("ben", *[4] * 10))
    assert found.kappa is None
    assert "all scores are the same" in found.sentence


def test_the_judge_is_compared_with_each_reviewer() -> None:
    anna = [1, 2, 3, 4, 5, 4, 3, 2, 1, 5]
    judged = {(f"r-{number}", 1): score + 0.4 for number, score in enumerate(anna)}
    found = measure_judge(scores_of("anna", *anna), judged)
    assert (found.kappa, found.results, found.pairs) == (pytest.approx(1.0), 10, 1)
    assert measure_judge(scores_of("anna", *anna), {}).results == 0
