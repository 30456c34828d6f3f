"""Do the weights in the repository load and write what is asked?"""

import pytest

from contracts.content.registry import CONTENTS
from infra.lab.house_model.evaluate import held, parsed, says, structured
from infra.lab.house_model.files import WEIGHTS, load
from infra.lab.house_model.sampling import answers
from infra.lab.house_model.tokens import prompt


@pytest.fixture(scope="module")
def house():
    return load()


def test_the_files_are_small_and_of_the_usual_kinds():
    sizes = {path.name: path.stat().st_size for path in WEIGHTS.iterdir()}
    assert {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "README.md",
    } <= set(sizes)
    assert max(sizes.values()) < 8_000_000


def test_a_wish_is_mostly_followed_and_its_json_is_mostly_valid(house):
    model, tokenizer = house
    wish = prompt("freeform-gen", "layout", "a frozen lake with two platforms and a coin")
    proses = answers(model, tokenizer, [wish] * 16, temperature=0.8, seed=1)
    # 16, 16 and 16 where they were trained.
    for named, times in (("frozen lake", 15), ("two platforms", 14), ("coin", 14)):
        assert sum(named in prose.lower() for prose in proses) >= times
    texts = answers(
        model,
        tokenizer,
        [prompt("structuring", "layout", prose) for prose in proses],
        temperature=0,
        seed=1,
    )
    assert sum(CONTENTS.faults("layout", parsed(text), None) == () for text in texts) >= 12


def test_held_out_wishes_are_followed_as_far_as_the_card_says(house):
    model, tokenizer = house
    examples = held(36)
    proses = answers(
        model,
        tokenizer,
        [prompt("freeform-gen", one.kind, one.wish) for one in examples],
        temperature=0,
        seed=1,
    )
    kept = [says(prose, fact) for one, prose in zip(examples, proses, strict=True) for fact in one.facts]
    # 87 % of 2,447 facts on the card, 89 % of these; another processor rounds differently.
    assert sum(kept) >= 0.82 * len(kept)


def test_given_prose_becomes_its_json(house):
    model, tokenizer = house
    examples = held(18)
    texts = answers(
        model,
        tokenizer,
        [prompt("structuring", one.kind, one.prose) for one in examples],
        temperature=0,
        seed=1,
    )
    table = structured(examples, [one.prose for one in examples], texts, known=True)
    # 93 % on the card, 97 % of these.
    assert table["fields right"].percent >= 90
