"""The engine on a GPU, where ``auto`` places a model in bfloat16."""

from __future__ import annotations

import json
from collections.abc import Iterator

import jsonschema
import pytest
import torch

from infra.engine.engine import Engine
from infra.engine.load import Loaded, load
from tests.engine.asking import asked, many, texts

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "count": {"type": "integer", "minimum": 1, "maximum": 9},
    },
    "required": ["name", "count"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def on_gpu(folders) -> Loaded:
    return load(str(folders("llama", 1)))


@pytest.fixture(scope="module", params=[False, True], ids=["free", "strict"])
def engine(request: pytest.FixtureRequest, on_gpu: Loaded) -> Iterator[Engine]:
    # A cached beginning is not read again: the pass has another shape, which rounds differently.
    made = Engine(on_gpu, rows=4, max_len=256, strict=request.param, prefix_cache=False)
    made.start()
    yield made
    made.close()


def test_auto_is_the_gpu_in_bfloat16(on_gpu: Loaded) -> None:
    assert (on_gpu.device.type, on_gpu.dtype) == ("cuda", torch.bfloat16)


def test_a_constrained_answer_is_valid(engine: Engine) -> None:
    for text in texts(engine, many(engine.loaded, 8, schema=SCHEMA, max_tokens=200)):
        jsonschema.validate(json.loads(text), SCHEMA)


def test_equal_seeds_write_the_same_text(engine: Engine) -> None:
    first, second, other = (
        texts(engine, [asked(engine.loaded, temperature=0.9, seed=seed)]) for seed in (7, 7, 8)
    )
    assert first == second != other


# Only strict mode promises it: other shapes of a pass round differently.
@pytest.mark.parametrize("engine", [True], ids=["strict"], indirect=True)
def test_strict_text_is_the_same_alone_and_in_a_batch(engine: Engine) -> None:
    tasks = many(engine.loaded, 4)
    assert texts(engine, tasks) == [texts(engine, [task])[0] for task in tasks]
