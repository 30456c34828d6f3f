"""Circuit breaker: a provider that keeps failing is not called for a while.

As in Michael Nygard's "Release It!": closed, open after a number of failures in a row, half open for a
single call, the probe, after a cool-down.  Calls that come while the probe runs wait for its end.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import msgspec

from contracts.errors import ErrorCode
from contracts.ports import CallRefused, ProviderError

if TYPE_CHECKING:
    from contracts.events import Params
    from contracts.ports import Completion, OnToken, Prompt, Provider

#: Codes that say something about the provider rather than about the request.
_AVAILABILITY: Final = frozenset({ErrorCode.GEN_PROVIDER_UNAVAILABLE, ErrorCode.GEN_TIMEOUT})
#: Calls that wait for the end of one probe; a call beyond them fails at once.
WAITERS: Final = 256


class CircuitState(StrEnum):
    """What happens to the next call."""

    #: It is made.
    CLOSED = "closed"
    #: It fails at once.
    OPEN = "open"
    #: One call, the probe, finds out whether the provider is back; others wait for its end.
    HALF_OPEN = "half_open"


class Circuit(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a provider at one time."""

    state: CircuitState = CircuitState.CLOSED
    #: In a row.
    failures: int = 0
    #: When a call may try again, on the breaker's clock.
    until: float = 0.0
    #: Counts changes of state: a call that began before one says nothing about what came after it.
    epoch: int = 0

    def to(self, state: CircuitState, *, failures: int, until: float = 0.0) -> Circuit:
        """The circuit in another state."""
        return Circuit(state=state, failures=failures, until=until, epoch=self.epoch + 1)


def admitted(circuit: Circuit, now: float) -> Circuit | None:
    """The circuit after a call was let through; ``None`` where it is not."""
    if circuit.state is CircuitState.CLOSED:
        return circuit
    if circuit.state is CircuitState.OPEN and now >= circuit.until:
        return circuit.to(CircuitState.HALF_OPEN, failures=circuit.failures)
    return None


def succeeded(circuit: Circuit) -> Circuit:
    """The circuit after a call to which the provider answered, if only with a refusal."""
    if circuit.state is CircuitState.CLOSED:
        return msgspec.structs.replace(circuit, failures=0)
    return circuit.to(CircuitState.CLOSED, failures=0)


def failed(circuit: Circuit, now: float, *, limit: int, cooldown_s: float) -> Circuit:
    """The circuit after a call that found the provider away.

    Args:
        circuit: before it.
        now: seconds.
        limit: failures in a row that open it.
        cooldown_s: seconds that it stays open.
    """
    failures = circuit.failures + 1
    if circuit.state is CircuitState.HALF_OPEN or failures >= limit:
        return circuit.to(CircuitState.OPEN, failures=failures, until=now + cooldown_s)
    return msgspec.structs.replace(circuit, failures=failures)


def given_up(circuit: Circuit, now: float) -> Circuit:
    """The circuit after a call that ended without an answer or an error: it was cancelled."""
    if circuit.state is CircuitState.HALF_OPEN:
        return circuit.to(CircuitState.OPEN, failures=circuit.failures, until=now)
    return circuit


class CircuitChange(msgspec.Struct, frozen=True, kw_only=True):
    """A breaker changed its state."""

    provider: str
    model: str
    was: CircuitState
    now: CircuitState
    #: The error that opened it; empty where it closed or tries.
    why: str = ""


OnChange = Callable[[CircuitChange], None]


