"""Is a token drawn as its probability says, and by seed and place alone?"""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from infra.engine.sampling import SamplingRule, _fetched, pick, uniform


def drawn(logits: torch.Tensor, count: int, *, temperature: float = 1.0, top_p: float = 1.0) -> Counter[int]:
    choices = [
        SamplingRule(temperature=temperature, top_p=top_p, seed=7, index=index) for index in range(count)
    ]
    return Counter(pick(logits.expand(count, -1), choices))


def test_numbers_are_even_and_repeat() -> None:
    numbers = [uniform(1, index) for index in range(2000)]
    assert numbers == [uniform(1, index) for index in range(2000)]
    assert all(0 <= number < 1 for number in numbers)
    assert sum(numbers) / 2000 == pytest.approx(0.5, abs=0.03)
    assert uniform(1, 2) != uniform(2, 1) != uniform(12, 0)


def test_without_temperature_the_likeliest_is_taken() -> None:
    assert drawn(torch.tensor([1.0, 3.0, 2.0]), 20, temperature=0.0) == {1: 20}


def test_shares_are_those_of_the_softmax() -> None:
    shares = torch.tensor([0.5, 0.3, 0.2])
    found = drawn(shares.log(), 3000)
    assert [found[token] / 3000 for token in range(3)] == pytest.approx(shares.tolist(), abs=0.03)


def test_the_nucleus_ends_with_the_token_that_reaches_top_p() -> None:
    logits = torch.tensor([0.5, 0.3, 0.2]).log()
    assert set(drawn(logits, 500, top_p=0.5)) == {0}
    assert set(drawn(logits, 500, top_p=0.6)) == {0, 1}
    assert set(drawn(logits, 500, top_p=0.81)) == {0, 1, 2}


def test_a_flat_distribution_falls_back_to_everything() -> None:
    assert len(drawn(torch.zeros(1000), 3000)) > 800


def test_a_forbidden_token_is_never_drawn() -> None:
    logits = torch.zeros(300)
    logits[::2] = float("-inf")
    assert all(token % 2 for token in drawn(logits, 500))


def test_a_row_is_chosen_as_if_it_were_alone() -> None:
    torch.manual_seed(1)
    logits = torch.randn(8, 500)
    choices = [
        SamplingRule(temperature=[0.0, 0.7, 1.3][row % 3], top_p=[1.0, 0.9][row % 2], seed=row, index=row)
        for row in range(8)
    ]
    assert pick(logits, choices) == [pick(logits[row : row + 1], [choices[row]])[0] for row in range(8)]


@pytest.mark.parametrize("spread", [0.5, 6.0])
def test_a_row_on_a_device_is_drawn_as_one_in_memory(spread) -> None:
    torch.manual_seed(2)
    shares = (torch.randn(6, 700) * spread).softmax(-1)
    choices = [SamplingRule(temperature=1.0, top_p=0.9, seed=row, index=row) for row in range(6)]
    assert _fetched(shares, choices) == pick(shares.log(), choices)


def test_the_nucleus_is_what_sorting_everything_finds() -> None:
    torch.manual_seed(3)
    for seed in range(50):
        logits = torch.randn(1, 300) * (1 + seed % 6)
        shares = logits[0].double().softmax(-1).sort(descending=True)
        reached = shares.values.cumsum(-1)
        last = int((reached < 0.8).sum())
        luck = uniform(seed, 0) * reached[last]
        wanted = shares.indices[int((reached <= luck).sum())]
        assert pick(logits, [SamplingRule(temperature=1.0, top_p=0.8, seed=seed, index=0)]) == [wanted]
