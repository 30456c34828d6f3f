"""Token usage and call attempts."""

from __future__ import annotations

import msgspec

from contracts.errors import ErrorCode


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens over all attempts; ``None`` if no provider reported them."""

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
    """One provider call: the provider, the outcome, and the reason."""

    provider: str
    model: str
    #: ``None`` if the completion was usable.
    code: ErrorCode | None = None
    time_ms: float = 0.0
    #: Why this attempt was made or abandoned.
    why: str = ""
