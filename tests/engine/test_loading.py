"""Is a model loaded once, whoever gives up waiting, and does a failed load leave anything behind?"""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref

import pytest

from contracts.errors import ErrorCode
from contracts.ports import ProviderError
from infra.engine import load as loading
from infra.engine.engine import Engine
from infra.engine.task import EngineError
from infra.providers import local
from infra.providers.local import LocalProvider
from infra.settings.narrative import Local
from tests.engine.test_local import PARAMS, PROMPT


def engines() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "understudy-engine"]


async def test_a_load_whose_caller_gave_up_is_the_next_ones(folders, monkeypatch) -> None:
    may_load, loads = threading.Event(), []
    real = local._load

    def slow(settings: Local) -> Engine:
        loads.append(settings)
        assert may_load.wait(60)
        return real(settings)

    monkeypatch.setattr(local, "_load", slow)
    before = len(engines())
    made = LocalProvider(Local(model=str(folders("qwen2", 1)), rows=2, max_len=256))
    first = asyncio.create_task(made.ready())
    second = asyncio.create_task(made.generate(PROMPT, PARAMS))
    while not loads:
        await asyncio.sleep(0)
    for call in (first, second):
        call.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    may_load.set()
    done = await made.generate(PROMPT, PARAMS)
    assert done.provider == "local"
    assert (len(loads), len(engines())) == (1, before + 1)
    (await made.ready()).close()
    assert len(engines()) == before


async def test_a_failed_load_leaves_no_thread_and_no_weights(folders, monkeypatch) -> None:
    weights: list[weakref.ref] = []
    real = loading.load

    def noted(*args, **more):
        loaded = real(*args, **more)
        weights.append(weakref.ref(loaded.model))
        return loaded

    def refuses(*_: object) -> None:
        raise EngineError("out of memory", retryable=True)

    monkeypatch.setattr(loading, "load", noted)
    before = len(engines())
    made = LocalProvider(Local(model=str(folders("qwen2", 1)), rows=2, max_len=256))
    with monkeypatch.context() as broken:
        broken.setattr(Engine, "submit", refuses)
        with pytest.raises(ProviderError, match="out of memory") as found:
            await made.generate(PROMPT, PARAMS)
    assert (found.value.code, found.value.retryable) == (ErrorCode.GEN_PROVIDER_UNAVAILABLE, True)
    assert len(engines()) == before
    del found
    gc.collect()
    assert weights[0]() is None
    # What passes is tried again.
    assert (await made.generate(PROMPT, PARAMS)).provider == "local"
    (await made.ready()).close()
