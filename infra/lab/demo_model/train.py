"""Training of the demo's adapter: two tasks in one model, all examples first, the plain ones last; checkpoints."""

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

    #: Times that every example is seen.
    epochs: float = 3.0
    #: Times that plain drafts are seen afterwards, and half as often their documents: the style is learned last.
    plain_epochs: float = 2.0
    #: Tokens of one step, padding included.
    step_tokens: int = 2400
    rate: float = 8e-4
    plain_rate: float = 6e-4
    seed: int = 0
    threads: int = 2
    #: Steps between two checkpoints.
    every: int = 40


class _Sequence(msgspec.Struct):
    tokens: list[int]
    labels: list[int]


class _Step(msgspec.Struct):
    batch: list[_Sequence]
    rate: float


def train(base: Path, examples: Sequence[Example], work: Path, plan: AdapterPlan) -> Path:
    """Train the adapter, or go on from the last checkpoint; the adapter's file.

    Args:
        base: the base model's GGUF file.
        examples: all; those held out are only measured.
        work: checkpoints and the adapter.
        plan: how.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415 - seconds

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(plan.threads)
    torch.manual_seed(plan.seed)
    tokenizer = AutoTokenizer.from_pretrained(base.parent, gguf_file=base.name)
    loaded: Any = AutoModelForCausalLM.from_pretrained(base.parent, gguf_file=base.name, dtype=torch.bfloat16)
    model = loaded.to(device)
    model.config.use_cache = False
    adapters = lora.attach(model, RANK)
    learned = [each for each in examples if each.split == "train"]
    held_out = _sequences(tokenizer, [each for each in examples if each.split == "heldout"])
    steps = _schedule(tokenizer, learned, plan)
    parameters = [each for adapter in adapters.values() for each in (adapter.a, adapter.b)]
    optimizer = torch.optim.AdamW(parameters, lr=plan.rate, weight_decay=0.01, betas=(0.9, 0.98))
    checkpoint = work / "checkpoint.pt"
    done = 0
    if checkpoint.is_file():
        stored = torch.load(checkpoint, weights_only=True)
        done = stored["step"]
        optimizer.load_state_dict(stored["optimizer"])
        lora.restore(adapters, work / "adapter.safetensors")
    print(f"{len(learned)} examples, {len(steps)} steps, from {done}", flush=True)
    began, seen, losses = time.monotonic(), 0, []
    for step in range(done, len(steps)):
        for group in optimizer.param_groups:
            group["lr"] = steps[step].rate
        optimizer.zero_grad(set_to_none=True)
        loss, tokens = _loss(model, steps[step].batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        losses.append(loss.item())
        seen += tokens
        if (step + 1) % 10 == 0:
            speed = seen / (time.monotonic() - began)
            print(f"step {step + 1} loss {sum(losses[-10:]) / 10:.3f} {speed:.0f} tokens/s", flush=True)
        if (step + 1) % plan.every == 0 or step + 1 == len(steps):
            lora.save(adapters, work / "adapter.safetensors")
            torch.save({"step": step + 1, "optimizer": optimizer.state_dict()}, checkpoint)
            with torch.no_grad():
                held = [_loss(model, batch)[0].item() for batch in _batches(held_out, plan, random.Random(0))]
            print(f"step {step + 1} held-out loss {sum(held) / max(1, len(held)):.3f}", flush=True)
    return work / "adapter.safetensors"


def _share(step: int, steps: int) -> float:
    """Of the learning rate: a short warm-up, then a cosine down to a twentieth."""
    warm = max(1, min(20, steps // 10))
    if step < warm:
        return (step + 1) / warm
    return 0.05 + 0.95 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm))) / 2


def _sequences(tokenizer: Any, examples: Sequence[Example]) -> list[_Sequence]:
    """Of each example its draft, then its document."""
    found: list[_Sequence] = []
    for each in examples:
        for task in tasks(each):
            before = tokenizer.encode(task.prompt, add_special_tokens=False)
            answer = tokenizer.encode(task.answer + tokenizer.eos_token, add_special_tokens=False)
            found.append(_Sequence(before + answer, [_IGNORED] * len(before) + answer))
    return found


def _schedule(tokenizer: Any, examples: Sequence[Example], plan: AdapterPlan) -> list[_Step]:
    every = _sequences(tokenizer, examples)
    plain = _sequences(tokenizer, [each for each in examples if each.plain])
    drafts, documents = plain[::2], plain[1::2]
    return [
        *_phase(every, plan.epochs, plan.rate, plan),
        *_phase([*drafts, *drafts, *documents], plan.plain_epochs / 2, plan.plain_rate, plan),
    ]


def _phase(sequences: list[_Sequence], epochs: float, rate: float, plan: AdapterPlan) -> list[_Step]:
    batches = [
        batch
        for epoch in range(math.ceil(epochs))
        for batch in _batches(sequences, plan, random.Random(plan.seed * 1000 + epoch))
    ]
    batches = batches[: round(len(batches) * epochs / max(1, math.ceil(epochs)))]
    return [_Step(batch, rate * _share(step, len(batches))) for step, batch in enumerate(batches)]


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
    rows = [each.tokens + [0] * (width - len(each.tokens)) for each in batch]
    goals = [each.labels + [_IGNORED] * (width - len(each.labels)) for each in batch]
    tokens = torch.tensor(rows, device=model.device)
    labels = torch.tensor(goals, device=model.device)
    hidden = model.model(input_ids=tokens).last_hidden_state[:, :-1]
    wanted = labels[:, 1:]
    kept = wanted != _IGNORED
    return F.cross_entropy(model.lm_head(hidden[kept]).float(), wanted[kept]), tokens.numel()
