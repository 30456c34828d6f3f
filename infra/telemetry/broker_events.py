"""Catalogue of what happens to the connection to the broker, to consumers and to the admission of requests."""

from __future__ import annotations

import logging
from typing import ClassVar

from infra.telemetry.dispatch import TelemetryEvent


class ConnectionLost(TelemetryEvent, frozen=True, kw_only=True):
    """The connection to the broker is lost; it is tried again until it is back."""

    stages: tuple[str, ...]
    #: Its URL.
    broker: str

    LEVEL: ClassVar[int] = logging.WARNING

    def __str__(self) -> str:
        return f"{'+'.join(self.stages)}: connection to the broker lost ({self.broker}), retrying"


class ConnectionRestored(TelemetryEvent, frozen=True, kw_only=True):
    """The broker is connected again."""

    stages: tuple[str, ...]
    broker: str
    #: How long there was no connection.
    seconds: float

    def __str__(self) -> str:
        who = "+".join(self.stages)
        return f"{who}: connection to the broker restored after {self.seconds:.1f} s ({self.broker})"


class ConnectionClosed(TelemetryEvent, frozen=True, kw_only=True):
    """The connection to the broker was closed for good; the process ends and is started again."""

    stages: tuple[str, ...]

    LEVEL: ClassVar[int] = logging.ERROR

    def __str__(self) -> str:
        return f"{'+'.join(self.stages)}: connection to the broker closed for good, the process ends"


class ConnectionTrouble(TelemetryEvent, frozen=True, kw_only=True):
    """What the client library says of a connection; for a closer look."""

    problem: str

    LEVEL: ClassVar[int] = logging.DEBUG
    SENTENCE: ClassVar[str] = "the connection to the broker has trouble: {problem}"


class PermissionRefused(TelemetryEvent, frozen=True, kw_only=True):
    """The broker refuses what the stages need; the process ends."""

    stages: tuple[str, ...]
    problem: str

    LEVEL: ClassVar[int] = logging.ERROR

    def __str__(self) -> str:
        return f"{'+'.join(self.stages)}: {self.problem}; the process ends"


class ConsumerLost(TelemetryEvent, frozen=True, kw_only=True):
    """A durable consumer or its stream does not exist (any more); the process ends."""

    stages: tuple[str, ...]
    problem: str

    LEVEL: ClassVar[int] = logging.ERROR

    def __str__(self) -> str:
        return f"{'+'.join(self.stages)}: consumer lost, the process ends: {self.problem}"


class AdmissionClosed(TelemetryEvent, frozen=True, kw_only=True):
    """No more requests can be answered in time: the broker refuses new ones when they are published."""

    #: Open requests that are let in now.
    open: int

    LEVEL: ClassVar[int] = logging.WARNING
    SENTENCE: ClassVar[str] = (
        "new requests are refused: no more than {open} open ones can be answered in time"
    )


class AdmissionOpened(TelemetryEvent, frozen=True, kw_only=True):
    """Requests are accepted again, and have been for a while."""

    open: int

    SENTENCE: ClassVar[str] = (
        "new requests are accepted again: up to {open} open ones can be answered in time"
    )


class AdmissionStuck(TelemetryEvent, frozen=True, kw_only=True):
    """The bound on open requests cannot be moved: it stays where it is, and may keep everybody out."""

    problem: str

    LEVEL: ClassVar[int] = logging.WARNING
    SENTENCE: ClassVar[str] = "the bound on open requests cannot be moved: {problem}"
