"""Batched sampling for evaluation."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch

from contracts.events import Params
from contracts.policy.quoting import quote
from contracts.ports import Prompt
from infra.lab.house_model.tokens import CONTEXT
from infra.providers.local import HOUSE_DRAFTS, LocalProvider
from infra.settings.narrative import Local

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


def provided(
    folder: Path, wishes: Sequence[tuple[str, str]], *, temperature: float, seed: int, most: int = 520
) -> list[str]:
    """The prose that the pipeline's provider has for wishes, in their order.

    Args:
        folder: of the model.
        wishes: kinds, and what is asked for.
        temperature: as above.
        seed: of the first draws.
        most: most tokens per draft.
    """
    settings = Local(
        model=str(folder), queue=4 * len(wishes), max_len=CONTEXT, drafts=HOUSE_DRAFTS, guided=True
    )
    provider = LocalProvider(settings)

    async def one(number: int, kind: str, wish: str) -> str:
        prompt = Prompt(text=quote(wish), kind=kind, stage="freeform-gen", request_id=str(number))
        params = Params(
            temperature=temperature, top_p=0.95, max_tokens=most, seed=seed + number, timeout_s=86_400
        )
        return (await provider.generate(prompt, params)).text

    async def every() -> list[str]:
        try:
            return await asyncio.gather(*(one(number, *each) for number, each in enumerate(wishes)))
        finally:
            (await provider.ready()).close()

    return asyncio.run(every())
