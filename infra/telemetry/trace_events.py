"""Event that spans are made of; it never reaches the log."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from infra.telemetry.dispatch import TelemetryEvent
from infra.telemetry.events import MessageEnding


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


class MessageTraced(TelemetryEvent, frozen=True, kw_only=True):
    """A stage has ended its work on one message: times, and what it published."""

    stage: str
    subject: str
    headers: Mapping[str, str] | None
    stream: str
    seq: int
    #: The broker's timestamp of the message, ms since the epoch.
    time_ms: int
    deliveries: int
    #: From receipt to acknowledgement, ns since the epoch.
    began_ns: int
    ended_ns: int
    ending: MessageEnding
    #: The message's event and what was decided; they hold prompts, of which nothing may be copied.
    event: Any
    outcome: Any
    sent: tuple[SentMessage, ...]

    #: Below every level of the log.
    LEVEL: ClassVar[int] = logging.NOTSET
    SENTENCE: ClassVar[str] = "{stage} {ending} {subject}"

    def fields(self) -> dict[str, Any]:
        return {"stage": self.stage, "subject": self.subject, "ending": self.ending}
