"""Which token comes next?

The random number of a token depends on the request's seed and the token's place in the answer
alone, so a sampled text does not depend on when it was written or beside what.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import msgspec
import torch
from torch import Tensor

#: Likeliest tokens that are looked at before everything is sorted.
_TOP: Final = 128


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """How one token is to be chosen."""

    temperature: float
    top_p: float
    seed: int
    #: Place in the answer, from 0.
    index: int


def uniform(seed: int, index: int) -> float:
    """A number in [0, 1) that depends on seed and place alone."""
    drawn = hashlib.blake2b(f"{seed}:{index}".encode(), digest_size=8).digest()
    return (int.from_bytes(drawn, "big") >> 11) / (1 << 53)


def pick(logits: Tensor, choices: Sequence[Choice]) -> list[int]:
    """The next token of each row.

    Args:
        logits: ``[batch, vocabulary]``, float32; forbidden tokens are ``-inf``.
        choices: one per row.
    """
    greedy: list[int] = logits.argmax(dim=-1).tolist()
    drawn = [row for row, choice in enumerate(choices) if choice.temperature > 0]
    if drawn:
        for row, token in zip(drawn, _draw(logits[drawn], [choices[row] for row in drawn]), strict=True):
            greedy[row] = token
    return greedy


def _draw(logits: Tensor, choices: Sequence[Choice]) -> list[int]:
    device = logits.device
    heat = torch.tensor([choice.temperature for choice in choices], device=device)[:, None]
    keep = torch.tensor([choice.top_p for choice in choices], device=device)[:, None]
    luck = torch.tensor(
        [uniform(choice.seed, choice.index) for choice in choices], dtype=torch.float64, device=device
    )[:, None]
    scaled = logits / heat
    total = scaled.logsumexp(dim=-1, keepdim=True)
    top = min(_TOP, logits.shape[-1])
    values, tokens = scaled.topk(top, dim=-1)
    shares = (values - total).exp().double().cumsum(dim=-1)
    if top < logits.shape[-1] and bool((shares[:, -1:] < keep).any()):
        values, tokens = scaled.sort(dim=-1, descending=True)
        shares = (values - total).exp().double().cumsum(dim=-1)
    # The nucleus ends with the token that reaches top_p.
    inside = (shares < keep).sum(dim=-1, keepdim=True).clamp(max=shares.shape[-1] - 1)
    mass = shares.gather(-1, inside)
    place = (shares <= luck * mass).sum(dim=-1, keepdim=True).minimum(inside)
    chosen: list[int] = tokens.gather(-1, place)[:, 0].tolist()
    return chosen
