"""Do many requests share the model without getting into each other's way?"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest
import torch
from msgspec.structs import replace

from infra.engine import engine as engine_module
from infra.engine.engine import Engine
from infra.engine.load import Loaded, load
from infra.engine.task import Answer, Busy, EngineError, Overdue, Task, TooLong, Unsupported

LAKE = "A frozen lake with two platforms"


def asked(loaded: Loaded, text: str = LAKE, **fields) -> Task:
    return Task(prompt=tuple(loaded.tokenizer.encode(text)), **{"max_tokens": 24, **fields})


def many(loaded: Loaded, count: int = 16, **fields) -> list[Task]:
    """Tasks of different lengths and seeds."""
    return [
        asked(loaded, "coin " * number + LAKE, temperature=0.9, top_p=0.9, seed=number, **fields)
        for number in range(count)
    ]


def texts(engine: Engine, tasks: list[Task]) -> list[str]:
    """All at once: more than there are rows."""
    return [future.result(60).text for future in [engine.submit(task) for task in tasks]]


@pytest.mark.parametrize("kind", ["qwen2", "llama"])
@pytest.mark.parametrize("strict", [False, True])
def test_greedy_text_is_what_generate_writes(folders, kind, strict) -> None:
    loaded = load(str(folders(kind, 3)), device="cpu")
    task = asked(loaded, max_tokens=40)
    ids = loaded.model.generate(torch.tensor([task.prompt]), max_new_tokens=40, do_sample=False)
    engine = Engine(loaded, rows=4, max_len=256, strict=strict)
    engine.start()
    try:
        answer = engine.submit(task).result(60)
    finally:
        engine.close()
    assert answer.text == loaded.tokenizer.decode(ids[0][len(task.prompt) :], skip_special_tokens=True)
    assert (answer.prompt_tokens, answer.strict) == (len(task.prompt), strict)


def test_strict_text_is_the_same_alone_and_in_a_batch(strict: Engine) -> None:
    tasks = many(strict.loaded)
    together = texts(strict, tasks)
    assert together == [texts(strict, [task])[0] for task in tasks]


def test_seeded_text_is_nearly_always_the_same_alone_and_in_a_batch(engine: Engine) -> None:
    tasks = many(engine.loaded)
    together = texts(engine, tasks)
    assert sum(map(str.__eq__, together, (texts(engine, [task])[0] for task in tasks))) >= 12


def test_strict_logits_are_equal_to_the_bit_whoever_is_there(loaded: Loaded) -> None:
    made = Engine(loaded, rows=4, max_len=128, strict=True)
    made.start()
    seen: dict[int, list[torch.Tensor]] = {}
    inner = made._forward

    def noted(rows, lengths, tokens, *, alone):
        logits = inner(rows, lengths, tokens, alone=alone)
        for row, length, taken, line in zip(rows, lengths, tokens, logits, strict=True):
            if made._rows[row].task.seed == 7:
                seen.setdefault(length + len(taken), []).append(line.clone())
        return logits

    made._forward = noted
    try:
        task = asked(loaded, temperature=0.9, seed=7)
        texts(made, [task])
        texts(made, [*many(loaded, 3), task])
    finally:
        made.close()
    assert len(seen) >= 20
    assert all(len(both) == 2 and torch.equal(*both) for both in seen.values())


def test_another_prompt_seed_or_model_writes_another_text(engine: Engine, folders) -> None:
    first = asked(engine.loaded, temperature=0.9, seed=1)
    other_model = load(str(folders("qwen2", 2)), device="cpu")
    second = Engine(other_model, rows=1, max_len=128)
    second.start()
    try:
        written = {
            texts(engine, [first])[0],
            texts(engine, [asked(engine.loaded, "A desert", temperature=0.9, seed=1)])[0],
            texts(engine, [asked(engine.loaded, temperature=0.9, seed=2)])[0],
            texts(second, [asked(other_model, temperature=0.9, seed=1)])[0],
        }
    finally:
        second.close()
    assert len(written) == 4
    assert other_model.name != engine.loaded.name


def test_an_answer_ends_before_a_stop_text_that_spans_tokens(engine: Engine) -> None:
    whole = texts(engine, [asked(engine.loaded)])[0]
    stop = whole[7:12]
    answer = engine.submit(asked(engine.loaded, stop=(stop, "never there"))).result(60)
    assert answer.text == whole[: whole.index(stop)]
    assert answer.finish_reason == "stop"


def test_what_is_told_while_writing_is_the_text(engine: Engine) -> None:
    pieces: list[str] = []
    answer = engine.submit(asked(engine.loaded, stop=("zzzz",)), pieces.append).result(60)
    assert "".join(pieces) == answer.text
    assert len(pieces) > 3


class Slow:
    """Lets the engine do one step at a time."""

    def __init__(self, engine: Engine) -> None:
        self._inner = engine._forward
        self.steps = threading.Semaphore(0)
        self.began = threading.Semaphore(0)
        engine._forward = self

    def __call__(self, *args, **kwargs):
        self.began.release()
        assert self.steps.acquire(timeout=30)
        return self._inner(*args, **kwargs)

    def go(self, steps: int) -> None:
        for _ in range(steps):
            assert self.began.acquire(timeout=30)
            self.steps.release()

    def run_free(self) -> None:
        for _ in range(10_000):
            self.steps.release()


@pytest.fixture
def single(loaded: Loaded) -> Iterator[Engine]:
    """One row, two may wait."""
    made = Engine(loaded, rows=1, max_len=256, queue=2)
    made.start()
    yield made
    made.close()


def test_a_cancelled_request_frees_its_row_within_a_step(single: Engine) -> None:
    slow = Slow(single)
    endless = single.submit(asked(single.loaded, max_tokens=200))
    slow.go(3)
    waiting = single.submit(asked(single.loaded, "coin", max_tokens=2))
    assert endless.cancel()
    slow.run_free()
    assert waiting.result(30).completion_tokens == 2
    assert single.stats.steps <= 3 + 1 + 2 + 1


def test_an_overdue_request_frees_its_row(single: Engine) -> None:
    endless = single.submit(asked(single.loaded, max_tokens=200, timeout_s=0.05))
    with pytest.raises(Overdue, match=r"within 0\.05 s"):
        endless.result(30)
    assert single.submit(asked(single.loaded, max_tokens=2)).result(30).completion_tokens == 2


def test_time_in_the_queue_counts(single: Engine) -> None:
    slow = Slow(single)
    first = single.submit(asked(single.loaded, max_tokens=4))
    slow.go(1)
    late = single.submit(asked(single.loaded, timeout_s=0.0))
    slow.run_free()
    with pytest.raises(Overdue, match="was not begun"):
        late.result(30)
    assert first.result(30).completion_tokens == 4


def test_a_full_queue_says_so_and_may_be_tried_again(single: Engine) -> None:
    slow = Slow(single)
    running = [single.submit(asked(single.loaded, max_tokens=2))]
    slow.go(1)
    running += [single.submit(asked(single.loaded, max_tokens=2)) for _ in range(2)]
    with pytest.raises(Busy, match="queue is full") as told:
        single.submit(asked(single.loaded))
    assert told.value.retryable
    slow.run_free()
    assert [future.result(30).completion_tokens for future in running] == [2, 2, 2]


def test_a_prompt_that_leaves_no_room_is_refused_at_the_door(single: Engine) -> None:
    with pytest.raises(TooLong, match="has 256 tokens; the context window holds 256"):
        single.submit(Task(prompt=(1,) * 256, max_tokens=1))


def test_an_answer_never_outgrows_the_window(single: Engine) -> None:
    answer = single.submit(Task(prompt=(5,) * 250, max_tokens=100)).result(30)
    assert answer.completion_tokens <= 6


def test_a_failing_request_does_not_hurt_its_neighbours(engine: Engine) -> None:
    alone = texts(engine, [asked(engine.loaded)])
    good = engine.submit(asked(engine.loaded))
    bad = engine.submit(asked(engine.loaded, schema={"not": {}}))
    late = engine.submit(asked(engine.loaded, timeout_s=0.0))
    with pytest.raises(EngineError, match='Unimplemented keys: \\["not"\\]'):
        bad.result(60)
    with pytest.raises(Overdue):
        late.result(60)
    assert good.result(60).text == alone[0]


def test_a_grammar_that_gives_up_fails_its_own_request(loaded: Loaded, monkeypatch) -> None:
    made = Engine(loaded, rows=4, max_len=256)
    made.start()
    schema = {"type": "object", "properties": {"s": {"type": "string"}}, "required": ["s"]}
    free, kept = asked(loaded), asked(loaded, schema=schema, temperature=1.0, max_tokens=40)
    alone = [made.submit(task).result(60).text for task in (free, kept)]
    inner, asked_for = made._grammars.allowed, []

    def allowed(matcher):
        asked_for.append(matcher)
        if matcher is asked_for[0]:
            raise Unsupported("the grammar gave up: too many items")
        return inner(matcher)

    monkeypatch.setattr(made._grammars, "allowed", allowed)
    try:
        with made._wake:
            broken, *others = [made.submit(task) for task in (replace(kept, seed=5), free, kept)]
        with pytest.raises(EngineError, match="too many items"):
            broken.result(60)
        assert [future.result(60).text for future in others] == alone
    finally:
        made.close()


def test_a_listener_that_fails_loses_its_own_answer_only(engine: Engine) -> None:
    def deaf(_: str) -> None:
        raise OSError("gone")

    alone = texts(engine, [asked(engine.loaded)])
    with engine._wake:
        bad, good = engine.submit(asked(engine.loaded), deaf), engine.submit(asked(engine.loaded))
    with pytest.raises(EngineError, match=r"could not be told.*gone"):
        bad.result(60)
    assert [good.result(60).text] == alone


def test_an_engine_that_breaks_down_tells_everybody(loaded: Loaded) -> None:
    made = Engine(loaded, rows=1, max_len=128)
    made.start()

    def broken() -> None:
        raise ZeroDivisionError("a mistake of ours")

    made._drop = broken
    with made._wake:
        futures = [made.submit(asked(loaded)) for _ in range(3)]
    for future in futures:
        with pytest.raises(EngineError, match=r"broke down.*a mistake of ours"):
            future.result(30)
    with pytest.raises(EngineError, match="broke down"):
        made.submit(asked(loaded))
    made.close()


def test_who_is_cancelled_while_waiting_leaves_the_queue(single: Engine) -> None:
    slow = Slow(single)
    running = single.submit(asked(single.loaded, max_tokens=8))
    slow.go(1)
    waiting = [single.submit(asked(single.loaded)) for _ in range(2)]
    assert all(future.cancel() for future in waiting)
    slow.go(2)
    late = single.submit(asked(single.loaded, max_tokens=2))
    slow.run_free()
    assert running.result(30).completion_tokens == 8
    assert late.result(30).completion_tokens == 2


def test_out_of_memory_may_be_tried_again_with_fewer_rows(loaded: Loaded) -> None:
    made = Engine(loaded, rows=4, max_len=128)
    made.start()
    inner = made._forward
    sizes: list[int] = []

    def tight(rows, lengths, tokens, *, alone):
        sizes.append(len(rows))
        if len(rows) > 2:
            raise torch.OutOfMemoryError("no memory")
        return inner(rows, lengths, tokens, alone=alone)

    made._forward = tight
    try:
        with made._wake:
            futures = [made.submit(asked(loaded)) for _ in range(4)]
        errors = [future.exception(30) for future in futures]
        failed = [error for error in errors if error is not None]
        assert failed
        assert all(isinstance(error, EngineError) and error.retryable for error in failed)
        sizes.clear()
        assert all(future.result(30) for future in [made.submit(asked(loaded)) for _ in range(4)])
        assert max(sizes) <= 2
    finally:
        made.close()


def test_a_batch_that_was_made_smaller_grows_again(loaded: Loaded, monkeypatch) -> None:
    monkeypatch.setattr(engine_module, "_CALM", 4)
    made = Engine(loaded, rows=4, max_len=128)
    made.start()
    inner = made._forward
    sizes: list[int] = []

    def tight_once(rows, lengths, tokens, *, alone):
        sizes.append(len(rows))
        if sizes.count(4) == 1 and len(rows) == 4:
            # As torch says it on a CPU, without a class of its own.
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. can't allocate memory")
        return inner(rows, lengths, tokens, alone=alone)

    made._forward = tight_once
    try:
        with made._wake:
            futures = [made.submit(asked(loaded)) for _ in range(4)]
        errors = [future.exception(30) for future in futures]
        assert all(isinstance(error, EngineError) and error.retryable for error in errors)
        sizes.clear()
        sizes.append(4)
        assert all(future.result(30) for future in [made.submit(asked(loaded)) for _ in range(12)])
        assert sizes[1] <= 2
        assert 4 in sizes[1:]
    finally:
        made.close()


def test_a_late_arrival_reads_its_prompt_in_a_pass_of_its_own(loaded: Loaded) -> None:
    made = Engine(loaded, rows=4, max_len=256)
    made.start()
    inner = made._forward
    shapes: list[tuple[int, int]] = []

    def noted(rows, lengths, tokens, *, alone):
        shapes.append((len(rows), max(map(len, tokens))))
        return inner(rows, lengths, tokens, alone=alone)

    made._forward = noted
    try:
        begun = threading.Event()
        early = [
            made.submit(asked(loaded, max_tokens=60), lambda _: begun.set() if len(shapes) > 6 else None)
            for _ in range(3)
        ]
        assert begun.wait(30)
        late = made.submit(Task(prompt=(5,) * 100, max_tokens=4))
        assert late.result(30).completion_tokens <= 4
        for future in early:
            future.result(30)
    finally:
        made.close()
    assert (1, 100) in shapes
    assert all(queries <= 16 for rows, queries in shapes if rows > 3)


def test_a_closed_engine_gives_up_what_it_holds(loaded: Loaded) -> None:
    made = Engine(loaded, rows=1, max_len=256)
    made.start()
    futures = [made.submit(asked(loaded, max_tokens=200)) for _ in range(3)]
    made.close()
    errors = [future.exception(30) for future in futures]
    assert all(error is None or "closed" in str(error) for error in errors)
    with pytest.raises(EngineError, match="closed"):
        made.submit(asked(loaded))


async def test_the_event_loop_goes_on_while_the_model_writes(engine: Engine) -> None:
    pieces: list[str] = []
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0)
            ticks += 1

    ticking = asyncio.create_task(tick())
    answer = await engine.write(asked(engine.loaded, max_tokens=60), pieces.append)
    ticking.cancel()
    assert isinstance(answer, Answer)
    assert "".join(pieces) == answer.text
    assert ticks > 60


async def test_cancelling_the_waiter_cancels_the_request(single: Engine) -> None:
    slow = Slow(single)
    waiter = asyncio.create_task(single.write(asked(single.loaded, max_tokens=200)))
    await asyncio.to_thread(slow.go, 2)
    waiter.cancel()
    slow.run_free()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert (await single.write(asked(single.loaded, max_tokens=2))).completion_tokens == 2


def test_a_stepwise_engine_reads_a_long_prompt_in_pieces(loaded: Loaded) -> None:
    prompt = tuple(loaded.tokenizer.encode("coin and forest " * 240))[:600]
    assert len(prompt) > 2 * engine_module._READ
    made = Engine(loaded, rows=2, max_len=700)
    made.start()
    ids = loaded.model.generate(torch.tensor([prompt]), max_new_tokens=10, do_sample=False)
    try:
        answer = made.submit(Task(prompt=prompt, max_tokens=10)).result(60)
    finally:
        made.close()
    assert answer.text == loaded.tokenizer.decode(ids[0][len(prompt) :], skip_special_tokens=True)


def test_the_time_to_the_first_token_is_measured(engine: Engine) -> None:
    began = time.monotonic()
    answer = engine.submit(asked(engine.loaded)).result(60)
    assert 0 < answer.first_token_s <= answer.total_s <= time.monotonic() - began
