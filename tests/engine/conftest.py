"""Which models do the engine's tests run?  Small ones with random weights, made here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from infra.engine.engine import Engine
from infra.engine.load import Loaded, load
from tests.plain_numbers import _float32  # noqa: F401 - a fixture for all tests of this folder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_TEXT = [
    "A frozen lake with two platforms and a coin, and a forest behind it.",
    '{"scene_name":"Forest","entities":[{"id":"p1","type":"platform","x":100,"y":300}]}',
    "Mara asks the ferryman about the lost key; he says nothing. Ünïcödé — 雪 “quotes”.",
]


def tokenizer() -> PreTrainedTokenizerFast:
    # Every worker imports this file, and few of them a model: it takes seconds.
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(_TEXT * 5, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|end|>")  # noqa: S106 - a token of another kind


def save(folder: Path, kind: str, seed: int) -> Path:
    from transformers import (  # noqa: PLC0415 - as above
        LlamaConfig,
        LlamaForCausalLM,
        Qwen2Config,
        Qwen2ForCausalLM,
    )

    torch.manual_seed(seed)
    words = tokenizer()
    size = {
        "vocab_size": len(words),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
        "eos_token_id": words.eos_token_id,
        "bos_token_id": None,
        "initializer_range": 0.2,
    }
    model = (
        Qwen2ForCausalLM(Qwen2Config(**size)) if kind == "qwen2" else LlamaForCausalLM(LlamaConfig(**size))
    )
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], Path]:
    """The folder of a model by architecture and seed."""
    made: dict[tuple[str, int], Path] = {}

    def of(kind: str = "qwen2", seed: int = 1) -> Path:
        if (kind, seed) not in made:
            made[kind, seed] = save(tmp_path_factory.mktemp(f"{kind}-{seed}"), kind, seed)
        return made[kind, seed]

    return of


@pytest.fixture(scope="session")
def loaded(folders: Callable[[str, int], Path]) -> Loaded:
    return load(str(folders("qwen2", 1)), device="cpu")


@pytest.fixture(scope="session")
def engine(loaded: Loaded) -> Iterator[Engine]:
    """Eight rows, free shapes."""
    made = Engine(loaded, rows=8, max_len=512)
    made.start()
    yield made
    made.close()


@pytest.fixture(scope="session")
def strict(loaded: Loaded) -> Iterator[Engine]:
    """Eight rows, fixed shapes."""
    made = Engine(loaded, rows=8, max_len=256, strict=True)
    made.start()
    yield made
    made.close()


@pytest.fixture
def single(loaded: Loaded) -> Iterator[Engine]:
    """One row, two may wait."""
    made = Engine(loaded, rows=1, max_len=256, queue=2)
    made.start()
    yield made
    made.close()
