"""Budget arithmetic: spending, reservations and caps of one account.

All amounts are integers, so that sums are exact: tokens, generations, and money in billionths.
"""

from __future__ import annotations

from typing import Final, Literal, Self

import msgspec

#: Billionths in one unit of money.
NANOS: Final = 10**9

Unit = Literal["tokens", "nanos", "generations"]
_UNITS: Final[tuple[Unit, ...]] = ("tokens", "nanos", "generations")


class Spent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Consumption of one call or of several together."""

    tokens: int = 0
    #: Money, in billionths.
    nanos: int = 0
    #: Generations of nodes with strategy ``always``.
    generations: int = 0

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            tokens=self.tokens + other.tokens,
            nanos=self.nanos + other.nanos,
            generations=self.generations + other.generations,
        )


class Cap(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Most that may be consumed in one window; ``None``: unlimited."""

    tokens: int | None = None
    nanos: int | None = None
    generations: int | None = None

    def __bool__(self) -> bool:
        return self != Cap()

    @classmethod
    def of(cls, tokens: int | None, cost: float | None) -> Self:
        """A cap from configured values: tokens, and money in the currency of the prices."""
        return cls(tokens=tokens, nanos=None if cost is None else round(cost * NANOS))

    def under(self, other: Cap) -> Cap:
        """The stricter of two caps, unit by unit."""
        return Cap(**{unit: _minimum(getattr(self, unit), getattr(other, unit)) for unit in _UNITS})


class Reservation(msgspec.Struct, frozen=True, kw_only=True):
    """Amount reserved for a request's attempt until its call has ended."""

    most: Spent
    #: When the reservation expires, ms since the epoch.
    until_ms: int
    #: Id of the run that made the reservation; a run that takes over from a dead worker has another id.
    run: str


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """One budget in one window."""

    spent: Spent = Spent()
    #: Reservations by ``request:attempt``.
    held: dict[str, Reservation] = {}
    #: The cap that was applied last, for listings.
    cap: Cap = Cap()
    #: Number of the last write of each process: a process whose write got no answer can tell whether it was stored.
    writes: dict[str, int] = {}

    def reserved(self, now_ms: int, *, beside: str | None = None) -> Spent:
        """Sum of the reservations that have not expired.

        Args:
            now_ms: ms since the epoch.
            beside: key of a reservation to leave out.
        """
        held = [one.most for key, one in self.held.items() if one.until_ms > now_ms and key != beside]
        return sum(held, Spent())


class Reserve(msgspec.Struct, frozen=True, kw_only=True):
    """Reserve an amount for a call; a second reservation for the same key replaces the first."""

    key: str
    hold: Reservation
    cap: Cap


class Settle(msgspec.Struct, frozen=True, kw_only=True):
    """Record the consumption of a call, and release the rest of its reservation."""

    key: str
    run: str
    used: Spent = Spent()
    #: Amount that stays reserved for the next call.
    keep: Spent = Spent()


#: Changes of an account.
Change = Reserve | Settle


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Reason why a reservation was refused."""

    unit: Unit
    cap: int
    spent: int
    reserved: int
    need: int


def reserve(account: Account, asked: Reserve, now_ms: int) -> Account | Refusal:
    """The account with the reservation added, or a refusal if the total would exceed the cap.

    Args:
        account: the account before the change.
        asked: the most that the call can consume, and the cap.
        now_ms: ms since the epoch.
    """
    reserved = account.reserved(now_ms, beside=asked.key)
    for unit in _UNITS:
        cap, need = getattr(asked.cap, unit), getattr(asked.hold.most, unit)
        spent, others = getattr(account.spent, unit), getattr(reserved, unit)
        if cap is not None and need and spent + others + need > cap:
            return Refusal(unit=unit, cap=cap, spent=spent, reserved=others, need=need)
    held = {**_live_reservations(account, now_ms), asked.key: asked.hold}
    return msgspec.structs.replace(account, held=held, cap=asked.cap)


def settle(account: Account, done: Settle, now_ms: int) -> Account:
    """The account after a call; its consumption counts even if the reservation has expired.

    A reservation that another run has taken over is left alone.  If nothing changes, the same object is returned.
    """
    held = _live_reservations(account, now_ms)
    mine = held.get(done.key)
    if done.used == Spent() and (mine is None or mine.run != done.run):
        return account
    if mine is not None and mine.run == done.run:
        del held[done.key]
        if done.keep != Spent():
            held[done.key] = msgspec.structs.replace(mine, most=done.keep)
    return msgspec.structs.replace(account, spent=account.spent + done.used, held=held)


def _live_reservations(account: Account, now_ms: int) -> dict[str, Reservation]:
    return {key: hold for key, hold in account.held.items() if hold.until_ms > now_ms}


def _minimum(one: int | None, other: int | None) -> int | None:
    return one if other is None else other if one is None else min(one, other)
