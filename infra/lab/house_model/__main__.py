"""Command that trains, evaluates and documents the house model.

``python -m infra.lab.house_model build`` trains, evaluates and writes weights and card;
``data``, ``train``, ``evaluate`` and ``card`` are its steps.
"""

# ruff: noqa: T201 - a command prints

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Final

from infra.lab.house_model import card
from infra.lab.house_model.generate import example
from infra.lab.house_model.handmade import HANDMADE

_WEIGHTS: Final = Path(__file__).parent / "weights"


def main() -> None:
    """Run one command."""
    parser = argparse.ArgumentParser(prog="python -m infra.lab.house_model", description=__doc__)
    parser.add_argument("command", choices=("data", "train", "evaluate", "card", "build"))
    parser.add_argument(
        "--work", type=Path, default=Path(".understudy/house_model"), help="checkpoints and figures"
    )
    parser.add_argument("--weights", type=Path, default=_WEIGHTS, help="the finished model's folder")
    parser.add_argument("--threads", type=int, default=2, help="of the CPU")
    parser.add_argument("--count", type=int, default=600, help="documents to show, or wishes to ask")
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    if asked.command == "data":
        _show(asked.count)
    if asked.command in {"train", "build"}:
        _train(asked.work, asked.weights, asked.threads)
    if asked.command in {"evaluate", "build"}:
        _evaluate(asked.work, asked.weights, asked.threads, asked.count)
    if asked.command in {"card", "build"}:
        _card(asked.work, asked.weights)


def _show(count: int) -> None:
    for index in range(count):
        one = example(0, index)
        shown = {
            "kind": one.kind,
            "style": one.style,
            "wish": one.wish,
            "prose": one.prose,
            "json": one.document,
        }
        print(json.dumps(shown, ensure_ascii=False))


def _train(work: Path, weights: Path, threads: int) -> None:
    from infra.lab.house_model.files import export  # noqa: PLC0415 - as above
    from infra.lab.house_model.train import TrainingPlan, train  # noqa: PLC0415 - needs torch

    trained = train(TrainingPlan(), work, threads=threads)
    export(trained.model, trained.tokenizer, weights)
    card.save(work, plan=TrainingPlan(), training=trained.figures)


def _evaluate(work: Path, weights: Path, threads: int, count: int) -> None:
    import torch  # noqa: PLC0415 - optional

    from infra.lab.house_model import evaluate  # noqa: PLC0415 - needs torch

    torch.set_num_threads(threads)
    tables = card.plain(evaluate.measure(weights, count=count))
    rows = card.plain(evaluate.by_hand(weights))
    card.save(work, wishes=count, tables=tables, handmade={"wishes": len(HANDMADE), "rows": rows})
    print(json.dumps({"tables": tables, "handmade": rows}, indent=1))


def _card(work: Path, weights: Path) -> None:
    from infra.lab.house_model.files import load  # noqa: PLC0415 - needs torch

    model, tokenizer = load(weights)
    (weights / "README.md").write_text(card.card(model, tokenizer, card.read(work)))


if __name__ == "__main__":
    main()
