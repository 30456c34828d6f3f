"""Forward pass of a transformers model over sequences of different lengths, without padding.

The tokens of all sequences are one row for the model, so that its matrices see no padding.  Only
attention knows the sequences: it is registered with transformers' attention interface, which passes
it the queries of the row, and the keys and values of each sequence from the KV cache.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

import msgspec
import torch
from torch import Tensor
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from infra.engine.kv_cache import ForwardBatch, KvCache

_NAME: Final = "understudy"
#: Arguments of attention that change its result and that only the model's own implementation knows.
_UNKNOWN: Final = ("softcap", "position_bias", "s_aux")


class RaggedLayout(msgspec.Struct, frozen=True, kw_only=True):
    """How the tokens of one row form sequences; padding, on the left, repeats a sequence's last token."""

    #: The token at each place of the padded sequences, ``[sequences, queries]``; None without padding.
    spread: Tensor | None
    #: The place of each token among the padded sequences.
    places: Tensor | None


class Ragged:
    """The model of transformers without padding; implements :class:`infra.engine.forward.Pass`.

    Args:
        model: of transformers; its attention is replaced.
        slots: keys and values.
    """

    ragged = True

    def __init__(self, model: PreTrainedModel, slots: KvCache) -> None:
        config: Any = model.config.get_text_config()
        self._model = model
        self._slots = slots
        self._shared = int(config.num_attention_heads) // slots.kv_heads
        self._columns = torch.arange(slots.max_len, device=slots.device)
        model.set_attn_implementation(_NAME)

    def __call__(self, batch: ForwardBatch) -> Tensor:
        """The logits after each row's last token, ``[rows, vocabulary]``."""
        sizes = [len(each) for each in batch.tokens]
        rows, queries = len(sizes), max(sizes)
        ids, places, slots = torch.tensor(
            [
                [token for each in batch.tokens for token in each],
                [place for each in batch.places for place in each],
                [slot for slot, size in zip(batch.slots, sizes, strict=True) for _ in range(size)],
            ],
            device=self._slots.device,
        )
        # Padding attends from position 0; its output is discarded.
        positions = places.masked_fill(places == self._slots.max_len, 0)
        layout = _layout(sizes, ids.device)
        asked_from = positions.view(rows, queries) if layout.spread is None else positions[layout.spread]
        view: Any = _View(self._slots, batch, slots, places)
        ends = torch.tensor(list(accumulate(sizes)), device=ids.device) - 1
        logits: Tensor = self._model(
            input_ids=ids[None],
            attention_mask=self._mask(asked_from, batch.width),
            position_ids=positions[None],
            past_key_values=view,
            use_cache=True,
            logits_to_keep=ends,
            layout=layout,
        ).logits
        return logits[0]

    def _mask(self, asked_from: Tensor, width: int) -> Tensor:
        """The attention mask, added to the scores: ``[rows, 1, shared * queries, width]``."""
        rows, queries = asked_from.shape
        unseen = self._columns[:width] > asked_from[:, None, None, :, None]
        mask = torch.zeros(unseen.shape, dtype=self._slots.dtype, device=unseen.device)
        mask.masked_fill_(unseen, float("-inf"))
        return mask.expand(rows, 1, self._shared, queries, width).reshape(rows, 1, -1, width)


class _View:
    """The KV cache during one forward pass, as ``past_key_values``.

    Args:
        slots: all rows.
        batch: of the pass.
        rows: the row of each token.
        places: the position of each token.
    """

    def __init__(self, slots: KvCache, batch: ForwardBatch, rows: Tensor, places: Tensor) -> None:
        self._slots = slots
        self._rows = rows
        self._places = places
        self._width = batch.width
        self._read = slots.reading(batch.slots)

    def update(
        self, keys: Tensor, values: Tensor, layer_idx: int, *_: object, **__: object
    ) -> tuple[Tensor, Tensor]:
        """Write ``[1, kv_heads, tokens, head_dim]``; read ``[rows, kv_heads, width, head_dim]``."""
        layer = self._slots.layers[layer_idx]
        layer[self._rows, :, self._places] = torch.cat([keys[0], values[0]]).transpose(0, 1)
        both = layer[self._read, :, : self._width]
        return both[:, : self._slots.kv_heads], both[:, self._slots.kv_heads :]


def _layout(sizes: list[int], device: torch.device) -> RaggedLayout:
    longest = max(sizes)
    if min(sizes) == longest:
        return RaggedLayout(spread=None, places=None)
    spread = [
        [end - 1] * (longest - size) + list(range(end - size, end))
        for end, size in zip(accumulate(sizes), sizes, strict=True)
    ]
    places = [row * longest + longest - size + at for row, size in enumerate(sizes) for at in range(size)]
    return RaggedLayout(
        spread=torch.tensor(spread, device=device), places=torch.tensor(places, device=device)
    )


def _attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    layout: RaggedLayout | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """Attention of ``[1, heads, tokens, head_dim]`` to each sequence's keys: ``[1, tokens, heads, head_dim]``."""
    if layout is None:
        # The model is called without the engine.
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **more)
    if given := [name for name in _UNKNOWN if more.get(name) is not None]:
        raise ValueError(f"its attention has {', '.join(given)}")
    heads, size = query.shape[1], query.shape[-1]
    rows, groups = key.shape[:2]
    asked = query[0].transpose(0, 1)
    if layout.spread is not None:
        asked = asked[layout.spread]
    # Heads that share keys are queries of the same product: keys are not repeated.
    asked = asked.reshape(rows, -1, groups, heads // groups, size).permute(0, 2, 3, 1, 4)
    found = functional.scaled_dot_product_attention(
        asked.reshape(rows, groups, -1, size), key, value, attn_mask=attention_mask, scale=scaling
    )
    found = found.view(rows, groups, heads // groups, -1, size).permute(0, 3, 1, 2, 4)
    found = found.reshape(-1, heads, size)
    return (found if layout.places is None else found[layout.places])[None], None


AttentionInterface.register(_NAME, _attend)
AttentionMaskInterface.register(_NAME, sdpa_mask)
