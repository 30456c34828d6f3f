"""Texts of the local provider by seed: the same alone and beside fifteen others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from contracts.events import Params
from contracts.policy.quoting import quote
from contracts.ports import Completion, Prompt
from infra.providers.local import LocalProvider
from infra.providers.local_model import model_folder
from infra.settings.narrative import Local
from tests.engine.conftest import save

HOUSE: Final = "house"
RANDOM: Final = "random weights"
BATCH: Final = 16
EVERY: Final = tuple(range(BATCH))
#: With fixed shapes a call alone costs as much as the sixteen together: some, prose and documents, short and long.
SOME: Final = (0, 3, 6, 11, 13, 15)
#: The house model is trained, not written: a tree may not have it yet.
MODELS: Final = (
    RANDOM,
    *([HOUSE] if (Path(model_folder(Local())) / "model.safetensors").is_file() else []),
)
SCHEMA: Final = {
    "type": "object",
    "properties": {
        "mood": {"enum": ["calm", "tense", "frozen"]},
        "coins": {"type": "integer", "minimum": 0, "maximum": 999},
        "name": {"type": "string", "maxLength": 12},
    },
    "required": ["mood", "coins", "name"],
}

Making = Callable[..., AbstractAsyncContextManager[LocalProvider]]


@pytest.fixture(params=MODELS)
def making(request: pytest.FixtureRequest, tmp_path: Path) -> Making:
    model = HOUSE if request.param == HOUSE else str(save(tmp_path / "model", "qwen2", 1))

    @asynccontextmanager
    async def make(*, strict: bool) -> AsyncIterator[LocalProvider]:
        provider = LocalProvider(Local(model=model, device="cpu", rows=BATCH, max_len=320, strict=strict))
        engine = await provider.ready()
        try:
            yield provider
        finally:
            engine.close()

    return make


def structuring(number: int) -> bool:
    return number % 4 == 3


async def written(provider: LocalProvider, number: int) -> Completion:
    """The answer to one of sixteen calls: prose and documents, of different lengths and seeds."""
    document = structuring(number)
    prompt = Prompt(
        text=quote("A frozen lake with two platforms and a coin." + " The ice is thin." * number),
        kind="custom" if document else "scene",
        stage="structuring" if document else "freeform-gen",
        request_id=f"r-{number}",
    )
    params = Params(temperature=0.9, top_p=0.95, max_tokens=32, seed=number, timeout_s=100)
    return await provider.generate(prompt, params, SCHEMA if document else None)


async def alone_and_together(
    provider: LocalProvider, numbers: Sequence[int]
) -> tuple[list[Completion], list[Completion]]:
    """The answers to these calls, each alone, and to the same beside all sixteen."""
    alone = [await written(provider, number) for number in numbers]
    together = await asyncio.gather(*(written(provider, number) for number in EVERY))
    return alone, [together[number] for number in numbers]


def equal(alone: list[Completion], together: list[Completion]) -> int:
    return sum(one.text == other.text for one, other in zip(alone, together, strict=True))


async def test_strict_texts_are_all_equal_and_say_so(making: Making) -> None:
    async with making(strict=True) as provider:
        alone, together = await alone_and_together(provider, SOME)
    assert equal(alone, together) == len(SOME)
    assert all(one.deterministic for one in (*alone, *together))


async def test_seeded_texts_are_nearly_all_equal_and_promise_nothing(making: Making) -> None:
    async with making(strict=False) as provider:
        alone, together = await alone_and_together(provider, EVERY)
    assert equal(alone, together) >= 12
    assert not any(one.deterministic for one in (*alone, *together))


async def test_prose_differs_by_prompt_and_seed(making: Making) -> None:
    async with making(strict=False) as provider:
        written_ones = await asyncio.gather(*(written(provider, number) for number in range(BATCH)))
    # Few words fit the schema: two documents may well be equal. A small model may begin two scenes alike.
    prose = [one.text for number, one in enumerate(written_ones) if not structuring(number)]
    assert len(prose) == 12
    assert len(set(prose)) >= 10
