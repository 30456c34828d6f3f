"""Budget accounts in KV bucket ``budgets``, written so that spending never passes a cap.

There is one key per account and window, written by compare-and-set.  The account itself holds the reservations,
so that one write decides.  Changes that wait together are written together: a busy account costs each process
one write at a time, however many calls the process makes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, assert_never
from uuid import uuid4

import msgspec
from understudy_client.tasks import end_tasks

from contracts import bucket_table, retry
from contracts.errors import Unavailable
from contracts.policy import budget
from contracts.policy.budget import Account, Change, Refusal, Reserve, Settle
from contracts.policy.budget_scope import AccountName, parse_account_name
from infra.nats import log

if TYPE_CHECKING:
    from infra.nats.lookup import Lookup
    from infra.nats.multiplexer import RequestMultiplexer

BUCKET: Final = bucket_table.BUDGETS.name
PREFIX: Final = f"$KV.{BUCKET}."
#: Seconds for which an account is kept after the end of its window and of its last reservation.
_KEPT_S: Final = 60
#: Processes whose last write an account remembers: the latest ones.  If an account forgets a process that does
#: not know yet whether its write was stored, the process writes it again.
_REMEMBERED: Final = 64
#: Seconds for the last writes of a process that stops.
_CLOSE_S: Final = 5.0


class LiveAccount(msgspec.Struct, frozen=True, kw_only=True):
    """An account whose window has not ended."""

    named: AccountName
    account: Account


async def current(wire: RequestMultiplexer, now_ms: int) -> list[LiveAccount]:
    """The accounts of the windows that are open now, by name.

    Args:
        wire: an open wire.
        now_ms: ms since the epoch.

    Raises:
        StreamMissing: the bucket does not exist; the topology is not applied.
        Unavailable: the broker does not answer.
    """
    found: list[tuple[str, LiveAccount]] = []
    async for entry in log.read(wire, bucket_table.BUDGETS.stream, f"{PREFIX}>"):
        name = entry.subject.removeprefix(PREFIX)
        read = parse_account_name(name)
        if read is not None and read.ends_ms > now_ms:
            found.append(
                (name, LiveAccount(named=read, account=msgspec.json.decode(entry.body, type=Account)))
            )
    return [kept for _, kept in sorted(found, key=lambda each: each[0])]


class _Waiting:
    """A change that is not written yet."""

    def __init__(self, change: Change, ends_ms: int) -> None:
        self.change = change
        self.ends_ms = ends_ms
        self.future: asyncio.Future[Refusal | None] = asyncio.get_running_loop().create_future()

    def answer(self, refusal: Refusal | None) -> None:
        if not self.future.done():
            self.future.set_result(refusal)

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)

    def give_up(self, error: Unavailable) -> None:
        """Fail a reservation, which expires if it was written after all; spending must be written and goes on waiting."""
        if isinstance(self.change, Reserve):
            self.fail(error)


class KvAccounts:
    """Implements :class:`contracts.ports.KvAccounts`.

    Args:
        wire: calls to the broker.
        lookup: reads from the broker.
        clock: seconds since the epoch.
    """

    def __init__(
        self, *, wire: RequestMultiplexer, lookup: Lookup, clock: Callable[[], float] = time.time
    ) -> None:
        self._wire = wire
        self._lookup = lookup
        self._clock = clock
        self._me = uuid4().hex[:8]
        self._writes = 0
        self._waiting: dict[str, list[_Waiting]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def change(self, name: str, change: Change, *, ends_ms: int) -> Awaitable[Refusal | None]:
        """Change one account; the port's contract.

        Raises:
            Unavailable: when awaited, for a reservation that met no broker.
        """
        one = _Waiting(change, ends_ms)
        if name in self._waiting:
            self._waiting[name].append(one)
        else:
            self._waiting[name] = [one]
            task = asyncio.create_task(self._work(name))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return asyncio.shield(one.future)

    async def close(self) -> None:
        """Write the changes that still wait, as many as the broker takes in a few seconds."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_CLOSE_S)
        await end_tasks(*self._tasks)

    async def _work(self, name: str) -> None:
        try:
            while changes := self._waiting[name]:
                self._waiting[name] = []
                try:
                    await self._commit(name, changes)
                except Exception as error:  # noqa: BLE001 - every waiting caller gets it
                    for one in changes:
                        one.fail(error)
        finally:
            del self._waiting[name]

    async def _commit(self, name: str, changes: list[_Waiting]) -> None:
        """Write changes until they are stored or no caller waits for them."""
        tries = 0
        #: Answers by the number of a write without acknowledgement: it may be stored nevertheless.
        doubtful: dict[int, list[tuple[_Waiting, Refusal | None]]] = {}
        while open_ := [one for one in changes if not one.future.done()]:
            try:
                account, sequence = await self._read(name)
                answers = doubtful.get(account.writes.get(self._me, 0))
                if answers is None:
                    answers = await self._write(name, open_, account, sequence, doubtful)
            except Unavailable as error:
                tries += 1
                for one in (*changes, *self._waiting[name]):
                    one.give_up(error)
                if any(not one.future.done() for one in changes):
                    await asyncio.sleep(retry.backoff(tries, base_s=0.1, cap_s=2.0, key=name))
                continue
            for one, refusal in answers or ():
                one.answer(refusal)

    async def _read(self, name: str) -> tuple[Account, int]:
        found = await self._lookup.last(bucket_table.BUDGETS.stream, PREFIX + name)
        if found is None:
            return Account(), 0
        return msgspec.json.decode(found.body, type=Account), found.sequence

    async def _write(
        self,
        name: str,
        changes: list[_Waiting],
        account: Account,
        sequence: int,
        doubtful: dict[int, list[tuple[_Waiting, Refusal | None]]],
    ) -> list[tuple[_Waiting, Refusal | None]] | None:
        """Write the account; the answers, or ``None`` if another process wrote first."""
        now_ms = int(self._clock() * 1000)
        after, answers = _applied(account, changes, now_ms)
        if after is account:
            return answers
        self._writes += 1
        number = self._writes
        others = [(who, last) for who, last in account.writes.items() if who != self._me]
        writes = {**dict(others[1 - _REMEMBERED :]), self._me: number}
        after = msgspec.structs.replace(after, writes=writes)
        ends_ms = max([changes[0].ends_ms, *(hold.until_ms for hold in after.held.values())])
        headers = {
            "Nats-Expected-Last-Subject-Sequence": str(sequence),
            "Nats-TTL": f"{max(0, ends_ms - now_ms) // 1000 + _KEPT_S}s",
        }
        doubtful[number] = answers
        ack = await self._wire.publish(PREFIX + name, msgspec.json.encode(after), headers)
        if ack.error is None:
            return answers
        del doubtful[number]
        if ack.refused:
            return None
        raise Unavailable(f"the budget's account is not written: {ack.error.description}")


def _applied(
    account: Account, changes: list[_Waiting], now_ms: int
) -> tuple[Account, list[tuple[_Waiting, Refusal | None]]]:
    answers: list[tuple[_Waiting, Refusal | None]] = []
    for one in changes:
        refusal: Refusal | None = None
        match one.change:
            case Reserve():
                after = budget.reserve(account, one.change, now_ms)
                if isinstance(after, Refusal):
                    refusal = after
                else:
                    account = after
            case Settle():
                account = budget.settle(account, one.change, now_ms)
            case _ as never:
                assert_never(never)
        answers.append((one, refusal))
    return account, answers
