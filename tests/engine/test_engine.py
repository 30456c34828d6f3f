"""Do many requests share the model without getting into each other's way?"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time

import pytest
import torch

from infra.engine import engine as engine_module
from infra.engine.engine import Engine
from infra.engine.load import Loaded, load
from infra.engine.task import EngineBusy, EngineError, EngineOutput, EngineTimeout, Task, TooLong
from tests.engine.asking import Clock, Slow, asked, many, texts


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


_WORKERS = """
import os, sys, torch
from infra.engine.engine import Engine
from infra.engine.load import load
from infra.engine.task import Task
def threads():
    return len(os.listdir("/proc/self/task"))
engine = Engine(load(sys.argv[1], device="cpu"), rows=16, max_len=512)
engine.start()
engine.submit(Task(prompt=(5,) * 99, max_tokens=2)).result()
before = threads()
torch.ones(1 << 22).exp_()
print(threads() - before, torch.get_num_threads() - 1)
engine.close()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_no_thread_but_the_engines_computes(folders) -> None:
    # With workers for two threads there are more than cores: none waits awake, and each product takes longer.
    ran = subprocess.run(
        [sys.executable, "-c", _WORKERS, str(folders("qwen2", 1))], capture_output=True, text=True, check=True
    )
    new, workers = ran.stdout.split()
    assert new == workers


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


def test_a_cancelled_request_frees_its_row_within_a_step(single: Engine) -> None:
    slow = Slow(single)
    endless = single.submit(asked(single.loaded, max_tokens=200))
    slow.go(3)
    waiting = single.submit(asked(single.loaded, "coin", max_tokens=2))
    assert endless.cancel()
    slow.run_free()
    assert waiting.result(30).completion_tokens == 2
    assert single.stats.steps <= 3 + 1 + 2 + 1


def test_an_overdue_request_frees_its_row(single: Engine, monkeypatch) -> None:
    clock, slow = Clock(), Slow(single)
    monkeypatch.setattr(engine_module, "time", clock)
    endless = single.submit(asked(single.loaded, max_tokens=200, timeout_s=5))
    slow.go(2)
    clock.now += 5
    slow.run_free()
    with pytest.raises(EngineTimeout, match=r"not finished within 5 s"):
        endless.result(30)
    assert single.submit(asked(single.loaded, max_tokens=2)).result(30).completion_tokens == 2


def test_time_in_the_queue_counts(single: Engine) -> None:
    slow = Slow(single)
    first = single.submit(asked(single.loaded, max_tokens=4))
    slow.go(1)
    late = single.submit(asked(single.loaded, timeout_s=0.0))
    slow.run_free()
    with pytest.raises(EngineTimeout, match="was not begun"):
        late.result(30)
    assert first.result(30).completion_tokens == 4


def test_a_full_queue_says_so_and_may_be_tried_again(single: Engine) -> None:
    slow = Slow(single)
    running = [single.submit(asked(single.loaded, max_tokens=2))]
    slow.go(1)
    running += [single.submit(asked(single.loaded, max_tokens=2)) for _ in range(2)]
    with pytest.raises(EngineBusy, match="queue is full") as told:
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


def test_a_closed_engine_gives_up_what_it_holds(single: Engine) -> None:
    slow = Slow(single)
    futures = [single.submit(asked(single.loaded, max_tokens=200))]
    slow.go(1)
    futures += [single.submit(asked(single.loaded, max_tokens=200)) for _ in range(2)]
    closing = threading.Thread(target=single.close)
    with single._wake:
        closing.start()
        assert single._wake.wait_for(lambda: single._closing, 30)
    slow.run_free()
    for future in futures:
        with pytest.raises(EngineError, match="the engine is closed") as raised:
            future.result(30)
        assert raised.value.retryable
    closing.join(30)
    assert not closing.is_alive()
    with pytest.raises(EngineError, match="closed"):
        single.submit(asked(single.loaded))


async def test_the_event_loop_goes_on_while_the_model_writes(single: Engine) -> None:
    pieces: list[str] = []
    slow = Slow(single)
    writing = asyncio.create_task(single.write(asked(single.loaded, max_tokens=60), pieces.append))
    # The model is within a step; only a loop that is free gets past this line.
    await asyncio.to_thread(slow.go, 2)
    assert not writing.done()
    slow.run_free()
    answer = await writing
    assert isinstance(answer, EngineOutput)
    assert "".join(pieces) == answer.text


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
