"""Sampling of the next token.

The random number of a token depends on the request's seed and the token's place in the answer
alone, and every row is drawn by itself, so a sampled text does not depend on when it was written or
beside what.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
import torch
from torch import Tensor

#: Number of likeliest tokens that are fetched from a device before the whole row.
_TOP: Final = 128

_Row = np.ndarray[Any, np.dtype[np.float32]]


class SamplingRule(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters for the choice of one token."""

    temperature: float
    top_p: float
    seed: int
    #: Place in the answer, from 0.
    index: int


def uniform(seed: int, index: int) -> float:
    """A number in [0, 1) that depends on seed and place alone."""
    drawn = hashlib.blake2b(f"{seed}:{index}".encode(), digest_size=8).digest()
    return (int.from_bytes(drawn, "big") >> 11) / (1 << 53)


def pick(logits: Tensor, choices: Sequence[SamplingRule]) -> list[int]:
    """The next token of each row.

    Args:
        logits: ``[batch, vocabulary]``, float32; forbidden tokens are ``-inf``.
        choices: one per row.
    """
    chosen: list[int] = logits.argmax(dim=-1).tolist()
    drawn = [row for row, choice in enumerate(choices) if choice.temperature > 0]
    if not drawn:
        return chosen
    hot = [choices[row] for row in drawn]
    heat = torch.tensor([choice.temperature for choice in hot], device=logits.device)[:, None]
    scaled = logits if len(drawn) == len(choices) else logits[drawn]
    shares = (scaled - scaled.amax(dim=-1, keepdim=True)).div_(heat).exp_()
    tokens = [*map(_draw, shares.numpy(), hot)] if shares.device.type == "cpu" else _fetched(shares, hot)
    for row, token in zip(drawn, tokens, strict=True):
        chosen[row] = token
    return chosen


def _draw(shares: _Row, choice: SamplingRule) -> int:
    """A token of the nucleus: the likeliest ones, up to the one that reaches ``top_p`` (Holtzman 2019)."""
    if choice.top_p >= 1:
        return _among(shares.cumsum(dtype=np.float64), choice)
    total = float(shares.sum(dtype=np.float64))
    # All tokens below this together are less than what the nucleus leaves out: only the others have
    # to be sorted, some dozens if the distribution is narrow.
    tokens = np.flatnonzero(shares > (1 - choice.top_p) * total / len(shares))
    return int(tokens[_place(shares[tokens], total, choice)])


def _place(shares: _Row, total: float, choice: SamplingRule) -> int:
    order = np.argsort(-shares, kind="stable")
    reached = shares[order].cumsum(dtype=np.float64)
    last = min(int(np.searchsorted(reached, choice.top_p * total)), len(reached) - 1)
    return int(order[_among(reached[: last + 1], choice)])


def _among(reached: np.ndarray[Any, np.dtype[np.float64]], choice: SamplingRule) -> int:
    """The index at which the cumulative probability exceeds the random number."""
    last = int(np.searchsorted(reached, reached[-1]))
    luck = uniform(choice.seed, choice.index) * reached[-1]
    return min(int(np.searchsorted(reached, luck, side="right")), last)


def _fetched(shares: Tensor, choices: Sequence[SamplingRule]) -> list[int]:
    """The likeliest tokens from a device, or the whole row if they do not suffice."""
    totals: list[float] = shares.double().sum(dim=-1).tolist()
    values, tokens = (part.cpu() for part in shares.topk(min(_TOP, shares.shape[-1]), dim=-1))
    chosen: list[int] = []
    for row, choice in enumerate(choices):
        top = values[row].numpy()
        if top.sum(dtype=np.float64) >= choice.top_p * totals[row]:
            chosen.append(int(tokens[row, _place(top, totals[row], choice)]))
        else:
            chosen.append(_draw(shares[row].cpu().numpy(), choice))
    return chosen
