"""Is a repetition penalised as the method says, and does an answer then repeat itself less?"""

from __future__ import annotations

import random
from concurrent.futures import Future

import numpy as np
import pytest
import torch

from infra.engine.engine import Engine
from infra.engine.load import Loaded
from infra.engine.repetition import ALLOWED, BASE, MULTIPLIER, Repetition, breakers
from infra.engine.sequence import ActiveSequence
from infra.engine.task import Stats
from infra.engine.token_choice import TokenChoice
from tests.engine.asking import asked

ENDING = np.array([False, False, False, True])


def expected(written: list[int]) -> dict[int, float]:
    """Token by token, as the method is defined."""
    longest: dict[int, int] = {}
    for place, token in enumerate(written):
        run = 0
        while run < place and written[place - 1 - run] == written[-1 - run] != 3:
            run += 1
        if run >= ALLOWED and token != 3:
            longest[token] = max(longest.get(token, 0), run)
    return {token: MULTIPLIER * BASE ** (run - ALLOWED) for token, run in longest.items()}


def test_runs_that_were_written_before_are_penalised_by_their_length() -> None:
    draw = random.Random(5)  # noqa: S311 - no secret
    for _ in range(200):
        written = draw.choices(range(4), weights=(6, 3, 2, 1), k=40)
        repetition = Repetition(ENDING, 40)
        for number, token in enumerate(written):
            repetition.add([token])
            tokens, penalties = repetition.penalties()
            assert dict(zip(tokens.tolist(), penalties.tolist(), strict=True)) == pytest.approx(
                expected(written[: number + 1])
            )


def test_the_form_of_json_and_unknown_tokens_are_no_runs() -> None:
    repetition = Repetition(ENDING, 40)
    repetition.add([0, 3, 1, 3] * 8 + [9] * 4)
    tokens, _ = repetition.penalties()
    assert tokens.tolist() == [9]


def test_tokens_with_a_quote_a_colon_or_a_line_end_break_runs(loaded: Loaded) -> None:
    found = breakers(loaded.tokenizer)
    words = loaded.tokenizer.convert_ids_to_tokens(range(len(found)))
    broken = {word for word, ends in zip(words, found, strict=True) if ends}
    assert {'"', ":", "Ċ"} <= broken
    assert not any(word.isalpha() and word != "Ċ" for word in broken)


@pytest.mark.parametrize(("more", "repeats"), [({}, 20), ({"unrepeated": True}, 6)])
def test_a_token_that_is_a_little_likelier_is_not_written_for_ever(
    engine: Engine, loaded: Loaded, more: dict[str, bool], repeats: int
) -> None:
    task = asked(loaded, max_tokens=40, **more)
    row = ActiveSequence(task, Future(), None, arrived=0.0, tokenizer=loaded.tokenizer, matcher=None, room=40)
    (likelier,) = loaded.tokenizer.encode("a")
    written: list[int] = []
    for _ in range(20):
        logits = torch.zeros(1, loaded.vocabulary)
        logits[0, likelier] = 2.0
        (token,) = TokenChoice(engine.grammars).choose([row], logits, Stats())
        assert isinstance(token, int)
        row.add(token, ends=frozenset())
        written.append(token)
    assert written[:repeats] == [likelier] * repeats
    assert likelier not in written[repeats : repeats + 1]
