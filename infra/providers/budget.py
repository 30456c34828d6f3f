"""Budgets of provider calls: reserved before a call, settled after it.

A call is made only after the most that it can take was reserved in every budget that pays for it.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import msgspec

from contracts.errors import ErrorCode
from contracts.policy.budget import NANOS, Refusal, Reservation, Reserve, Settle, Spent
from contracts.policy.budget_scope import BillingContext, budget_scopes, refusal_text
from contracts.ports import CallRefused, ProviderError

if TYPE_CHECKING:
    from contracts.events import Params
    from contracts.policy.budget_scope import BudgetScope, Limits
    from contracts.ports import Accounts, Completion, OnToken, Prompt, Provider
    from infra.providers.reservation import StructuringReservations
    from infra.settings.narrative import OpenAIServer

#: Tokens that a chat template or a server adds around a prompt.
_AROUND: Final = 64
#: Milliseconds before a request's deadline from which on it does not wait for what others have reserved.
_PATIENT_MS: Final = 15_000
#: Milliseconds after a request's deadline in which its last call may still be written down.
_SETTLING_MS: Final = 2000


class Tariff(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider takes for tokens."""

    #: Billionths of money for one token; ``None``: not set.
    prompt: float | None = 0.0
    completion: float | None = 0.0
    #: It may read the schema once more beside the prompt.
    reads_schema: bool = False
    #: Where its prices are set.
    variable: str = ""

    @classmethod
    def of(cls, server: OpenAIServer, variable: str) -> Tariff:
        """A server's own: one price that is left out is none, as for what its answers cost."""
        prompt, completion = server.price_prompt, server.price_completion
        if prompt is None and completion is None:
            return cls(prompt=None, completion=None, reads_schema=True, variable=variable)
        return cls(
            prompt=(prompt or 0.0) / 1000 * NANOS,
            completion=(completion or 0.0) / 1000 * NANOS,
            reads_schema=True,
            variable=variable,
        )

    def spent(self, prompt: int, completion: int, amount: float | None = None) -> Spent:
        """What tokens come to.

        Args:
            prompt: tokens read.
            completion: tokens written.
            amount: money, if the provider reports it.
        """
        priced = prompt * (self.prompt or 0.0) + completion * (self.completion or 0.0)
        nanos = priced if amount is None else amount * NANOS
        return Spent(tokens=prompt + completion, nanos=math.ceil(nanos))


#: Providers on this machine.
FREE: Final = Tariff()


