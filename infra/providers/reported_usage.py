"""Usage that a server reports with its answer, without the numbers that cannot be true.

They go into the accounts of budgets: a negative or missing count would lift a cap, an absurd one would exhaust it
for everybody.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec

from contracts.usage import Tokens

#: Tokens beyond what was sent and asked for that a server may count: templates and tools of its own, and
#: reasoning that it does not show.
MARGIN: Final = 262_144
#: Money that one call may cost at most, where no price says more closely.
MAX_AMOUNT: Final = 1000.0
#: How many times what its prices come to a call may cost.
_DEARER: Final = 10


class Most(msgspec.Struct, frozen=True, kw_only=True):
    """What a call can take at most."""

    #: Tokens.
    prompt: int
    completion: int
    #: Money.
    amount: float = MAX_AMOUNT

    @classmethod
    def of(
        cls, size: int, max_tokens: int, price_prompt: float | None, price_completion: float | None
    ) -> Most:
        """The bounds of one call.

        Args:
            size: bytes that were sent; each token is at least one of them.
            max_tokens: that were asked for.
            price_prompt: money for 1,000 prompt tokens.
            price_completion: money for 1,000 tokens of the answer.
        """
        prompt, completion = size + MARGIN, max_tokens + MARGIN
        priced = (prompt * (price_prompt or 0.0) + completion * (price_completion or 0.0)) / 1000 * _DEARER
        # Prices may be of one provider behind a gateway, and small ones are rounded.
        return cls(prompt=prompt, completion=completion, amount=max(1.0, priced) if priced else MAX_AMOUNT)


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """What a server's numbers say."""

    tokens: Tokens = Tokens()
    #: Money; ``None`` if the server does not report it.
    amount: float | None = None
    #: What cannot be true, in words.
    doubts: tuple[str, ...] = ()


def counted(usage: Any, most: Most, *, text: bool) -> Counted:
    """Read ``usage`` of an answer; what cannot be true is unknown, and reported.

    Args:
        usage: the field's value, of any type.
        most: what the call can take at most.
        text: whether the answer has text, which takes a token at least, as each prompt does.

    Source: ``usage.cost`` is OpenRouter's field; the protocol itself has none.
    """
    if usage is None:
        return Counted()
    if not isinstance(usage, Mapping):
        return Counted(doubts=("its usage is no object: tokens unknown",))
    fields = cast("Mapping[str, Any]", usage)
    doubts: list[str] = []

    def count(name: str, least: int, limit: int) -> int | None:
        value = fields.get(name)
        if value is None or (type(value) is int and least <= value <= limit):
            return value
        doubts.append(f"{name} of {_shown(value)} cannot be: unknown")
        return None

    tokens = Tokens(
        prompt=count("prompt_tokens", 1, most.prompt),
        completion=count("completion_tokens", int(text), most.completion),
    )
    cost = fields.get("cost")
    if cost is not None and not _can_be(cost, most.amount):
        doubts.append(f"cost of {_shown(cost)} cannot be: unknown")
        cost = None
    return Counted(tokens=tokens, amount=None if cost is None else float(cost), doubts=tuple(doubts))


def _can_be(cost: Any, most: float) -> bool:
    return type(cost) in {int, float} and math.isfinite(cost) and 0 <= cost <= most


def _shown(value: Any) -> str:
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    text = repr(value)
    return text if len(text) <= 30 else f"{text[:30]}…"  # noqa: PLR2004 - for people
