"""Choice of the next tokens: masks of grammars, penalties on repetition, then the draw."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from infra.engine.sampling import pick
from infra.engine.task import EngineError, Stats

if TYPE_CHECKING:
    from infra.engine.grammar import Grammars
    from infra.engine.sequence import ActiveSequence


class TokenChoice:
    """Chooses the next token of every row of a forward pass.

    Args:
        grammars: allowed tokens of rows with a schema.
    """

    def __init__(self, grammars: Grammars) -> None:
        self._grammars = grammars

    def choose(
        self, rows: Sequence[ActiveSequence], logits: torch.Tensor, stats: Stats
    ) -> list[int | EngineError]:
        """Choose the next token of each row, or say why its grammar allows none.

        Args:
            rows: the rows.
            logits: one line for each row; they are changed.
            stats: gets the seconds in grammars and in the draw.
        """
        began = time.perf_counter()
        masks: list[np.ndarray[Any, np.dtype[np.bool_]]] = []
        at: list[int] = []
        failed: dict[int, EngineError] = {}
        for number, row in enumerate(rows):
            if row.matcher is None:
                continue
            try:
                masks.append(self._grammars.allowed(row.matcher))
                at.append(number)
            except EngineError as error:
                failed[number] = error
        if at:
            allowed = torch.from_numpy(np.stack(masks)).to(logits.device)
            logits[at] = logits[at].masked_fill(~allowed, float("-inf"))
        masked = time.perf_counter()
        stats.grammar_s += masked - began
        for number, row in enumerate(rows):
            if row.repetition is not None:
                repeated, penalties = row.repetition.penalties()
                logits[number, torch.from_numpy(repeated)] -= torch.from_numpy(penalties).to(logits.device)
        tokens = pick(logits, [row.choice for row in rows])
        stats.sampling_s += time.perf_counter() - masked
        return [failed.get(number, token) for number, token in enumerate(tokens)]