class Breaker:
    """A provider that is left alone for a while after it failed too often.

    Args:
        provider: who is asked.
        failures: failures in a row that open it.
        cooldown_s: seconds that it stays open.
        clock: seconds, never going back.
        on_change: called at once with every change of state.
        task: helper task that its calls are for; empty: they write content.
    """

    def __init__(
        self,
        provider: Provider,
        *,
        failures: int,
        cooldown_s: float,
        clock: Callable[[], float] = time.monotonic,
        on_change: OnChange | None = None,
        task: str = "",
    ) -> None:
        self.name = provider.name
        self.task = task
        self.model = provider.model
        self._provider = provider
        self._limit = failures
        self._cooldown_s = cooldown_s
        self._clock = clock
        self._on_change = on_change
        self._circuit = Circuit()
        self._last = ""
        #: Set when the latest probe has ended.
        self._probed = asyncio.Event()
        self._waiting = 0

    @property
    def state(self) -> CircuitState:
        """What happens to the next call, judged by earlier ones."""
        return self._circuit.state

    @property
    def failures(self) -> int:
        """Calls in a row that found the provider away."""
        return self._circuit.failures

    async def generate(
        self,
        prompt: Prompt,
        params: Params,
        schema: Mapping[str, Any] | None = None,
        on_token: OnToken | None = None,
    ) -> Completion:
        """Ask, unless the breaker is open; the port's contract.

        A call that comes while a probe runs waits for its end, as a part of the call's own time-out; it fails at
        once where the prompt has an alternative.

        Raises:
            ProviderError: the provider's own, or ``GEN_PROVIDER_UNAVAILABLE`` without a call, not worth a retry.
        """
        let = admitted(self._circuit, self._clock())
        waited = let is None
        if let is None:
            let, left_s = await self._wait_turn(prompt, params.timeout_s)
            params = msgspec.structs.replace(params, timeout_s=left_s)
        self._become(let)
        epoch = let.epoch
        after: Callable[[Circuit], Circuit] = self._given_up
        try:
            done = await self._provider.generate(prompt, params, schema, on_token)
            after = succeeded
        except ProviderError as error:
            # A time-out that the wait has shortened says nothing about a provider that has just answered the probe.
            shortened = waited and error.code is ErrorCode.GEN_TIMEOUT and let.state is CircuitState.CLOSED
            if error.code not in _AVAILABILITY or isinstance(error, CallRefused):
                after = succeeded
            elif not shortened:
                self._last = str(error)
                after = self._failed
            raise
        finally:
            if self._circuit.epoch == epoch:
                self._become(after(self._circuit))
        return done

    async def _wait_turn(self, prompt: Prompt, timeout_s: float) -> tuple[Circuit, float]:
        """The circuit that lets a call through, and the seconds that it has left.

        Each waiter looks again after the probe: one that was cancelled makes the first of them the next probe.

        Raises:
            ProviderError: the circuit is open, the time is over, or the call is not to wait.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        while (let := admitted(self._circuit, self._clock())) is None:
            if (
                self._circuit.state is CircuitState.OPEN
                or prompt.has_alternative
                or self._waiting >= WAITERS
                or loop.time() >= until
            ):
                raise ProviderError(ErrorCode.GEN_PROVIDER_UNAVAILABLE, self._closed_to_all())
            self._waiting += 1
            try:
                async with asyncio.timeout_at(until):
                    await self._probed.wait()
            except TimeoutError:
                continue
            finally:
                self._waiting -= 1
        return let, max(0.0, until - loop.time())

    def _failed(self, circuit: Circuit) -> Circuit:
        return failed(circuit, self._clock(), limit=self._limit, cooldown_s=self._cooldown_s)

    def _given_up(self, circuit: Circuit) -> Circuit:
        return given_up(circuit, self._clock())

    def _closed_to_all(self) -> str:
        said = f"{self.name} is left alone after {self._circuit.failures} failures in a row"
        left = self._circuit.until - self._clock()
        until = (
            "until the call that tries it now has ended"
            if self._circuit.state is CircuitState.HALF_OPEN
            else f"for another {left:.1f} s"
        )
        return f"{said}, {until}; the last was: {self._last}"

    def _become(self, circuit: Circuit) -> None:
        was, self._circuit = self._circuit.state, circuit
        if circuit.state is CircuitState.HALF_OPEN:
            self._probed = asyncio.Event()
        elif was is CircuitState.HALF_OPEN:
            self._probed.set()
        if was is not circuit.state and self._on_change is not None:
            why = self._last if circuit.state is CircuitState.OPEN else ""
            change = CircuitChange(provider=self.name, model=self.model, was=was, now=circuit.state, why=why)
            self._on_change(change)
