"""Penalty on repetition: a run of tokens that was written before becomes less likely, the more so the longer it is.

The method is known as DRY; llama.cpp has it, too, and :mod:`infra.providers.gguf` uses it with the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

#: Nats for the token that makes a run of :data:`ALLOWED` tokens longer, and the factor for each further token.
MULTIPLIER: Final = 0.8
BASE: Final = 1.75
#: Tokens that a run may have without a penalty.
ALLOWED: Final = 3
#: What no run goes beyond, so that the form of JSON is none; ``Ċ`` is a line feed in tokens of bytes.
_BREAKS: Final = '":*\nĊ'
#: Runs are no longer; the penalty of such a run is beyond any logit.
_LONGEST: Final = 64

Ids = np.ndarray[Any, np.dtype[np.int64]]


@lru_cache(maxsize=4)
def breakers(tokenizer: PreTrainedTokenizerFast) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which tokens end a run, by id."""
    tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    return np.array([any(each in token for each in _BREAKS) for token in tokens])


class Repetition:
    """What one answer has written, and what would repeat it.

    Args:
        ending: which tokens end a run, by id.
        most: tokens that the answer can have.
    """

    def __init__(self, ending: np.ndarray[Any, np.dtype[np.bool_]], most: int) -> None:
        self._ending = ending
        self._written = np.zeros(most, dtype=np.int64)
        self._free = np.zeros(most, dtype=np.bool_)
        self._count = 0
        #: By place: tokens before it that are also the last ones of the answer.
        self._run = np.zeros(most + 1, dtype=np.int64)

    def add(self, tokens: Sequence[int]) -> None:
        """Record what was written; at most as many tokens as the answer can have."""
        for token in tokens:
            count = self._count
            # A model may have more tokens than its tokenizer.
            ends = token < len(self._ending) and bool(self._ending[token])
            if ends:
                self._run[: count + 1] = 0
            else:
                longer = np.minimum(self._run[:count] + 1, _LONGEST)
                self._run[1 : count + 1] = np.where(self._written[:count] == token, longer, 0)
            self._written[count] = token
            self._free[count] = not ends
            self._count = count + 1

    def penalties(self) -> tuple[Ids, np.ndarray[Any, np.dtype[np.float32]]]:
        """Tokens that would go on with a run, each once, and what to take from their logits."""
        runs = self._run[: self._count]
        at = np.flatnonzero((runs >= ALLOWED) & self._free[: self._count])
        found, group = np.unique(self._written[at], return_inverse=True)
        longest = np.zeros(len(found), dtype=np.int64)
        np.maximum.at(longest, group, runs[at])
        return found, (MULTIPLIER * BASE ** (longest - ALLOWED)).astype(np.float32)
