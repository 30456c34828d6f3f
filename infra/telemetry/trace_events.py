"""What spans are made of: provider calls, sent messages, and an event that never reaches the log."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import Any, ClassVar, Final

import msgspec

from contracts import events as ev
from infra.telemetry.dispatch import TelemetryEvent
from infra.telemetry.events import MessageEnding
from infra.telemetry.provider_events import ProviderCalled
from infra.telemetry.trace_context import TraceContext


class CallFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One provider call, without any text."""

    called: ProviderCalled
    #: Sampling parameters of the call.
    params: ev.Params
    #: ``text`` or ``json``.
    output: str
    #: What the answer says; ``None``: there is none.
    response_model: str | None = None
    finish_reason: str | None = None
    #: ns since the epoch.
    began_ns: int
    ended_ns: int


#: The calls that were made for the message which a task works on; unset where nobody records them.
CALLS: Final[ContextVar[list[CallFacts]]] = ContextVar("calls")


class SentMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message that a stage published."""

    subject: str
    #: Of the span that published it.
    traceparent: str
    #: From the publish to the broker's acknowledgement, ns since the epoch.
    began_ns: int
    ended_ns: int
    #: Another message came first.
    refused: bool


class WorkTrace(msgspec.Struct, kw_only=True):
    """What a stage did for one message so far; it stays known however the work ends."""

    calls: list[CallFacts] = []
    sent: list[SentMessage] = []


class MessageTraced(TelemetryEvent, frozen=True, kw_only=True):
    """A stage has ended its work on one message: times, and what it published."""

    stage: str
    subject: str
    context: TraceContext
    stream: str
    seq: int
    deliveries: int
    #: From receipt to acknowledgement, ns since the epoch.
    began_ns: int
    ended_ns: int
    ending: MessageEnding
    #: The message's event and what was decided; they hold prompts, of which nothing may be copied.
    event: Any
    outcome: Any
    calls: tuple[CallFacts, ...] = ()
    sent: tuple[SentMessage, ...]

    #: Below every level of the log.
    LEVEL: ClassVar[int] = logging.NOTSET
    SENTENCE: ClassVar[str] = "{stage} {ending} {subject}"

    def fields(self) -> dict[str, Any]:
        return {"stage": self.stage, "subject": self.subject, "ending": self.ending}
