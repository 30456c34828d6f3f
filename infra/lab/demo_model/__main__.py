"""Command that trains, measures and documents the demo's model.

``python -m infra.lab.demo_model build`` trains the adapter, writes it as GGUF, asks the wishes of the gate and writes the
card; ``train``, ``export``, ``gate`` and ``card`` are its steps.
"""

# ruff: noqa: T201 - a command prints

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from infra.lab.demo_model.examples import read
from infra.providers.gguf_files import DEMO, model_of
from infra.settings.narrative import Gguf, Narrative, Providers

if TYPE_CHECKING:
    from infra.lab.demo_model.gate import GateOutcome

_WEIGHTS: Final = Path(__file__).parent / "weights"
_ADAPTER: Final = "adapter.gguf"
_OUTCOMES: Final = "gate.json"


def main() -> None:
    """Run one command."""
    parser = argparse.ArgumentParser(prog="python -m infra.lab.demo_model", description=__doc__)
    parser.add_argument("command", choices=("train", "export", "gate", "card", "build"))
    parser.add_argument(
        "--work", type=Path, default=Path(".understudy/demo_model"), help="checkpoints and outcomes"
    )
    parser.add_argument(
        "--weights", type=Path, default=_WEIGHTS, help="folder of the finished adapter and its card"
    )
    parser.add_argument("--epochs", type=float, default=3.0, help="times that each example is seen")
    parser.add_argument("--count", type=int, default=0, help="wishes of the gate; 0: all")
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    asked.weights.mkdir(parents=True, exist_ok=True)
    base = model_of(Gguf(model=DEMO)).file
    if asked.command in {"train", "build"}:
        from infra.lab.demo_model.train import AdapterPlan, train  # noqa: PLC0415 - needs torch

        train(base, read(), asked.work, AdapterPlan(epochs=asked.epochs))
    if asked.command in {"export", "build"}:
        from infra.lab.demo_model.export import export  # noqa: PLC0415 - needs gguf

        export(asked.work / "adapter.safetensors", base, asked.weights / _ADAPTER)
    if asked.command in {"gate", "build"}:
        _gate(asked.work, asked.count)
    if asked.command in {"card", "build"}:
        from infra.lab.demo_model.card import write  # noqa: PLC0415 - beside its use

        write(_outcomes(asked.work), asked.weights / "README.md")


def _gate(work: Path, count: int) -> None:
    from infra.lab.demo_model import gate  # noqa: PLC0415 - with the whole application

    wishes = [each for each in read() if each.split == "gate"]
    if count:
        step = max(1, len(wishes) // count)
        wishes = wishes[::step][:count]
    kinds = dict.fromkeys(Providers.model_fields, "gguf")
    outcomes = asyncio.run(gate.run(wishes, Gguf(), Narrative(providers=Providers.model_validate(kinds))))
    (work / _OUTCOMES).write_bytes(msgspec.json.encode(outcomes))
    print(msgspec.json.format(msgspec.json.encode(gate.measure(outcomes))).decode())


def _outcomes(work: Path) -> list[GateOutcome]:
    from infra.lab.demo_model.gate import GateOutcome  # noqa: PLC0415 - as above

    return msgspec.json.decode((work / _OUTCOMES).read_bytes(), type=list[GateOutcome])


if __name__ == "__main__":
    main()
