"""Training of the house model, with checkpoints."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import torch

from infra.lab.house_model.batches import BatchPosition, TrainingBatch, copying, documents
from infra.lab.house_model.decoder import decoder, size_of
from infra.lab.house_model.generate import example
from infra.lab.house_model.muon import Muon
from infra.lab.house_model.tokens import load_tokenizer, save_tokenizer, train_tokenizer

#: Documents that the tokenizer is trained on.
_TOKENIZER_DOCUMENTS: Final = 6000
_PROGRESS_STEPS: Final = 50


class TrainingPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decides what comes out."""

    seed: int = 20
    #: Steps of each cycle of the learning rate; weights are good at the end of one.
    cycles: tuple[int, ...] = (28_000, 22_000, 18_000)
    #: First steps that only copy.
    warm_up: int = 1_200
    #: Later, one step in this many.
    copy_every: int = 8
    #: From this step on, tokens that have to be found in the prompt count more.
    focus_from: int = 2_000
    #: Share of a cycle's steps at the full learning rate; then it falls along a cosine.
    flat: float = 0.6
    #: Learning rates of the matrices (Muon) and of the rest (AdamW).
    matrices: float = 9e-3
    rest: float = 3e-3
    width: int = 192
    layers: int = 4
    heads: int = 6

    @property
    def steps(self) -> int:
        """Of all cycles."""
        return sum(self.cycles)


