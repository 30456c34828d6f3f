"""How do some rows go through the model together?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from infra.engine.cache import Slots, View

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedModel

#: Strict mode reads prompts in pieces of these many tokens, so that shapes repeat.
_PIECES: Final = (16, 64, 256)


class Forward:
    """Runs the unmodified model over rows of the slots.

    Queries are padded on the left, so that every row's last token stands last; padding is written to
    the scratch position and reads position 0.

    Args:
        model: of transformers.
        slots: keys and values.
        rows: how many there are.
        strict: the same shapes whoever else is there.
    """

    def __init__(self, model: PreTrainedModel, slots: Slots, *, rows: int, strict: bool) -> None:
        self._model = model
        self._slots = slots
        self._all = rows
        self._strict = strict
        self._device = slots.keys[0].device
        self._columns = torch.arange(slots.max_len, device=self._device)

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
        queries = max(len(each) for each in tokens)
        width = max(length + len(each) for length, each in zip(lengths, tokens, strict=True))
        slots = list(rows)
        if self._strict:
            width = self._slots.max_len
            if alone:
                queries = next(size for size in _PIECES if size >= queries)
            else:
                slots += [slot for slot in range(self._all) if slot not in set(rows)]
        ids = [[0] * queries for _ in slots]
        scratch = self._slots.max_len
        places = [[scratch] * queries for _ in slots]
        for number, (length, each) in enumerate(zip(lengths, tokens, strict=True)):
            ids[number][queries - len(each) :] = each
            places[number][queries - len(each) :] = range(length, length + len(each))
        order = sorted(range(len(slots)), key=slots.__getitem__)
        positions = torch.tensor([places[number] for number in order], device=self._device)
        # Padding asks from position 0: what it reads and says is thrown away.
        asked_from = positions.masked_fill(positions == scratch, 0)
        mask = self._columns[:width] <= asked_from[:, None, :, None]
        view: Any = View(self._slots, [slots[number] for number in order], positions, width)
        logits: Tensor = self._model(
            input_ids=torch.tensor([ids[number] for number in order], device=self._device),
            attention_mask=mask,
            position_ids=asked_from,
            past_key_values=view,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        back = [order.index(number) for number in range(len(rows))]
        return logits[back].float()
