"""Common beginnings of prompts: read once, with the same texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from msgspec.structs import replace

from infra.engine.engine import Engine
from infra.engine.kv_cache import KvCache
from infra.engine.load import Loaded
from infra.engine.prefix_cache import PrefixCache, shared_length
from infra.engine.task import EngineError, Task
from tests.engine.asking import LAKE, Slow, asked, texts

#: 30 and 24 tokens at least.
RULES = "Write a scene. Say what it shows, who is there and what they do. Name each thing once. "
OTHERS = "Answer in JSON that follows the schema, without any other text. "


@pytest.fixture
def made(loaded: Loaded) -> Iterator[Callable[..., Engine]]:
    """A started engine of four rows; all are closed at the end."""
    engines: list[Engine] = []

    def make(**more) -> Engine:
        engines.append(Engine(loaded, **{"rows": 4, "max_len": 256, **more}))
        engines[-1].start()
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


def prompts(loaded: Loaded, count: int = 12, **fields) -> list[Task]:
    """Different ones with two beginnings, in turns."""
    return [
        asked(loaded, (RULES, OTHERS)[number % 2] + f"{number} {LAKE}", **fields) for number in range(count)
    ]


@pytest.mark.parametrize("together", [True, False])
def test_texts_are_those_without_it(made, loaded, together) -> None:
    tasks = prompts(loaded)
    written: list[list[str]] = []
    for prefix_cache in (False, True):
        engine = made(prefix_cache=prefix_cache)
        groups = [tasks] if together else [[task] for task in tasks]
        written.append([text for group in groups for text in texts(engine, group)])
        shared = min(len(loaded.tokenizer.encode(rules)) for rules in (RULES, OTHERS))
        # Each beginning is read by one request, and perhaps by those that came before it ended.
        least = (len(tasks) - 2) * (shared - 1)
        assert (engine.stats.reused_tokens >= least) if prefix_cache else (engine.stats.reused_tokens == 0)
    assert written[0] == written[1]


def test_grammars_and_seeds_are_those_without_it(made, loaded) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 9}},
        "required": ["name"],
    }
    tasks = [replace(task, schema=schema) for task in prompts(loaded, 8, max_tokens=40)]
    with_it, without = made(), made(prefix_cache=False)
    assert texts(with_it, tasks) == texts(without, tasks)
    assert with_it.stats.reused_tokens > 0


def test_strict_mode_reads_every_prompt(made, loaded) -> None:
    engine = made(strict=True)
    texts(engine, prompts(loaded, 4))
    assert engine.stats.reused_tokens == 0


def test_a_prompt_that_is_repeated_reads_its_last_token(made, loaded) -> None:
    engine = made()
    task = asked(loaded, RULES, max_tokens=3)
    first = texts(engine, [task])
    assert texts(engine, [task]) == first
    assert engine.stats.reused_tokens == len(task.prompt) - 1


def test_a_request_continues_what_another_wrote(made, loaded) -> None:
    engine = made()
    task = asked(loaded, RULES, max_tokens=20)
    answer = engine.submit(task).result(60)
    more = loaded.tokenizer.encode(RULES + answer.text)
    assert tuple(more[: len(task.prompt)]) == task.prompt
    texts(engine, [Task(prompt=tuple(more), max_tokens=4)])
    assert engine.stats.reused_tokens >= len(task.prompt)


def test_a_request_whose_leader_is_cancelled_reads_by_itself(made, loaded) -> None:
    engine = made(max_len=1024)
    slow = Slow(engine)
    # The leader needs two passes for the beginning.
    long = "coin " * 300
    leader = engine.submit(asked(loaded, long + "one"))
    slow.go(1)
    follower = engine.submit(asked(loaded, long + "two", max_tokens=2))
    leader.cancel()
    slow.run_free()
    assert follower.result(60).completion_tokens == 2


def test_a_failed_pass_leaves_nothing_to_reuse(made, loaded, monkeypatch) -> None:
    engine = made()
    inner = engine._forward
    task = asked(loaded, RULES, max_tokens=8)

    def broken(*args, **fields):
        raise RuntimeError("a mistake")

    engine._forward = broken
    with pytest.raises(EngineError, match="a mistake"):
        engine.submit(task).result(60)
    engine._forward = inner
    text = texts(engine, [task])
    assert engine.stats.reused_tokens == 0
    assert text == texts(made(prefix_cache=False), [task])


def cache(rows: int = 3) -> tuple[KvCache, PrefixCache]:
    slots = KvCache(
        layers=1,
        rows=rows,
        kv_heads=1,
        max_len=64,
        head_dim=1,
        dtype=torch.float32,
        device=torch.device("cpu"),
    )
    return slots, PrefixCache(slots, rows, reuse=True)


def read(slots: KvCache, prefixes: PrefixCache, slot: int, prompt: list[int], active: int) -> int:
    """Begin a prompt and read the rest of it: its keys are its tokens."""
    reused = prefixes._prepare(slot, prompt, active=active)
    slots.layers[0][slot, 0, reused : len(prompt), 0] = torch.tensor(prompt[reused:], dtype=torch.float32)
    prefixes.took(slot, prompt[reused:])
    assert slots.layers[0][slot, 0, : len(prompt), 0].tolist() == prompt
    return reused


def test_beginnings_in_turns_are_kept_in_free_rows() -> None:
    slots, prefixes = cache()
    first, second = list(range(40)), list(range(100, 130))
    reused = [
        read(slots, prefixes, 0, [*beginning, 200 + number], 1)
        for number, beginning in enumerate([first, second, first, second, first])
    ]
    assert reused == [0, 0, 40, 30, 40]


def test_the_row_used_least_recently_is_given_up() -> None:
    slots, prefixes = cache(rows=2)
    beginnings = [[100 * number + place for place in range(20)] for number in range(3)]
    reused = [read(slots, prefixes, 0, [*beginnings[which], 999], 1) for which in (0, 1, 2, 1, 0)]
    assert reused == [0, 0, 0, 20, 0]


def test_swapped_rows_take_what_they_hold_along() -> None:
    slots, prefixes = cache()
    read(slots, prefixes, 0, list(range(30)), 2)
    read(slots, prefixes, 1, list(range(100, 120)), 2)
    prefixes.swap(0, 1)
    assert read(slots, prefixes, 2, [*range(30), 7], 3) == 30
    assert slots.layers[0][0, 0, :20, 0].tolist() == list(range(100, 120))


@pytest.mark.parametrize(
    ("first", "second", "length"),
    [
        ([], [1], 0),
        ([1, 2], [2, 1], 0),
        ([1, 2, 3], [1, 2], 2),
        ([1, 2, 3, 4], [1, 2, 9, 4], 2),
        ([5] * 9, [5] * 9, 9),
    ],
)
def test_shared_length(first, second, length) -> None:
    assert shared_length(first, second) == length
