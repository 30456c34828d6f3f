"""Is the draft taken that keeps most of a wish, and is it told?"""

from __future__ import annotations

import msgspec
import pytest

from infra.engine.task import EngineBusy, EngineOutput, EngineTimeout, Task
from infra.providers.drafts import MOST_SPELLED, best, miscounted, missing, named, spelled

WISH = "a frozen lake with 2 platforms and a lantern, without fog"
TASK = Task(prompt=(1,), max_tokens=9, temperature=0.8, seed=5, timeout_s=10)


def answer(text: str, **changes) -> EngineOutput:
    told = EngineOutput(
        text=text,
        finish_reason="stop",
        prompt_tokens=10,
        completion_tokens=3,
        forced_tokens=0,
        first_token_s=0.5,
        total_s=2.0,
        strict=True,
    )
    return msgspec.structs.replace(told, **changes)


class Writer:
    """Writes what it is told, and remembers what it was asked."""

    def __init__(self, *answers: EngineOutput | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[Task] = []

    async def __call__(self, task: Task) -> EngineOutput:
        self.asked.append(task)
        found = self.answers[len(self.asked) - 1]
        if isinstance(found, Exception):
            raise found
        return found


@pytest.mark.parametrize(
    ("wish", "names"),
    [
        (WISH, ("frozen", "lake", "2", "platforms", "lantern")),
        ("Type: layout; Title: The Gate\nMust include: brass key", ("gate", "brass", "key")),
        ("They dance\nmood to: calm\ncontent rules: build_tension_gradually", ("dance", "calm")),
        ("must_not_appear: rain; version: 3; strategy: per_playthrough\nplace: a city", ("city",)),
        ("a city. Avoid: rain, smoke\nmood: calm", ("city", "calm")),
        ("Please write me a scene", ()),
        ("Tänzer und 12 Höfe", ("tänzer", "und", "12", "höfe")),
    ],
)
def test_a_wish_names_what_is_wanted(wish: str, names: tuple[str, ...]) -> None:
    assert named(wish) == names


def test_plural_and_spelled_numbers_are_the_same_word() -> None:
    assert missing(named(WISH), "Two platform. FROZEN Lakes; a lanternfish.") == ("lantern",)


def test_words_are_spelled_as_in_the_wish_and_numbers_in_both_ways() -> None:
    assert spelled("Mara, two moon_gates and 4 coins, without fog") == (
        ("Mara", "mara"),
        ("two", "2"),
        ("moon_gates",),
        ("4", "four"),
        ("coins",),
    )


@pytest.mark.parametrize(
    "wish",
    [
        "a_" * 15_000,
        ";" * 30_000,
        "(" * 30_000,
        "a" * 30_000,
        "no " * 10_000,
        "- a " * 7_500,
        "type " * 6_000,
    ],
    ids=lambda wish: wish[:5],
)
@pytest.mark.timeout(20)
async def test_no_wish_takes_long_to_read(wish: str) -> None:
    writer = Writer(answer(wish))
    await best(writer, TASK, answer(f"{wish}\nTwo {wish}"), wish=f"lake {wish}", drafts=2, within_s=10)
    assert len(spelled(f"{wish} " + " ".join(f"moon{'x' * number}" for number in range(99)))) <= MOST_SPELLED


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("Two coins (value: 5; rare): one at 1, 2; one at 3, 4.", 0),
        ("Two coins: one at 1, 2.", 1),
        ("Two lines.\n1. Mara: No.\n2. Jonas: Yes.", 0),
        ("Two lines.\n1. Mara: No.", 1),
        ("Some coins: one.\n1. Nobody counts.", 0),
    ],
)
def test_lists_that_are_not_as_long_as_they_say_are_counted(text: str, wrong: int) -> None:
    assert miscounted(text) == wrong


async def test_a_first_draft_with_every_word_is_the_only_one() -> None:
    writer, first = Writer(), answer("A frozen lake: two platforms, a lantern.")
    assert await best(writer, TASK, first, wish=WISH, drafts=4, within_s=10) == (first, "")
    assert writer.asked == []


async def test_the_draft_with_most_words_is_taken_and_all_are_paid_for() -> None:
    writer = Writer(
        answer("A frozen lake."), answer("A frozen lake, a lantern.", total_s=3.0), answer("Lake.")
    )
    chosen, how = await best(writer, TASK, answer("A lake."), wish=WISH, drafts=4, within_s=10)
    assert chosen.text == "A frozen lake, a lantern."
    assert (chosen.prompt_tokens, chosen.completion_tokens, chosen.total_s) == (40, 12, 7.0)
    assert chosen.strict
    assert how == "best of 4: 3 of 5 words of the wish"
    assert len({TASK.seed, *(each.seed for each in writer.asked)}) == 4
    assert [each.timeout_s for each in writer.asked] == [8.0, 6.0, 6.0]
    assert [each.insistence for each in writer.asked] == [1, 2, 2]


async def test_no_more_are_written_than_it_takes() -> None:
    whole = answer("A frozen lake: two platforms, a lantern.")
    writer = Writer(answer("A lake."), answer("A lake."), whole)
    chosen, how = await best(writer, TASK, answer("A lake."), wish=WISH, drafts=8, within_s=10)
    assert (chosen.text, how) == (whole.text, "best of 4: 5 of 5 words of the wish")


async def test_of_equally_complete_drafts_the_one_that_keeps_names_together_is_taken() -> None:
    writer = Writer(answer("A frozen lake: two platforms."))
    chosen, _ = await best(
        writer, TASK, answer("Two platforms. A lake, frozen."), wish=WISH, drafts=2, within_s=10
    )
    assert chosen.text == "A frozen lake: two platforms."


async def test_a_list_that_is_not_as_long_as_it_says_is_written_again() -> None:
    whole = "A frozen lake, a lantern.\nTwo platforms: one; two."
    writer = Writer(answer(whole))
    first = answer("A frozen lake, a lantern.\nTwo platforms: one.")
    chosen, _ = await best(writer, TASK, first, wish=WISH, drafts=2, within_s=10)
    assert chosen.text == whole


async def test_a_draft_that_was_cut_off_is_the_last_choice() -> None:
    writer = Writer(answer("A frozen lake, two platforms, a", finish_reason="length"))
    chosen, _ = await best(writer, TASK, answer("A lake."), wish=WISH, drafts=2, within_s=10)
    assert chosen.text == "A lake."


async def test_what_fails_leaves_the_first_draft_and_no_promise_to_repeat_it() -> None:
    writer = Writer(EngineBusy("full"), EngineTimeout("late"))
    chosen, how = await best(writer, TASK, answer("A lake."), wish=WISH, drafts=3, within_s=10)
    assert (chosen.text, chosen.strict) == ("A lake.", False)
    assert how == "best of 1: 1 of 5 words of the wish"


async def test_no_time_is_left_for_another() -> None:
    writer, late = Writer(), answer("A lake.", total_s=10.0)
    assert await best(writer, TASK, late, wish=WISH, drafts=4, within_s=10) == (late, "")
    assert writer.asked == []
