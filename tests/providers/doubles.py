"""Which provider and which clock do exactly what a test of a wrapper says?"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from contracts.errors import ErrorCode
from contracts.events import Params
from contracts.ports import Completion, OnToken, Prompt, ProviderError
from contracts.usage import Tokens

Turn = str | Completion | ProviderError


def away(message: str = "connection refused", **more: Any) -> ProviderError:
    return ProviderError(ErrorCode.GEN_PROVIDER_UNAVAILABLE, message, **more)


def done(text: str, **more: Any) -> Completion:
    given = {"provider": "a", "model": "a-1", "finish_reason": "stop"}
    return Completion(text=text, **{**given, **more})


class Playing:
    """Takes its turns in order, the last one for ever."""

    def __init__(self, *turns: Turn, name: str = "a") -> None:
        self.name = name
        self.model = f"{name}-1"
        self._turns = list(turns)
        self.calls = 0
        #: Time-out of each call, seconds.
        self.limits: list[float] = []
        #: While it is closed, calls wait behind it.
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting = asyncio.Event()

    async def generate(
        self,
        prompt: Prompt,
        params: Params,
        schema: Mapping[str, Any] | None = None,
        on_token: OnToken | None = None,
    ) -> Completion:
        del prompt, schema
        self.calls += 1
        self.limits.append(params.timeout_s)
        turn = self._turns.pop(0) if len(self._turns) > 1 else self._turns[0]
        self.waiting.set()
        await self.gate.wait()
        match turn:
            case ProviderError():
                raise turn
            case Completion():
                made = turn
            case str():
                made = done(
                    turn,
                    provider=self.name,
                    model=self.model,
                    tokens=Tokens(prompt=10, completion=len(turn)),
                    amount=0.5,
                )
        if on_token is not None:
            on_token(made.text)
        return made


class ManualClock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def after(self, seconds: float) -> None:
        self.now += seconds
