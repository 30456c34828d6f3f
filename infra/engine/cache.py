"""Where are the keys and values of every row, and how does a forward pass reach them?

Rows are slices of one tensor per layer, allocated once.  A view of some rows is what the models of
transformers get as ``past_key_values``: all they ask of it is ``update``.
"""

from __future__ import annotations

import torch
from torch import Tensor


class Slots:
    """Keys and values, per layer two tensors of shape ``[rows, kv_heads, max_len + 1, head_dim]``.

    The last position of a row is scratch: padding is written there and never read.

    Args:
        layers: of the model.
        rows: requests at once.
        kv_heads: key/value heads per layer.
        max_len: positions of a row.
        head_dim: width of a head.
        dtype: of keys and values.
        device: where they are.
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
        shape = (rows, kv_heads, max_len + 1, head_dim)
        self.keys = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(layers)]
        self.values = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(layers)]

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first ``length`` positions of one row over another."""
        for tensor in (*self.keys, *self.values):
            tensor[target, :, :length] = tensor[source, :, :length]


class View:
    """Some rows of the slots during one forward pass.

    Args:
        slots: all rows.
        rows: indices of those taken part, one per row of the batch.
        positions: where each query of each row is written, ``[batch, queries]``.
        width: positions that are read.
    """

    def __init__(self, slots: Slots, rows: list[int], positions: Tensor, width: int) -> None:
        self._slots = slots
        device = slots.keys[0].device
        self._rows = torch.tensor(rows, device=device)[:, None]
        self._positions = positions
        self._width = width
        first, last = rows[0], rows[-1]
        together = rows == list(range(first, last + 1))
        self._read: slice | Tensor = slice(first, last + 1) if together else self._rows[:, 0]

    def update(
        self, keys: Tensor, values: Tensor, layer_idx: int, *_: object, **__: object
    ) -> tuple[Tensor, Tensor]:
        """Write ``[batch, kv_heads, queries, head_dim]``; read everything up to the width."""
        mine, theirs = self._slots.keys[layer_idx], self._slots.values[layer_idx]
        mine[self._rows, :, self._positions] = keys.transpose(1, 2)
        theirs[self._rows, :, self._positions] = values.transpose(1, 2)
        return mine[self._read, :, : self._width], theirs[self._read, :, : self._width]
