"""Is there room for a call beside what is spent and what is reserved already?

All arithmetic is in whole numbers, so that sums are exact: tokens, generations, and money in billionths.
"""

from __future__ import annotations

from typing import Final, Literal, Self

import msgspec

#: Billionths in one unit of money.
NANOS: Final = 10**9

Unit = Literal["tokens", "nanos", "generations"]
_UNITS: Final[tuple[Unit, ...]] = ("tokens", "nanos", "generations")


class Spent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a call takes, or several of them together."""

    tokens: int = 0
    #: Money, in billionths.
    nanos: int = 0
    #: Generations of nodes that are generated anew each time.
    generations: int = 0

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            tokens=self.tokens + other.tokens,
            nanos=self.nanos + other.nanos,
            generations=self.generations + other.generations,
        )

    def __mul__(self, times: int) -> Spent:
        return Spent(
            tokens=self.tokens * times, nanos=self.nanos * times, generations=self.generations * times
        )


class Cap(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The most that may be spent in one window; ``None``: as much as there is."""

    tokens: int | None = None
    nanos: int | None = None
    generations: int | None = None

    def __bool__(self) -> bool:
        return self != Cap()

    @classmethod
    def of(cls, tokens: int | None, cost: float | None) -> Self:
        """The cap that people write: tokens, and money in the unit of the servers' prices."""
        return cls(tokens=tokens, nanos=None if cost is None else round(cost * NANOS))

    def under(self, other: Cap) -> Cap:
        """The stricter of two caps, unit by unit."""
        return Cap(**{unit: _least(getattr(self, unit), getattr(other, unit)) for unit in _UNITS})


class Reservation(msgspec.Struct, frozen=True, kw_only=True):
    """What is reserved for a request's attempt until its call has ended."""

    most: Spent
    #: When it comes back by itself, ms since the epoch.
    until_ms: int
    #: Who reserved it: one that took over a dead worker's reservation is another.
    run: str


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """One budget in one window."""

    spent: Spent = Spent()
    #: By ``request:attempt``.
    held: dict[str, Reservation] = {}
    #: The cap that was applied last, for people.
    cap: Cap = Cap()
    #: Number of the last write of each process: one that got no answer can tell whether it was stored.
    writes: dict[str, int] = {}

    def reserved(self, now_ms: int, *, beside: str | None = None) -> Spent:
        """What is reserved and has not expired.

        Args:
            now_ms: ms since the epoch.
            beside: a reservation that is left out.
        """
        held = [one.most for key, one in self.held.items() if one.until_ms > now_ms and key != beside]
        return sum(held, Spent())


class Reserve(msgspec.Struct, frozen=True, kw_only=True):
    """Keep room for a call; a second time for the same key takes the place of the first."""

    key: str
    hold: Reservation
    cap: Cap


class Settle(msgspec.Struct, frozen=True, kw_only=True):
    """Write down what a call took, and give back what is left of its reservation."""

    key: str
    run: str
    used: Spent = Spent()
    #: What stays reserved, for the call that follows.
    keep: Spent = Spent()


#: What can happen to an account.
Change = Reserve | Settle


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why there is no room."""

    unit: Unit
    cap: int
    spent: int
    reserved: int
    need: int


def reserve(account: Account, asked: Reserve, now_ms: int) -> Account | Refusal:
    """The account with room for a call, unless with all other reservations it would pass the cap.

    Args:
        account: before it.
        asked: the most that the call can take, and the cap.
        now_ms: ms since the epoch.
    """
    reserved = account.reserved(now_ms, beside=asked.key)
    for unit in _UNITS:
        cap, need = getattr(asked.cap, unit), getattr(asked.hold.most, unit)
        spent, others = getattr(account.spent, unit), getattr(reserved, unit)
        if cap is not None and need and spent + others + need > cap:
            return Refusal(unit=unit, cap=cap, spent=spent, reserved=others, need=need)
    held = {**_alive(account, now_ms), asked.key: asked.hold}
    return msgspec.structs.replace(account, held=held, cap=asked.cap)


def settle(account: Account, done: Settle, now_ms: int) -> Account:
    """The account after a call; what it took counts even when its reservation has expired.

    A reservation that another run has taken over is left to that run; where that leaves nothing to write,
    the account is the same object.
    """
    held = _alive(account, now_ms)
    mine = held.get(done.key)
    if done.used == Spent() and (mine is None or mine.run != done.run):
        return account
    if mine is not None and mine.run == done.run:
        del held[done.key]
        if done.keep != Spent():
            held[done.key] = msgspec.structs.replace(mine, most=done.keep)
    return msgspec.structs.replace(account, spent=account.spent + done.used, held=held)


def _alive(account: Account, now_ms: int) -> dict[str, Reservation]:
    return {key: hold for key, hold in account.held.items() if hold.until_ms > now_ms}


def _least(one: int | None, other: int | None) -> int | None:
    return one if other is None else other if one is None else min(one, other)
