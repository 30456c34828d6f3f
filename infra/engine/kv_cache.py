"""KV cache: keys and values of all sequences, and access from a forward pass.

Rows are slices of one tensor per layer, allocated once.  The models of transformers get a
view of some rows as ``past_key_values``; they use only its ``update``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class ForwardBatch:
    """What one pass reads, one entry per row, in the order of the slots."""

    slots: list[int]
    tokens: list[list[int]]
    #: The position that each token is written to; the scratch position for padding.
    places: list[list[int]]
    #: Positions that are read.
    width: int


class KvCache:
    """Keys and values, per layer one tensor of shape ``[rows, 2 * kv_heads, max_len + 1, head_dim]``.

    The first half of the heads are keys.  The last position of a row is scratch: padding is written
    there and never read.

    Args:
        layers: of the model.
        rows: concurrent requests.
        kv_heads: key/value heads per layer.
        max_len: positions of a row.
        head_dim: width of a head.
        dtype: of keys and values.
        device: of keys and values.
    """

    def __init__(
        self,
        *,
        layers: int,
        rows: int,
        kv_heads: int,
        max_len: int,
        head_dim: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.max_len = max_len
        self.kv_heads = kv_heads
        self.device = device
        self.dtype = dtype
        shape = (rows, 2 * kv_heads, max_len + 1, head_dim)
        self.layers = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(layers)]

    def copy(self, source: int, target: int, length: int) -> None:
        """Copy the first ``length`` positions of one row over another."""
        if length:
            for layer in self.layers:
                layer[target, :, :length] = layer[source, :, :length]

    def swap(self, first: int, second: int, length: int) -> None:
        """Exchange the first ``length`` positions of two rows."""
        for layer in self.layers:
            kept = layer[first, :, :length].clone()
            layer[first, :, :length] = layer[second, :, :length]
            layer[second, :, :length] = kept

    def reading(self, rows: list[int]) -> slice | Tensor:
        """The index of some rows, in order; adjacent rows are read without a copy."""
        if rows == list(range(rows[0], rows[-1] + 1)):
            return slice(rows[0], rows[-1] + 1)
        return torch.tensor(rows, device=self.device)


class View:
    """Some rows of the slots during one forward pass.

    Args:
        slots: all rows.
        rows: indices of the slots, one per row of the batch.
        positions: where each query of each row is written, ``[batch, queries]``.
        width: positions that are read.
    """

    def __init__(self, slots: KvCache, rows: list[int], positions: Tensor, width: int) -> None:
        self._slots = slots
        self._rows = torch.tensor(rows, device=slots.device)[:, None]
        self._positions = positions
        self._width = width
        self._read = slots.reading(rows)

    def update(
        self, keys: Tensor, values: Tensor, layer_idx: int, *_: object, **__: object
    ) -> tuple[Tensor, Tensor]:
        """Write ``[batch, kv_heads, queries, head_dim]``; read everything up to the width."""
        layer = self._slots.layers[layer_idx]
        layer[self._rows, :, self._positions] = torch.cat([keys, values], dim=1).transpose(1, 2)
        both = layer[self._read, :, : self._width]
        return both[:, : self._slots.kv_heads], both[:, self._slots.kv_heads :]
