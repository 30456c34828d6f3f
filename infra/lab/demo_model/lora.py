"""Low-rank adapters on the linear layers of a Llama model: put on, saved, and loaded again."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from safetensors.torch import load_file, save_file
from torch import nn

from infra.lab.demo_model.shape import ATTENTION, MLP, SCALE


class LoraLinear(nn.Module):
    """A frozen linear layer plus ``SCALE * B A``; ``A`` is ``[rank, in]``, ``B`` is ``[out, rank]``."""

    def __init__(self, inner: nn.Linear, rank: int) -> None:
        super().__init__()
        self.inner = inner
        self.a = nn.Parameter(
            torch.randn(rank, inner.in_features, device=inner.weight.device) / math.sqrt(inner.in_features)
        )
        self.b = nn.Parameter(torch.zeros(inner.out_features, rank, device=inner.weight.device))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[..., in]`` to ``[..., out]``."""
        low = F.linear(x, self.a.to(x.dtype))
        return self.inner(x) + F.linear(low, self.b.to(x.dtype) * SCALE)


def attach(model: Any, rank: int) -> dict[str, LoraLinear]:
    """Freeze a model and put an adapter on each linear layer.

    Returns:
        the adapters by their layer's name, such as ``layers.0.mlp.up_proj``.
    """
    for parameter in model.parameters():
        parameter.requires_grad = False
    made: dict[str, LoraLinear] = {}
    for index, layer in enumerate(model.model.layers):
        for part, names in (("self_attn", ATTENTION), ("mlp", MLP)):
            holder = getattr(layer, part)
            for name in names:
                adapter = LoraLinear(getattr(holder, name), rank)
                setattr(holder, name, adapter)
                made[f"layers.{index}.{part}.{name}"] = adapter
    return made


def state(adapters: dict[str, LoraLinear]) -> dict[str, torch.Tensor]:
    """The adapters' numbers, ``<layer>.a`` and ``<layer>.b``."""
    return {
        f"{name}.{part}": getattr(each, part).detach().clone()
        for name, each in adapters.items()
        for part in ("a", "b")
    }


def save(adapters: dict[str, LoraLinear], file: Path) -> None:
    """Write the adapters as safetensors, float32."""
    save_file(state(adapters), file)


def restore(adapters: dict[str, LoraLinear], file: Path) -> None:
    """Read what :func:`save` wrote."""
    stored = load_file(file)
    with torch.no_grad():
        for name, each in adapters.items():
            each.a.copy_(stored[f"{name}.a"])
            each.b.copy_(stored[f"{name}.b"])
