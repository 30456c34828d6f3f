"""Catalogue of what happens to provider calls and circuit breakers."""

from __future__ import annotations

import logging
from typing import ClassVar

from infra.telemetry.dispatch import TelemetryEvent


class ProviderCalled(TelemetryEvent, frozen=True, kw_only=True):
    """A provider call has ended; one that a circuit breaker, a budget or the response cache spared is none."""

    #: The stage that called, or the helper task.
    stage: str
    kind: str
    request_id: str
    provider: str
    model: str
    #: Error code; ``GEN_CANCELLED`` where the pipeline did not wait for the answer, empty for an answer with text.
    code: str = ""
    duration_ms: float
    #: Tokens; none: not reported.
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    #: Cost in the currency of the provider's prices; none: not reported.
    cost: float | None = None

    LEVEL: ClassVar[int] = logging.DEBUG

    def __str__(self) -> str:
        how = self.code or "answered"
        return (
            f"{self.stage} called {self.provider} ({self.model}) for {self.request_id} ({self.kind}): "
            f"{how} after {self.duration_ms:g} ms"
        )


class CircuitChanged(TelemetryEvent, frozen=True, kw_only=True):
    """A provider's circuit breaker opened, closed, or lets one call through."""

    provider: str
    model: str
    was: str
    state: str
    problem: str = ""

    QUOTES: ClassVar[tuple[str, ...]] = ("problem",)

    @property
    def level(self) -> int:
        return logging.WARNING if self.state == "open" else logging.INFO

    def __str__(self) -> str:
        who = f"provider {self.provider} ({self.model})"
        match self.state:
            case "open":
                return f"{who} is left alone for a while: {self.problem}"
            case "half_open":
                return f"{who} is tried with one call"
            case _:
                return f"{who} answers again"