def rate(plan: TrainingPlan, step: int) -> float:
    """The learning rate at a step, as a share of the full one."""
    cycle, *later = plan.cycles
    while step >= cycle and later:
        step -= cycle
        cycle, *later = later
    start = min(1.0, (step + 1) / 50)
    done = (step / cycle - plan.flat) / (1 - plan.flat)
    return start * (1.0 if done <= 0 else 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


def tokenizer_of(plan: TrainingPlan, folder: Path) -> Any:
    """The tokenizer in the folder; trained first where there is none."""
    if not (folder / "tokenizer.json").exists():
        some = (example(plan.seed, index) for index in range(_TOKENIZER_DOCUMENTS))
        texts = (text for one in some for text in (one.wish, one.prose, one.json))
        folder.mkdir(parents=True, exist_ok=True)
        save_tokenizer(train_tokenizer(texts), folder)
    return load_tokenizer(folder)


class Figures(msgspec.Struct, kw_only=True):
    """What a training run was, interruptions included."""

    documents: int = 0
    #: Padding included.
    tokens: int = 0
    seconds: float = 0.0
    #: Of documents, nats per learnt token, a moving mean over about 200 steps.
    loss: float = math.nan


class Training:
    """A model on its way, with everything that is needed to go on."""

    def __init__(self, plan: TrainingPlan, tokenizer: Any) -> None:
        """At step 0."""
        self.plan, self.tokenizer, self.step, self.place = plan, tokenizer, 0, BatchPosition()
        self.figures = Figures()
        self.model = decoder(
            tokenizer, seed=plan.seed, width=plan.width, layers=plan.layers, heads=plan.heads
        )
        layers = list(self.model.model.layers.named_parameters())
        matrices = [value for _, value in layers if value.ndim == 2]  # noqa: PLR2004 - a matrix
        chosen = {id(value) for value in matrices}
        rest = [value for value in self.model.parameters() if id(value) not in chosen]
        self.optimizers: tuple[Any, ...] = (
            Muon(matrices, lr=plan.matrices),
            torch.optim.AdamW(rest, lr=plan.rest, betas=(0.9, 0.97), weight_decay=0.0),
        )
        self._batches = documents(plan.seed, tokenizer, self.place)

    def advance(self) -> tuple[bool, float]:
        """One step: whether it was of copying, and its loss (nats per token)."""
        plan, figures, begun = self.plan, self.figures, time.monotonic()
        copies = self.step < plan.warm_up or self.step % plan.copy_every == 0
        if copies:
            batch = copying(plan.seed, self.step, len(self.tokenizer))
        else:
            batch, self.place = next(self._batches)
        for optimizer, full in zip(self.optimizers, (plan.matrices, plan.rest), strict=True):
            optimizer.zero_grad(set_to_none=True)
            for group in optimizer.param_groups:
                group["lr"] = full * rate(plan, self.step)
        loss = loss_of(self.model, batch, focus=self.step >= plan.focus_from)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        figures.tokens += sum(map(len, batch.ids))
        if not copies:
            figures.documents += len(batch.ids)
            figures.loss = (
                loss.item() if math.isnan(figures.loss) else 0.995 * figures.loss + 0.005 * loss.item()
            )
        figures.seconds += time.monotonic() - begun
        return copies, loss.item()

    def save(self, folder: Path) -> None:
        """Write the weights, and beside them what training needs to go on."""
        state = {
            "step": self.step,
            "place": [self.place.pool, self.place.batch],
            "plan": json.dumps(msgspec.to_builtins(self.plan)),
            "figures": msgspec.to_builtins(self.figures),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "model": self.model.state_dict(),
        }
        torch.save(state, folder / "training.pt.part")
        (folder / "training.pt.part").replace(folder / "training.pt")

    def load(self, folder: Path) -> None:
        """Go on from what :meth:`save` wrote.

        Raises:
            ValueError: it was written for another plan.
        """
        state = torch.load(folder / "training.pt", weights_only=True)
        if msgspec.json.decode(state["plan"], type=TrainingPlan) != self.plan:
            raise ValueError(
                f"{folder / 'training.pt'} belongs to the plan {state['plan']}; use another folder, or that plan"
            )
        self.step, self.place = state["step"], BatchPosition(pool=state["place"][0], batch=state["place"][1])
        self.figures = msgspec.convert(state["figures"], Figures)
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self._batches = documents(self.plan.seed, self.tokenizer, self.place)


def loss_of(model: Any, batch: TrainingBatch, *, focus: bool = False) -> Any:
    """Mean cross-entropy of the labelled tokens, nats; with ``focus`` by their weights."""
    ids, labels = torch.tensor(batch.ids), torch.tensor(batch.labels)[:, 1:]
    hidden = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
    learnt = labels >= 0
    each = torch.nn.functional.cross_entropy(model.lm_head(hidden[learnt]), labels[learnt], reduction="none")
    if not focus:
        return each.mean()
    weights = torch.tensor(batch.weights)[:, 1:][learnt]
    return (each * weights).sum() / weights.sum()


def train(
    plan: TrainingPlan,
    folder: Path,
    *,
    threads: int,
    save_seconds: float = 120.0,
    say: Callable[[str], None] = print,
) -> Training:
    """Train to the end of the plan, from the last checkpoint in the folder where there is one.

    Args:
        plan: what to train.
        folder: for the tokenizer and the checkpoint.
        threads: of the CPU.
        save_seconds: time between two checkpoints.
        say: takes a line of progress.
    """
    torch.set_num_threads(threads)
    training = Training(plan, tokenizer_of(plan, folder))
    if (folder / "training.pt").exists():
        training.load(folder)
        say(f"goes on at step {training.step}")
    say(f"{size_of(training.model):,} parameters, {len(training.tokenizer)} tokens, {plan.steps} steps")
    begun = saved = time.monotonic()
    first, losses, copied = training.step, list[float](), list[float]()
    training.model.train()
    while training.step < plan.steps:
        copies, loss = training.advance()
        (copied if copies else losses).append(loss)
        now = time.monotonic()
        if training.step % _PROGRESS_STEPS == 0:
            left = (plan.steps - training.step) * (now - begun) / (training.step - first)
            say(
                f"step {training.step}/{plan.steps} loss {_mean(losses):.4f} copying {_mean(copied):.3f} "
                f"{training.figures.tokens / training.figures.seconds:.0f} tokens/s, {left / 60:.0f} min left"
            )
            losses, copied = [], copied[-2:]
            sys.stdout.flush()
        if now - saved > save_seconds:
            training.save(folder)
            saved = now
    training.save(folder)
    return training


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan
