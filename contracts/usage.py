"""Provider calls: who was asked, how each went, and the tokens they took."""

from __future__ import annotations

import msgspec

from contracts.errors import ErrorCode


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens over all attempts; ``None`` where no provider told."""

    prompt: int | None = None
    completion: int | None = None

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(
            prompt=_sum(self.prompt, other.prompt),
            completion=_sum(self.completion, other.completion),
        )


def _sum(a: int | None, b: int | None) -> int | None:
    if a is None:
        return b
    return a if b is None else a + b


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One provider call: who was asked, how it went, and why it was made or left."""

    provider: str
    model: str
    #: ``None`` when it gave a usable completion.
    code: ErrorCode | None = None
    time_ms: float = 0.0
    #: Why this attempt was made or given up, in words.
    why: str = ""
