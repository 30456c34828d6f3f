"""Catalogue of what happens to messages and results.

``broker_events``, ``provider_events``, ``store_events`` and ``process_events`` have the rest.  Times are in the unit that
the field's name ends with.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable
from enum import StrEnum
from typing import ClassVar, Final

from contracts import subjects
from infra.telemetry.dispatch import TelemetryEvent, alike

#: A stand-in instead of the model's content: somebody should know why.
_FELL_BACK: Final = frozenset({"fail_fallback", "skipped", "placeholder"})
_FAILED: Final = frozenset({"failed", "fail_validation"})
_FAILED_OR_REJECTED: Final = _FAILED | {"rejected"}
#: No model was asked for: nobody's failure.
_DISABLED: Final = "GEN_PROVIDER_DISABLED"


def _of(request_id: str, kind: str) -> str:
    """A request in a sentence."""
    return f"{request_id} ({kind})" if kind else request_id or "a message"


class MessageEnding(StrEnum):
    """How a stage's work on one message ended."""

    #: Events were published, or there was nothing to do.
    EMITTED = "emitted"
    #: A timer was set.
    SCHEDULED = "scheduled"
    #: The next attempt was scheduled, or the last one failed.
    RETRIED = "retried"
    #: The stage gave the request up.
    FAILED = "failed"
    #: The input was refused.
    REJECTED = "rejected"
    #: A row was written.
    RECORDED = "recorded"
    #: It comes again later, as decided.
    PUT_OFF = "put_off"
    #: It comes again later, since broker, database or server is away.
    WAITS = "waits"
    #: The stage stops: another worker takes it.
    HANDED_BACK = "handed_back"


#: Level by ending; what people should know of the others is in the result, or in the dead letter.
_LEVELS: Final = {MessageEnding.WAITS: logging.WARNING, MessageEnding.HANDED_BACK: logging.INFO}


def level_of(ending: MessageEnding, problem: str) -> int:
    """Level of the log line about a message that ended so."""
    if ending is MessageEnding.PUT_OFF and problem:
        return logging.WARNING
    return _LEVELS.get(ending, logging.DEBUG)


class MessageHandled(TelemetryEvent, frozen=True, kw_only=True):
    """A stage has ended its work on one message."""

    stage: str
    #: Event name, content kind and id from the message's subject.
    name: str
    kind: str
    request_id: str
    #: Where the message stands in the log.
    stream: str
    seq: int
    #: How often it was handed out, this time included.
    deliveries: int
    ending: MessageEnding
    code: str = ""
    problem: str = ""
    #: From receipt to acknowledgement.
    duration_ms: float

    @property
    def level(self) -> int:
        return level_of(self.ending, self.problem)

    @property
    def quotes(self) -> tuple[str, ...]:
        # What it waits for is broker, database or server.
        return () if self.ending is MessageEnding.WAITS else ("problem",)

    @property
    def folds_as(self) -> Hashable | None:
        return (self.stage, self.ending, alike(self.problem)) if self.level > logging.DEBUG else None

    def __str__(self) -> str:
        what = _of(self.request_id, self.kind)
        match self.ending:
            case MessageEnding.WAITS:
                return f"{self.stage} waits with {self.name} of {what}: {self.problem}"
            case MessageEnding.PUT_OFF:
                return f"{self.stage} put off {self.name} of {what}" + (
                    f": {self.problem}" if self.problem else ""
                )
            case MessageEnding.HANDED_BACK:
                return f"{self.stage} handed back {self.name} of {what}: it stops"
            case _:
                why = f": {self.code} {self.problem}".rstrip() if self.code or self.problem else ""
                return f"{self.stage} {self.ending} {self.name} of {what} in {self.duration_ms:g} ms{why}"


class DeadlineArmed(TelemetryEvent, frozen=True, kw_only=True):
    """A request has got its deadline: it is taken in."""

    #: Who armed it.
    stage: str
    kind: str
    request_id: str

    LEVEL: ClassVar[int] = logging.DEBUG
    SENTENCE: ClassVar[str] = "{stage} armed the deadline of {request_id} ({kind})"


