"""Prefix cache: prompts that begin alike are read once.

A row of the KV cache keeps its contents when its request ends, until another request takes the row.
A new request copies the keys and values of its beginning from the row that has most of it.  It needs
no memory of its own, and holds at most as many texts as there are rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from infra.engine.sequence import Leader

if TYPE_CHECKING:
    from infra.engine.kv_cache import KvCache
    from infra.engine.sequence import ActiveSequence

#: Tokens from which a copy is faster than reading.
_WORTH: Final = 16


class PrefixCache:
    """What each row of the KV cache holds.

    Args:
        slots: the rows.
        rows: their number.
        reuse: copy beginnings; without it each prompt is read whole.
    """

    def __init__(self, slots: KvCache, rows: int, *, reuse: bool) -> None:
        self._slots = slots
        self._reuse = reuse
        #: Tokens whose keys and values each row has, from its first position.
        self._held: list[list[int]] = [[] for _ in range(rows)]
        #: When each row was last read from or begun, in beginnings.
        self._used = [0] * rows
        self._beginnings = 0

    def begin(self, rows: Sequence[ActiveSequence]) -> int:
        """Prepare the rows that have not begun; the number of tokens that they need not read.

        A row begins after its leader has read the common beginning, or has left.

        Args:
            rows: those in use; their places are their rows of the cache.
        """
        total = 0
        for slot, row in enumerate(rows):
            leader = row.leader
            if row.begun or (leader and leader.sequence in rows and leader.sequence.length < leader.length):
                continue
            reused = self._prepare(slot, row.pending, active=len(rows))
            row.took(reused)
            row.begun = True
            total += reused
        return total

    def took(self, slot: int, tokens: Sequence[int]) -> None:
        """Note that a row has the keys and values of further tokens."""
        self._held[slot].extend(tokens)

    def swap(self, slot: int, other: int) -> None:
        """Exchange the contents of two rows."""
        held, used = self._held, self._used
        self._slots.swap(slot, other, max(len(held[slot]), len(held[other])))
        held[slot], held[other] = held[other], held[slot]
        used[slot], used[other] = used[other], used[slot]

    def leader(self, row: ActiveSequence, others: Sequence[ActiveSequence]) -> Leader | None:
        """The request that will read more of the row's beginning than any row holds yet."""
        if not self._reuse or not others:
            return None
        length, other = max(
            ((shared_length(other.task.prompt, row.pending[:-1]), other) for other in others),
            key=lambda each: each[0],
        )
        _, held = self._longest(row.pending)
        return Leader(sequence=other, length=length) if length >= held + _WORTH else None

    def _prepare(self, slot: int, prompt: Sequence[int], *, active: int) -> int:
        self._beginnings += 1
        source, length = self._longest(prompt)
        self._used[source] = self._beginnings if length else self._used[source]
        if source != slot or length < len(self._held[slot]):
            self._keep(slot, active)
        if source != slot:
            self._slots.copy(source, slot, length)
        self._held[slot] = list(prompt[:length])
        self._used[slot] = self._beginnings
        return length

    def _longest(self, prompt: Sequence[int]) -> tuple[int, int]:
        """The row that holds most of a prompt's beginning, and how much: 0, if it is not worth a copy."""
        if not self._reuse:
            return 0, 0
        lengths = [shared_length(held, prompt[:-1]) for held in self._held]
        longest = max(lengths)
        return lengths.index(longest), longest if longest >= _WORTH else 0

    def _keep(self, slot: int, active: int) -> None:
        """Move a row's contents to the free row that was used least recently, if that was before."""
        free = range(active, len(self._held))
        if not self._reuse or not free:
            return
        oldest = min(free, key=lambda other: self._used[other])
        if self._used[oldest] < self._used[slot]:
            self._slots.copy(slot, oldest, len(self._held[slot]))
            self._held[oldest], self._used[oldest] = self._held[slot], self._used[slot]


def shared_length(first: Sequence[int], second: Sequence[int]) -> int:
    """The number of tokens with which both begin."""
    low, high = 0, min(len(first), len(second))
    first, second = list(first[:high]), list(second[:high])
    while low < high:
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
