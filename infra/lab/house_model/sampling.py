"""Batched sampling for evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch

from infra.lab.house_model.tokens import CONTEXT

_BATCH: Final = 64


def answers(
    model: Any, tokenizer: Any, prompts: Sequence[str], *, temperature: float, seed: int, most: int = 520
) -> list[str]:
    """The answers to short-form prompts, in their order.

    Args:
        model: a causal model of transformers.
        tokenizer: its tokenizer.
        prompts: what :func:`infra.lab.house_model.tokens.prompt` renders.
        temperature: 0 for the likeliest token always.
        seed: of the draws.
        most: most tokens per answer.
    """
    torch.manual_seed(seed)
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    found = [""] * len(prompts)
    for begin in range(0, len(order), _BATCH):
        rows = order[begin : begin + _BATCH]
        inputs = tokenizer(
            [prompts[row] for row in rows],
            return_tensors="pt",
            padding=True,
            padding_side="left",
            add_special_tokens=False,
        )
        room = CONTEXT - inputs["input_ids"].shape[1]
        how: dict[str, Any] = (
            {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 0.95}
            if temperature
            else {"do_sample": False}
        )
        with torch.inference_mode():
            made = model.generate(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                max_new_tokens=min(most, room),
                pad_token_id=tokenizer.pad_token_id,
                eos_token_id=tokenizer.eos_token_id,
                **how,
            )
        texts = tokenizer.batch_decode(made[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        for row, text in zip(rows, texts, strict=True):
            found[row] = text
    return found
