"""Whom does it hurt when something fails while requests share the model?"""

from __future__ import annotations

import pytest
import torch
from msgspec.structs import replace

from infra.engine import engine as engine_module
from infra.engine.engine import Engine
from infra.engine.load import Loaded
from infra.engine.task import EngineError, EngineTimeout, Unsupported
from tests.engine.asking import Slow, asked, texts


def test_a_failing_request_does_not_hurt_its_neighbours(engine: Engine) -> None:
    alone = texts(engine, [asked(engine.loaded)])
    good = engine.submit(asked(engine.loaded))
    bad = engine.submit(asked(engine.loaded, schema={"not": {}}))
    late = engine.submit(asked(engine.loaded, timeout_s=0.0))
    with pytest.raises(EngineError, match="no object with anything in it follows it"):
        bad.result(60)
    with pytest.raises(EngineTimeout):
        late.result(60)
    assert good.result(60).text == alone[0]


def test_a_grammar_that_gives_up_fails_its_own_request(loaded: Loaded, monkeypatch) -> None:
    made = Engine(loaded, rows=4, max_len=256)
    made.start()
    schema = {"type": "object", "properties": {"s": {"type": "string"}}, "required": ["s"]}
    free, kept = asked(loaded), asked(loaded, schema=schema, temperature=1.0, max_tokens=40)
    alone = [made.submit(task).result(60).text for task in (free, kept)]
    inner, asked_for = made.grammars.allowed, []

    def allowed(matcher):
        asked_for.append(matcher)
        if matcher is asked_for[0]:
            raise Unsupported("the grammar gave up: too many items")
        return inner(matcher)

    monkeypatch.setattr(made.grammars, "allowed", allowed)
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
    with pytest.raises(EngineError, match=r"could not be decoded.*gone"):
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
