"""Split of an experiment: which arm a unit gets, as a pure function of salt, unit and weights."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import msgspec

#: Hex digits of a unit's pseudonym.
_UNIT_DIGITS: Final = 16
#: The hash counts as a fraction of this.
_WHOLE: Final = 1 << 64


class ExperimentArm(msgspec.Struct, frozen=True, kw_only=True):
    """The arm of an experiment that a request counts for."""

    name: str
    arm: str
    #: Pseudonym of the player, playthrough or request that was split: 16 hex digits, unlike in other experiments.
    unit: str
    #: Version of the split: 12 hex digits, others as soon as arms, weights, settings or requests of it change.
    revision: str


class Treatment(msgspec.Struct, frozen=True, kw_only=True):
    """What an experiment does with one request; travels with its brief."""

    given: ExperimentArm
    #: The provider that writes instead of the routed one; ``None``: the routed one.
    provider: str | None = None
    #: What writes then, in words that change when it does; part of the cache key.
    route: str | None = None
    #: Whether the result counts: not once the experiment has been stopped, nor for replays.
    counts: bool = True

    @property
    def label(self) -> str:
        """Experiment and arm, for what is kept apart by them."""
        return f"{self.given.name}/{self.given.arm}"

    @property
    def counted(self) -> ExperimentArm | None:
        """The arm that the result names; ``None``: the result counts for none."""
        return self.given if self.counts else None


def hash_unit(salt: str, unit: str) -> bytes:
    """SHA-256 of salt and unit, with a character between them that neither has in it."""
    return hashlib.sha256(f"{salt}\x1f{unit}".encode("utf-8", "surrogatepass")).digest()


def name_unit(salt: str, unit: str) -> str:
    """The pseudonym of a unit within an experiment; the last bytes, of which :func:`split` uses none."""
    return hash_unit(salt, unit).hex()[-_UNIT_DIGITS:]


def split(salt: str, unit: str, weights: Sequence[int]) -> int:
    """The index of the arm that a unit gets: each arm a share of the units by its weight.

    Args:
        salt: names the experiment; another salt splits the same units anew.
        unit: the player, playthrough or request.
        weights: of the arms, each at least 1.
    """
    total = sum(weights)
    point = int.from_bytes(hash_unit(salt, unit)[:8], "big") * total // _WHOLE
    for index, weight in enumerate(weights):
        point -= weight
        if point < 0:
            return index
    raise ValueError("the weights of arms must be positive")
