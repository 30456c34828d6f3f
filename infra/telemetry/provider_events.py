"""Catalogue of what happens to provider calls."""

from __future__ import annotations

import logging
from typing import ClassVar

from infra.telemetry.dispatch import TelemetryEvent


class ProviderCalled(TelemetryEvent, frozen=True, kw_only=True):
    """A provider call has ended, and what came of it is published."""

    #: The stage that called.
    stage: str
    kind: str
    request_id: str
    provider: str
    model: str
    #: Error code; empty for a usable answer.
    code: str = ""
    duration_ms: float
    #: Tokens of all calls that the stage made for the message, set on the last of them; none: not reported.
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    #: Their cost, in the currency of the provider's prices; none: not reported.
    cost: float | None = None

    LEVEL: ClassVar[int] = logging.DEBUG

    def __str__(self) -> str:
        how = self.code or "answered"
        return (
            f"{self.stage} called {self.provider} ({self.model}) for {self.request_id} ({self.kind}): "
            f"{how} after {self.duration_ms:g} ms"
        )
