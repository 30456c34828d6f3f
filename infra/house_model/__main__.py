"""How is the house model made from the command line?

``python -m infra.house_model build`` trains, evaluates and writes weights and card;
``data``, ``train``, ``evaluate`` and ``card`` are its steps.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Final

from infra.house_model.generate import example

_WEIGHTS: Final = Path(__file__).parent / "weights"


def main() -> None:
    """Run one command."""
    parser = argparse.ArgumentParser(prog="python -m infra.house_model", description=__doc__)
    parser.add_argument("command", choices=("data", "train", "evaluate", "card", "build"))
    parser.add_argument("--work", type=Path, default=Path(".understudy/house_model"), help="checkpoints and measurements")
    parser.add_argument("--weights", type=Path, default=_WEIGHTS, help="the finished model's folder")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--count", type=int, default=12, help="documents to show (data), wishes to ask (evaluate)")
    asked = parser.parse_args()
    match asked.command:
        case "data":
            for index in range(asked.count):
                one = example(0, index)
                print(json.dumps({"kind": one.kind, "wish": one.wish, "prose": one.prose, "json": one.document}, ensure_ascii=False))
        case "train":
            _train(asked.work, asked.weights, asked.threads)
        case _:
            raise SystemExit("not yet")


def _train(work: Path, weights: Path, threads: int) -> None:
    from infra.house_model.train import Plan, export, tokenizer_of, train

    work.mkdir(parents=True, exist_ok=True)
    model = train(Plan(), work, threads=threads)
    export(model, tokenizer_of(Plan(), work), weights)


if __name__ == "__main__":
    main()
