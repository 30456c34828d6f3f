"""Memory bandwidth of a device, and the share of it that the reading of weights takes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

#: Bytes that are copied: many times a GPU's cache.
_COPIED: Final = 1 << 32
#: Copies; the fastest counts.
_TRIES: Final = 10


def copy_speed(device: torch.device, size: int = _COPIED) -> float:
    """Bytes per second that a copy within the device's memory reads and writes.

    Args:
        device: of the memory.
        size: bytes of the copy.
    """
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    fastest = min(_copied(source, target) for _ in range(_TRIES))
    return 2 * size / fastest


def _copied(source: torch.Tensor, target: torch.Tensor) -> float:
    """Seconds that a copy takes."""
    _wait(source.device)
    began = time.perf_counter()
    target.copy_(source)
    _wait(source.device)
    return time.perf_counter() - began


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def weights_per_token(model: PreTrainedModel) -> int:
    """Bytes of weights that one token reads: all but the table of embeddings, of which it reads a row.

    Args:
        model: a dense one; a tied table is also the last step's matrix, and read whole.
    """
    table: Any = model.get_input_embeddings().weight
    last: Any = model.get_output_embeddings()
    whole = sum(each.nbytes for each in model.parameters())
    return whole if last.weight is table else whole - table.nbytes


def share(model: PreTrainedModel, device: torch.device, tokens_per_s: float) -> dict[str, Any]:
    """The bandwidth of a GPU, and the share of it with which one request at once reads the weights.

    Args:
        model: on the device.
        device: a GPU.
        tokens_per_s: of one request.
    """
    speed, read = copy_speed(device), weights_per_token(model)
    return {
        "gpu": torch.cuda.get_device_name(device),
        "bandwidth_gb_per_s": round(speed / 1e9, 1),
        "weights_gb_per_token": round(read / 1e9, 3),
        "share_of_bandwidth": round(tokens_per_s * read / speed, 3),
    }
