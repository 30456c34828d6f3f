"""Lean decoder for models of the Llama family, with few operations per token.

A step for one request spends half of its time between matrix products: some 250 small operations a
layer.  Here they are 25: projections of one input are one product, rotation is done for queries and
keys at once, heads that share keys are rows of one product, and padding exists in attention alone.
Matrices may be taken over in a layout that is faster: the model of transformers is not to be used after that.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

import msgspec
import torch
from torch import Tensor
from torch.nn import functional

from infra.engine.product import Product, product

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from infra.engine.kv_cache import ForwardBatch, KvCache

_FAMILY: Final = frozenset({"llama", "mistral", "qwen2", "qwen3"})
#: Rotations that depend only on the position, not on the length of the text.
_ROTATIONS: Final = frozenset({"default", "linear", "llama3", "yarn"})


class _Layer(msgspec.Struct, frozen=True, kw_only=True):
    """Weights of one layer."""

    first_norm: Tensor
    #: Queries, keys and values.
    project: Product
    project_bias: Tensor | None
    #: Norms of each head's queries and keys, in some models.
    query_norm: Tensor | None
    key_norm: Tensor | None
    back: Product
    second_norm: Tensor
    #: Gate and up.
    widen: Product
    narrow: Product


class Lean:
    """One forward pass; implements :class:`infra.engine.forward.Pass`.

    Args:
        model: one that :meth:`fits`.
        slots: keys and values.
    """

    ragged = True

    def __init__(self, model: PreTrainedModel, slots: KvCache) -> None:
        config: Any = model.config
        decoder: Any = model.model
        self._slots = slots
        self._heads = int(config.num_attention_heads)
        self._shared = self._heads // slots.kv_heads
        self._eps = float(config.rms_norm_eps)
        self._layers = [_layer(layer) for layer in decoder.layers]
        self._head = product(model.get_output_embeddings())
        self._offset = torch.full((1, 1), self._eps, device=slots.device)
        self._share = torch.full(
            (int(config.hidden_size), 1), 1 / int(config.hidden_size), device=slots.device
        )
        self._embedding: Tensor = decoder.embed_tokens.weight
        self._norm: Tensor = decoder.norm.weight
        self._columns = torch.arange(slots.max_len, device=slots.device)
        places = torch.arange(slots.max_len + 1, device=slots.device)[None]
        cos, sin = decoder.rotary_emb(self._embedding[:1], places)
        half = cos.shape[-1] // 2
        # Values get the identity rotation, so that all three are one operation.
        still = cos.new_zeros(cos.shape[1], slots.kv_heads, 2 * half)
        turned = self._heads + slots.kv_heads
        signed = torch.cat([-sin[0, :, :half], sin[0, :, half:]], dim=-1)
        self._cos = torch.cat([cos[0, :, None].expand(-1, turned, -1), still + 1], dim=1)
        self._sin = torch.cat([signed[:, None].expand(-1, turned, -1), still], dim=1)

    @staticmethod
    def fits(model: PreTrainedModel) -> bool:
        """Whether the model is of the family, on one device, and without unusual parts."""
        config: Any = model.config
        if config.model_type not in _FAMILY or hasattr(model, "hf_device_map"):
            return False
        decoder: Any = model.model
        rotation: dict[str, Any] = config.rope_parameters or {}
        modules: list[Any] = [
            module for layer in decoder.layers for module in (layer.self_attn.o_proj, *layer.mlp.children())
        ]
        return (
            config.hidden_act == "silu"
            and rotation.get("rope_type", "default") in _ROTATIONS
            and rotation.get("partial_rotary_factor", 1.0) == 1.0
            and all(getattr(module, "bias", None) is None for module in modules)
        )

    def __call__(self, batch: ForwardBatch) -> Tensor:
        """The logits after each row's last token, ``[rows, vocabulary]``."""
        sizes = [len(each) for each in batch.tokens]
        rows, queries = len(sizes), max(sizes)
        ends = list(accumulate(sizes))
        ids, places, slots = torch.tensor(
            [
                [token for each in batch.tokens for token in each],
                [place for each in batch.places for place in each],
                [slot for slot, size in zip(batch.slots, sizes, strict=True) for _ in range(size)],
            ],
            device=self._slots.device,
        )
        scratch = self._slots.max_len
        # Padding attends from position 0; its output is discarded.
        asked_from = places.masked_fill(places == scratch, 0)
        spread, gathered = _spread(sizes, ids.device) if len(ids) < rows * queries else (None, None)
        asked = asked_from.view(rows, queries) if spread is None else asked_from[spread]
        hidden = functional.embedding(ids, self._embedding)
        cos, sin = self._cos[asked_from], self._sin[asked_from]
        mask = self._mask(asked, batch.width, hidden.dtype)
        read = self._slots.reading(batch.slots)
        for weights, cache in zip(self._layers, self._slots.layers, strict=True):
            mixed = self._projected(hidden, weights)
            mixed = torch.addcmul(mixed * cos, mixed.roll(mixed.shape[-1] // 2, -1), sin)
            cache[slots, :, places] = mixed[:, self._heads :]
            heard = self._attention(
                mixed[:, : self._heads], cache[read, :, : batch.width], mask, spread, gathered
            )
            hidden = weights.back(heard, hidden)
            gate, up = weights.widen(self._normed(hidden, weights.second_norm)).chunk(2, dim=-1)
            hidden = weights.narrow(functional.silu(gate).mul_(up), hidden)
        if queries > 1:
            hidden = hidden[[end - 1 for end in ends]]
        return self._head(self._normed(hidden, self._norm))

    def _normed(self, hidden: Tensor, weight: Tensor) -> Tensor:
        if hidden.dim() != 2 or hidden.dtype != torch.float32 or hidden.device.type != "cpu":  # noqa: PLR2004 - a matrix
            return functional.rms_norm(hidden, (weight.shape[0],), weight, self._eps)
        # torch has no kernel for it on a CPU; the mean as a product is half of the eight operations it makes.
        mean = torch.addmm(self._offset, hidden * hidden, self._share)
        return (hidden * mean.rsqrt_()).mul_(weight)

    def _mask(self, asked: Tensor, width: int, dtype: torch.dtype) -> Tensor:
        """The attention mask, added to the scores: ``[rows, 1, shared * queries, width]``."""
        rows, queries = asked.shape
        unseen = self._columns[:width] > asked[:, None, None, :, None]
        mask = torch.zeros(unseen.shape, dtype=dtype, device=asked.device).masked_fill_(unseen, float("-inf"))
        return mask.expand(rows, 1, self._shared, queries, width).reshape(rows, 1, -1, width)

    def _projected(self, hidden: Tensor, weights: _Layer) -> Tensor:
        """Queries, keys and values, ``[tokens, heads, head_dim]``."""
        mixed = weights.project(self._normed(hidden, weights.first_norm), weights.project_bias)
        mixed = mixed.view(hidden.shape[0], self._heads + 2 * self._slots.kv_heads, -1)
        if weights.query_norm is None or weights.key_norm is None:
            return mixed
        parts = mixed.split([self._heads, self._slots.kv_heads, self._slots.kv_heads], dim=1)
        queries, keys = self._normed(parts[0], weights.query_norm), self._normed(parts[1], weights.key_norm)
        return torch.cat([queries, keys, parts[2]], dim=1)

    def _attention(
        self, queries: Tensor, cached: Tensor, mask: Tensor, spread: Tensor | None, gathered: Tensor | None
    ) -> Tensor:
        """The attention output, ``[tokens, heads * head_dim]``."""
        tokens, _, size = queries.shape
        rows, groups = cached.shape[0], self._slots.kv_heads
        if spread is not None:
            queries = queries[spread]
        # Heads that share keys are queries of the same product: keys are not repeated.
        asked = queries.reshape(rows, -1, groups, self._shared, size).permute(0, 2, 3, 1, 4)
        found = functional.scaled_dot_product_attention(
            asked.reshape(rows, groups, -1, size), cached[:, :groups], cached[:, groups:], attn_mask=mask
        )
        found = found.view(rows, groups, self._shared, -1, size).permute(0, 3, 1, 2, 4)
        found = found.reshape(-1, groups * self._shared * size)
        return (found if gathered is None else found[gathered]).view(tokens, -1)


def _spread(sizes: list[int], device: torch.device) -> tuple[Tensor, Tensor]:
    """The token index for each place of the padded rows, and the place of each token in those rows."""
    longest = max(sizes)
    ends = accumulate(sizes)
    table = [
        # Padding, on the left, repeats the row's last token.
        [end - 1] * (longest - size) + list(range(end - size, end))
        for end, size in zip(ends, sizes, strict=True)
    ]
    places = [row * longest + longest - size + at for row, size in enumerate(sizes) for at in range(size)]
    return torch.tensor(table, device=device), torch.tensor(places, device=device)


def _layer(layer: Any) -> _Layer:
    attention, mlp = layer.self_attn, layer.mlp
    inputs = (attention.q_proj, attention.k_proj, attention.v_proj)
    biases = [module.bias for module in inputs if module.bias is not None]
    return _Layer(
        first_norm=layer.input_layernorm.weight,
        project=product(*inputs),
        project_bias=torch.cat(biases) if biases else None,
        query_norm=attention.q_norm.weight if hasattr(attention, "q_norm") else None,
        key_norm=attention.k_norm.weight if hasattr(attention, "k_norm") else None,
        back=product(attention.o_proj),
        second_norm=layer.post_attention_layernorm.weight,
        widen=product(mlp.gate_proj, mlp.up_proj),
        narrow=product(mlp.down_proj),
    )