class ResultPublished(TelemetryEvent, frozen=True, kw_only=True):
    """A request has got its one result."""

    #: Who published it.
    stage: str
    kind: str
    request_id: str
    status: str
    origin: str
    #: The error behind it, and the stage where it happened.
    code: str = ""
    failed_in: str = ""
    problem: str = ""
    #: From the broker's timestamp of the request to the storage of the result; none: the request is not known.
    latency_ms: float | None = None

    WRITTEN: ClassVar[int] = 20
    QUOTES: ClassVar[tuple[str, ...]] = ("problem",)

    @property
    def shadow(self) -> bool:
        """Whether subscribers do not get it: counts of results leave it out."""
        return subjects.is_shadow(self.request_id)

    @property
    def level(self) -> int:
        if self.status in _FAILED_OR_REJECTED:
            return logging.WARNING
        if self.status in _FELL_BACK:
            return logging.DEBUG if self.code in ("", _DISABLED) else logging.WARNING
        return logging.INFO if self.status == "cancelled" else logging.DEBUG

    @property
    def folds_as(self) -> Hashable | None:
        return (self.status, self.code, self.failed_in) if self.level > logging.DEBUG else None

    def __str__(self) -> str:
        what = _of(self.request_id, self.kind)
        why = f"{self.code} in {self.failed_in}: {self.problem}"
        match self.status:
            case "rejected":
                return f"rejected {what}: {self.problem}"
            case "cancelled":
                return f"cancelled {what}"
            case status if status in _FAILED:
                return f"failed {what}: {why}"
            case status if status in _FELL_BACK and self.code:
                return f"fell back {what}: {why}"
            case _:
                return f"answered {what}: {self.status} from {self.origin}"


class RatingLowered(TelemetryEvent, frozen=True, kw_only=True):
    """A request gets a lower rating than it asked for."""

    stage: str
    kind: str
    request_id: str
    requested: str
    effective: str
    #: What allows no more.
    by: str

    LEVEL: ClassVar[int] = logging.WARNING

    def __str__(self) -> str:
        what = _of(self.request_id, self.kind)
        return f"lowered the rating of {what} from {self.requested} to {self.effective}: {self.by} allows no more"


class LetterWritten(TelemetryEvent, frozen=True, kw_only=True):
    """A message that nobody could use was stored as a dead letter."""

    stage: str
    kind: str = ""
    request_id: str = ""
    #: The message.
    stream: str
    seq: int
    code: str
    problem: str
    #: The request got its result for the same reason: that says it already.
    answered: bool = False

    WRITTEN: ClassVar[int] = 20
    FOLDS_BY: ClassVar[tuple[str, ...]] = ("stage", "code", "answered")
    QUOTES: ClassVar[tuple[str, ...]] = ("problem",)

    @property
    def level(self) -> int:
        return logging.DEBUG if self.answered else logging.WARNING

    def __str__(self) -> str:
        what = _of(self.request_id, self.kind) if self.request_id else f"message {self.seq} of {self.stream}"
        return f"set aside {what} as a dead letter of {self.stage}: {self.problem}"


class LetterLost(TelemetryEvent, frozen=True, kw_only=True):
    """A dead letter could not be stored; its request is answered all the same."""

    stage: str
    subject: str
    problem: str

    LEVEL: ClassVar[int] = logging.ERROR
    FOLDS_BY: ClassVar[tuple[str, ...]] = ("stage", "problem")
    SENTENCE: ClassVar[str] = "a dead letter of {stage} is lost ({subject}): {problem}"


class PublishDelayed(TelemetryEvent, frozen=True, kw_only=True):
    """The broker does not take a message now; it is published again until it does."""

    stage: str
    subject: str
    problem: str
    #: How often it was tried.
    tries: int

    LEVEL: ClassVar[int] = logging.WARNING
    FOLDS_BY: ClassVar[tuple[str, ...]] = ("stage", "problem")
    SENTENCE: ClassVar[str] = "{stage} cannot publish {subject} yet, try {tries}: {problem}"


class HandBackFailed(TelemetryEvent, frozen=True, kw_only=True):
    """A message could not be handed back; the broker gives it out again when its lease runs out."""

    stage: str
    stream: str
    seq: int
    problem: str

    LEVEL: ClassVar[int] = logging.WARNING
    FOLDS_BY: ClassVar[tuple[str, ...]] = ("stage", "stream", "problem")
    SENTENCE: ClassVar[str] = (
        "{stage} cannot hand back message {seq} of {stream} "
        "(the broker does when its lease runs out): {problem}"
    )


class DefectFound(TelemetryEvent, frozen=True, kw_only=True):
    """An error that our code should not have raised; the line has its traceback."""

    #: Where: a stage, the runner of a stage, a provider, the exporter.
    part: str
    name: str = ""
    kind: str = ""
    request_id: str = ""
    raised: BaseException

    LEVEL: ClassVar[int] = logging.ERROR
    WRITTEN: ClassVar[int] = 3

    @property
    def folds_as(self) -> Hashable | None:
        return self.part, type(self.raised).__name__

    @property
    def error(self) -> BaseException | None:
        return self.raised

    def __str__(self) -> str:
        what = f", at {self.name} of {_of(self.request_id, self.kind)}" if self.request_id else ""
        return f"defect in {self.part}{what}: {type(self.raised).__name__}"
