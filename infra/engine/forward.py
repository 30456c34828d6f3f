"""Batched forward pass over several sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

import torch
from torch import Tensor

from infra.engine.kv_cache import ForwardBatch, KvCache, View
from infra.engine.ragged import Ragged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedModel

#: Strict mode reads prompts in pieces of these many tokens, so that shapes repeat.
_PIECES: Final = (16, 64, 256)
#: Number of tokens on which a pass is compared with the model's own.
_PROBE: Final = 9
#: Largest relative difference between the two; bfloat16 alone causes some 0.01.
_SAME: Final = 0.05


class Pass(Protocol):
    """A forward pass through the model."""

    #: Rows need not be equally long.
    ragged: bool

    def __call__(self, batch: ForwardBatch) -> Tensor:
        """The logits after each row's last token, ``[rows, vocabulary]``."""
        ...


class Padded:
    """The model of transformers, its rows padded to one length; implements :class:`Pass`.

    For the models that do not use transformers' attention interface.

    Args:
        model: of transformers, with torch's attention.
        slots: keys and values.
    """

    ragged = False

    def __init__(self, model: PreTrainedModel, slots: KvCache) -> None:
        self._model = model
        self._slots = slots
        self._columns = torch.arange(slots.max_len, device=slots.device)
        model.set_attn_implementation("sdpa")

    def __call__(self, batch: ForwardBatch) -> Tensor:
        """The logits after each row's last token, ``[rows, vocabulary]``."""
        positions = torch.tensor(batch.places, device=self._slots.device)
        # Padding attends from position 0; its output is discarded.
        asked_from = positions.masked_fill(positions == self._slots.max_len, 0)
        view: Any = View(self._slots, batch.slots, positions, batch.width)
        logits: Tensor = self._model(
            input_ids=torch.tensor(batch.tokens, device=self._slots.device),
            attention_mask=self._columns[: batch.width] <= asked_from[:, None, :, None],
            position_ids=asked_from,
            past_key_values=view,
            use_cache=True,
            logits_to_keep=1,
        ).logits
        return logits[:, -1]


class Forward:
    """Runs the model over rows of the slots.

    Args:
        model: of transformers.
        slots: keys and values.
        rows: their number.
        strict: fixed shapes regardless of other rows.
    """

    def __init__(self, model: PreTrainedModel, slots: KvCache, *, rows: int, strict: bool) -> None:
        self._model = model
        self._slots = slots
        self._all = rows
        self._strict = strict
        self._pass: Pass = Padded(model, slots)
        if slots.device.type == "cuda":
            # torch prefers it on some GPUs, but it builds a plan for each shape, which takes some 30 ms, and keeps all
            # of them: here the width grows with every token.  The setting is the process's.
            torch.backends.cuda.enable_cudnn_sdp(enabled=False)

    def start(self, tokens: Sequence[int]) -> None:
        """Choose the pass: the first whose logits, with the cache and in two pieces, are the model's own.

        Args:
            tokens: any that the model knows.

        Raises:
            ValueError: the logits differ; the model needs something that the engine does not support.
        """
        given = (list(tokens) * _PROBE)[:_PROBE]
        own: Tensor = self._model(torch.tensor([given], device=self._slots.device)).logits[0, -1].float()
        problem: Exception | None = None
        for candidate in (Ragged, Padded):
            try:
                self._pass = candidate(self._model, self._slots)
                self([0], [0], [given[:-2]], alone=True)
                found = self([0], [_PROBE - 2], [given[-2:]], alone=True)[0]
            except Exception as error:  # noqa: BLE001 - each model fails in a way of its own
                problem = error
                continue
            difference = float((found - own).norm() / own.norm())
            if difference < _SAME:
                return
            problem = ValueError(
                f"its logits differ by {difference:.3f} from the ones it has without a cache"
            )
        raise problem or ValueError("there is no pass for it")

    def __call__(
        self, rows: Sequence[int], lengths: Sequence[int], tokens: Sequence[Sequence[int]], *, alone: bool
    ) -> Tensor:
        """The logits after each row's last token, ``[rows, vocabulary]`` in float32.

        Args:
            rows: which slots.
            lengths: positions that each has already.
            tokens: what each reads now, at least one.
            alone: the pass is for reading prompts, one row at a time in strict mode.
        """
        scratch = self._slots.max_len
        reads = [
            (slot, list(each), list(range(length, length + len(each))))
            for slot, length, each in zip(rows, lengths, tokens, strict=True)
        ]
        queries = max(len(each) for each in tokens)
        width = max(length + len(each) for length, each in zip(lengths, tokens, strict=True))
        if self._strict:
            width = scratch
            if alone:
                queries = next(size for size in _PIECES if size >= queries)
            else:
                taken = set(rows)
                reads += [(slot, [], []) for slot in range(self._all) if slot not in taken]
        if self._strict or not self._pass.ragged:
            # On the left, so that every row ends with its last token.
            reads = [
                (slot, [0] * (queries - len(each)) + each, [scratch] * (queries - len(each)) + places)
                for slot, each, places in reads
            ]
        order = sorted(range(len(reads)), key=lambda number: reads[number][0])
        logits = self._pass(
            ForwardBatch(
                slots=[reads[number][0] for number in order],
                tokens=[reads[number][1] for number in order],
                places=[reads[number][2] for number in order],
                width=width,
            )
        )
        at = {number: place for place, number in enumerate(order)}
        wanted = [at[number] for number in range(len(rows))]
        if wanted != list(range(len(order))):
            logits = logits[wanted]
        return logits.float()