class Budgeted:
    """A provider whose calls are paid from budgets; without a cap it costs nothing.

    Args:
        provider: who is asked.
        accounts: keeps the budgets' accounts.
        limits: what the operator allows.
        tariff: what the provider takes.
        clock: seconds since the epoch.
        ahead: takes note of what stays reserved for the next call.
        task: helper task that the calls are for, whose reservations are apart from the request's own; empty: none.
    """

    def __init__(
        self,
        provider: Provider,
        *,
        accounts: Accounts,
        limits: Limits,
        tariff: Tariff = FREE,
        ahead: StructuringReservations | None = None,
        task: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = provider.name
        self.model = provider.model
        self._provider = provider
        self._accounts = accounts
        self._limits = limits
        self._tariff = tariff
        self._ahead = ahead
        self._suffix = f":{task}" if task else ""
        self._clock = clock

    async def generate(
        self,
        prompt: Prompt,
        params: Params,
        schema: Mapping[str, Any] | None = None,
        on_token: OnToken | None = None,
    ) -> Completion:
        """Reserve, ask, settle; the port's contract.

        Raises:
            ProviderError: the provider's own; ``GEN_BUDGET_EXCEEDED`` or ``GEN_RATE_LIMITED`` without a call.
            Unavailable: the accounts cannot be reached; no call was made.
        """
        spender = prompt.spender or BillingContext()
        now_ms = int(self._clock() * 1000)
        paid = budget_scopes(self._limits, spender, now_ms)
        if not paid:
            return await self._provider.generate(prompt, params, schema, on_token)
        self._priced(paid)
        left_ms = spender.deadline_at_ms - now_ms
        if left_ms <= 0:
            # A late replay, or an event of a build that did not know budgets.
            left_ms = int(params.timeout_s * 1000)
        # Past the deadline the answer is not needed, and its reservation was released.
        params = msgspec.structs.replace(params, timeout_s=min(params.timeout_s, left_ms / 1000))
        call = _Call(
            accounts=self._accounts,
            key=f"{prompt.request_id}:{prompt.attempt}{self._suffix}",
            paid=paid,
            until_ms=now_ms + left_ms + _SETTLING_MS,
            patient=left_ms >= _PATIENT_MS,
        )
        ahead = self._tariff.spent(spender.ahead.prompt or 0, spender.ahead.completion or 0)
        most = self._tariff.spent(self._read(prompt, schema), params.max_tokens)
        await call.reserve(most + ahead)
        if self._ahead is not None:
            self._ahead.taken(prompt.request_id)
        heard = False

        def hear(text: str) -> None:
            nonlocal heard
            heard = True
            if on_token is not None:
                on_token(text)

        try:
            done = await self._provider.generate(prompt, params, schema, hear)
        except ProviderError as error:
            # What an interrupted call took is unknown: charge the most that it could.
            begun = heard or error.begun or error.code is ErrorCode.GEN_TIMEOUT
            await call.settle(most if begun else Spent())
            raise
        except BaseException:
            # Settled without waiting: the cancelled caller does not wait either.
            call.settle(most)
            raise
        settled = call.settle(self._took(done, most), keep=ahead)
        if self._ahead is not None and ahead != Spent():
            self._ahead.keep(prompt.request_id, call.back, until_ms=call.until_ms)
        await settled
        return done

    def _read(self, prompt: Prompt, schema: Mapping[str, Any] | None) -> int:
        """Tokens of a prompt at most: each is at least one byte of it."""
        size = max(len(text.encode(errors="replace")) for text in (prompt.text, prompt.compact)) + _AROUND
        if schema is not None and self._tariff.reads_schema:
            size += len(msgspec.json.encode(schema))
        return size

    def _took(self, done: Completion, most: Spent) -> Spent:
        """What a call took; the most that it could where the provider does not report it."""
        prompt, completion = done.tokens.prompt, done.tokens.completion
        if prompt is not None and completion is not None:
            return self._tariff.spent(prompt, completion, done.amount)
        nanos = most.nanos if done.amount is None else math.ceil(done.amount * NANOS)
        return Spent(tokens=most.tokens, nanos=nanos)

    def _priced(self, paid: tuple[BudgetScope, ...]) -> None:
        """Refuse a call without prices where cost is capped."""
        if self._tariff.prompt is None and any(purse.cap.nanos is not None for purse in paid):
            raise CallRefused(
                ErrorCode.GEN_PROVIDER_UNAVAILABLE,
                f"{self.name} is not asked: cost is capped, but its prices are not set; set "
                f"{self._tariff.variable}__PRICE_PROMPT and __PRICE_COMPLETION, 0 if it is free",
            )


class _Call:
    """One call's room in all budgets that it is paid from."""

    def __init__(
        self, *, accounts: Accounts, key: str, paid: tuple[BudgetScope, ...], until_ms: int, patient: bool
    ) -> None:
        self._accounts = accounts
        self._key = key
        self._paid = paid
        self.until_ms = until_ms
        self._patient = patient
        self._run = uuid4().hex[:12]
        self._taken: list[BudgetScope] = []

    async def reserve(self, most: Spent) -> None:
        """Reserve in one budget after the other; nothing stays reserved where one of them refuses."""
        try:
            for purse in self._paid:
                self._taken.append(purse)
                refusal = await self._reserved(purse, most)
                if refusal is not None:
                    self._taken.pop()
                    await self._back()
                    raise self._refused(purse, refusal)
        except asyncio.CancelledError:
            self._back()
            raise

    def _refused(self, purse: BudgetScope, why: Refusal) -> CallRefused:
        if purse.rate:
            return CallRefused(ErrorCode.GEN_RATE_LIMITED, refusal_text(purse, why))
        # Most of what is reserved comes back within seconds; what is spent does not.
        held_up = why.spent + why.need <= why.cap
        return CallRefused(
            ErrorCode.GEN_BUDGET_EXCEEDED, refusal_text(purse, why), retryable=held_up and self._patient
        )

    async def _reserved(self, purse: BudgetScope, most: Spent) -> Refusal | None:
        # A generation counts until its minute is over, whatever becomes of it.
        need = Spent(generations=1) if purse.rate else most
        until_ms = purse.ends_ms if purse.rate else self.until_ms
        hold = Reservation(most=need, until_ms=until_ms, run=self._run)
        change = Reserve(key=self._key, hold=hold, cap=purse.cap)
        return await self._accounts.change(purse.name, change, ends_ms=purse.ends_ms)

    def settle(self, used: Spent, *, keep: Spent | None = None) -> Awaitable[Any]:
        """Record what the call took; sent at once, whether it is awaited or not."""
        done = Settle(key=self._key, run=self._run, used=used, keep=keep or Spent())
        return self._change_all([purse for purse in self._taken if not purse.rate], done)

    def back(self) -> Awaitable[Any]:
        """Release what is still reserved for this call."""
        return self.settle(Spent())

    def _back(self) -> Awaitable[Any]:
        return self._change_all(self._taken, Settle(key=self._key, run=self._run))

    def _change_all(self, some: list[BudgetScope], change: Settle) -> Awaitable[Any]:
        changes = [self._accounts.change(purse.name, change, ends_ms=purse.ends_ms) for purse in some]
        return asyncio.gather(*changes)
