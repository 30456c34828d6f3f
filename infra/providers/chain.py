"""Chain: providers that are called in turn until one answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from contracts.errors import ErrorCode
from contracts.ports import Completion, ProviderError
from contracts.usage import Attempt, Tokens

if TYPE_CHECKING:
    from contracts.events import Params
    from contracts.ports import OnToken, Prompt, Provider


class Chain:
    """Providers that are asked in turn until one answers; an empty answer counts as none.

    A reader of the tokens gets those of a link that broke off, then those of the next one.

    Args:
        links: at least one, in the order in which they are asked; each has the call's whole time-out.
        clock: seconds, for the time that a call took.
    """

    def __init__(
        self, links: tuple[Provider, ...], *, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        if not links:
            raise ValueError("a chain needs at least one provider")
        self.name = ", ".join(link.name for link in links)
        self.model = ", ".join(link.model for link in links)
        self._links = links
        self._clock = clock

    async def generate(
        self,
        prompt: Prompt,
        params: Params,
        schema: Mapping[str, Any] | None = None,
        on_token: OnToken | None = None,
    ) -> Completion:
        """Ask one after the other; the port's contract.

        Raises:
            ProviderError: when all failed; with every call, and worth a retry if one of them is.
        """
        calls: list[Attempt] = []
        errors: list[ProviderError] = []
        tokens, amount = Tokens(), None
        empty: tuple[int, Completion] | None = None
        early = msgspec.structs.replace(prompt, has_alternative=True)
        for link in self._links:
            began = self._clock()
            asked = prompt if link is self._links[-1] else early
            try:
                done = await link.generate(asked, params, schema, on_token)
            except ProviderError as error:
                errors.append(error)
                calls += error.attempts or (self._attempt(link, error, began),)
                continue
            tokens += done.tokens
            amount = _sum(amount, done.amount)
            calls += done.attempts
            if done.text.strip():
                return msgspec.structs.replace(done, attempts=tuple(calls), tokens=tokens, amount=amount)
            empty = (len(calls), done)
            calls.append(_nothing(done))
        if empty is None:
            raise _all_failed(errors, tuple(calls))
        index, done = empty
        # The stage that gets the answer writes this attempt.
        del calls[index]
        return msgspec.structs.replace(done, attempts=tuple(calls), tokens=tokens, amount=amount)

    def _attempt(self, link: Provider, error: ProviderError, began: float) -> Attempt:
        spent = (self._clock() - began) * 1000
        return Attempt(provider=link.name, model=link.model, code=error.code, time_ms=spent, why=str(error))


def _nothing(done: Completion) -> Attempt:
    return Attempt(
        provider=done.provider,
        model=done.model,
        code=ErrorCode.GEN_EMPTY_OUTPUT,
        time_ms=done.time_ms,
        why="empty answer",
    )


def _all_failed(errors: list[ProviderError], attempts: tuple[Attempt, ...]) -> ProviderError:
    chosen = next((error for error in errors if error.retryable), errors[-1])
    waits = [error.retry_after_s for error in errors if error.retryable and error.retry_after_s is not None]
    return ProviderError(
        chosen.code,
        "; ".join(map(str, errors)),
        retryable=chosen.retryable,
        attempts=attempts,
        retry_after_s=min(waits, default=None),
    )


def _sum(a: float | None, b: float | None) -> float | None:
    return b if a is None else a if b is None else a + b
