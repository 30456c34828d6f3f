"""Files of the finished weights."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, Final

import torch

from infra.lab.house_model.tokens import load_tokenizer, save_tokenizer

#: The folder of the model that ships.
WEIGHTS: Final = Path(__file__).parent / "weights"


def export(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write an ordinary model folder: safetensors in half precision, configuration, tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    half = copy.deepcopy(model).to(torch.float16)
    half.save_pretrained(folder)
    # Written for the owner alone; the others are for everybody.
    (folder / "model.safetensors").chmod(0o644)
    save_tokenizer(tokenizer.backend_tokenizer, folder)


def load(folder: Path = WEIGHTS) -> tuple[Any, Any]:
    """The model, in float32 and ready to generate, and its tokenizer."""
    from transformers import AutoModelForCausalLM  # noqa: PLC0415 - slow

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, use_safetensors=True)
    return model.eval(), load_tokenizer(folder)
