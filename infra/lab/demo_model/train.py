"""Training of the demo's adapter: two tasks in one model, bfloat16 products, checkpoints."""

# ruff: noqa: S311, T201 - no secrets; a command prints

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import torch
import torch.nn.functional as F  # noqa: N812 - the usual name

from infra.lab.demo_model import lora
from infra.lab.demo_model.examples import Example, tasks
from infra.lab.demo_model.shape import RANK

_IGNORED: Final = -100
#: Sequences are padded to a multiple of it.
_STRIDE: Final = 32


class AdapterPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How the adapter is trained."""

    epochs: float = 2.5
    #: Tokens of one step, padding included.
    step_tokens: int = 2400
    rate: float = 8e-4
    seed: int = 0
    threads: int = 2
    #: Steps between two checkpoints.
    every: int = 40


class _Sequence(msgspec.Struct):
    tokens: list[int]
    labels: list[int]


def train(base: Path, examples: Sequence[Example], work: Path, plan: AdapterPlan) -> Path:
    """Train the adapter, or go on from the last checkpoint; the adapter's file.

    Args:
        base: the base model's GGUF file.
        examples: all; those held out are only measured.
        work: checkpoints and the adapter.
        plan: how.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415 - seconds

    torch.set_num_threads(plan.threads)
    torch.manual_seed(plan.seed)
    tokenizer = AutoTokenizer.from_pretrained(base.parent, gguf_file=base.name)
    model = AutoModelForCausalLM.from_pretrained(base.parent, gguf_file=base.name, dtype=torch.bfloat16)
    model.config.use_cache = False
    adapters = lora.attach(model, RANK)
    made = {
        split: _sequences(tokenizer, [each for each in examples if each.split == split])
        for split in ("train", "heldout")
    }
    batches = _schedule(made["train"], plan)
    parameters = [each for adapter in adapters.values() for each in (adapter.a, adapter.b)]
    optimizer = torch.optim.AdamW(parameters, lr=plan.rate, weight_decay=0.01, betas=(0.9, 0.98))
    checkpoint = work / "checkpoint.pt"
    done = 0
    if checkpoint.is_file():
        stored = torch.load(checkpoint, weights_only=True)
        done = stored["step"]
        optimizer.load_state_dict(stored["optimizer"])
        lora.restore(adapters, work / "adapter.safetensors")
    size = sum(len(each.tokens) for each in made["train"])
    print(
        f"{len(made['train'])} answers, {size} tokens an epoch, {len(batches)} steps, from {done}", flush=True
    )
    began, seen, losses = time.monotonic(), 0, []
    for step in range(done, len(batches)):
        for group in optimizer.param_groups:
            group["lr"] = plan.rate * _share(step, len(batches))
        optimizer.zero_grad(set_to_none=True)
        loss, tokens = _loss(model, batches[step])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        losses.append(loss.item())
        seen += tokens
        if (step + 1) % 10 == 0:
            speed = seen / (time.monotonic() - began)
            print(f"step {step + 1} loss {sum(losses[-10:]) / 10:.3f} {speed:.0f} tokens/s", flush=True)
        if (step + 1) % plan.every == 0 or step + 1 == len(batches):
            lora.save(adapters, work / "adapter.safetensors")
            torch.save({"step": step + 1, "optimizer": optimizer.state_dict()}, checkpoint)
            with torch.no_grad():
                held = [
                    _loss(model, batch)[0].item()
                    for batch in _batches(made["heldout"], plan, random.Random(0))
                ]
            print(f"step {step + 1} held-out loss {sum(held) / max(1, len(held)):.3f}", flush=True)
    return work / "adapter.safetensors"


def _share(step: int, steps: int) -> float:
    """Of the learning rate: a short warm-up, then a cosine down to a twentieth."""
    warm = max(1, min(20, steps // 10))
    if step < warm:
        return (step + 1) / warm
    return 0.05 + 0.95 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm))) / 2


def _sequences(tokenizer: Any, examples: Sequence[Example]) -> list[_Sequence]:
    found: list[_Sequence] = []
    for each in examples:
        for task in tasks(each):
            before = tokenizer.encode(task.prompt, add_special_tokens=False)
            answer = tokenizer.encode(task.answer + tokenizer.eos_token, add_special_tokens=False)
            found.append(_Sequence(before + answer, [_IGNORED] * len(before) + answer))
    return found


def _schedule(sequences: list[_Sequence], plan: AdapterPlan) -> list[list[_Sequence]]:
    made = [
        batch
        for epoch in range(math.ceil(plan.epochs))
        for batch in _batches(sequences, plan, random.Random(plan.seed * 1000 + epoch))
    ]
    return made[: round(len(made) * plan.epochs / math.ceil(plan.epochs))]


def _batches(sequences: list[_Sequence], plan: AdapterPlan, draw: random.Random) -> list[list[_Sequence]]:
    """Batches of sequences of like length, in random order."""
    order = sorted(sequences, key=lambda each: len(each.tokens) + draw.random() * 40)
    batches: list[list[_Sequence]] = [[]]
    for each in order:
        longest = (
            max(len(each.tokens), *(len(other.tokens) for other in batches[-1]), 0) if batches[-1] else 0
        )
        if batches[-1] and longest * (len(batches[-1]) + 1) > plan.step_tokens:
            batches.append([])
        batches[-1].append(each)
    draw.shuffle(batches)
    return [each for each in batches if each]


def _loss(model: Any, batch: list[_Sequence]) -> tuple[torch.Tensor, int]:
    # Few different shapes: the library keeps something for each.
    width = -(-max(len(each.tokens) for each in batch) // _STRIDE) * _STRIDE
    tokens = torch.tensor([each.tokens + [0] * (width - len(each.tokens)) for each in batch])
    labels = torch.tensor([each.labels + [_IGNORED] * (width - len(each.labels)) for each in batch])
    hidden = model.model(input_ids=tokens).last_hidden_state[:, :-1]
    wanted = labels[:, 1:]
    kept = wanted != _IGNORED
    return F.cross_entropy(model.lm_head(hidden[kept]).float(), wanted[kept]), tokens.numel()
