"""Catalogue of what happens to what is kept: caches, ledger, database, streams."""

from __future__ import annotations

import logging
from typing import ClassVar

from infra.telemetry.dispatch import TelemetryEvent


class EntryNotStored(TelemetryEvent, frozen=True, kw_only=True):
    """A bucket does not take an entry; the request goes on without it."""

    bucket: str
    key: str
    problem: str

    LEVEL: ClassVar[int] = logging.WARNING
    FOLDS_BY: ClassVar[tuple[str, ...]] = ("bucket", "problem")
    SENTENCE: ClassVar[str] = "bucket {bucket} does not store {key}: {problem}"


class EntryUnreadable(TelemetryEvent, frozen=True, kw_only=True):
    """An entry of a bucket cannot be read; it counts as missing."""

    bucket: str
    key: str
    problem: str

    LEVEL: ClassVar[int] = logging.WARNING
    FOLDS_BY: ClassVar[tuple[str, ...]] = ("bucket", "problem")
    QUOTES: ClassVar[tuple[str, ...]] = ("problem",)
    SENTENCE: ClassVar[str] = "bucket {bucket} has an entry that cannot be read, {key}: {problem}"


class SeedDrifted(TelemetryEvent, frozen=True, kw_only=True):
    """The same seed, model and prompt came to another output than the first time."""

    kind: str
    request_id: str
    #: SHA-256 of the content, and of the first one.
    content_hash: str
    first_hash: str
    first_request: str

    LEVEL: ClassVar[int] = logging.WARNING
    FOLDS_BY: ClassVar[tuple[str, ...]] = ("first_request",)

    def __str__(self) -> str:
        return (
            f"seed drift in {self.request_id} ({self.kind}): its content {self.content_hash[:12]} is not that of "
            f"{self.first_request} ({self.first_hash[:12]}), with the same seed, model and prompt"
        )


class SweepDelayed(TelemetryEvent, frozen=True, kw_only=True):
    """The sweeper could not look at the streams; it looks again later."""

    problem: str

    LEVEL: ClassVar[int] = logging.WARNING
    FOLDS_BY: ClassVar[tuple[str, ...]] = ("problem",)
    SENTENCE: ClassVar[str] = "the sweeper could not look at the streams and looks again later: {problem}"


class StreamsSwept(TelemetryEvent, frozen=True, kw_only=True):
    """Ended requests were deleted, because a stream was filling up."""

    #: Messages deleted from both streams, and how many of them one by one.
    messages: int
    one_by_one: int
    #: The fullest stream's share of its limit, before and after.
    before: float
    after: float

    SENTENCE: ClassVar[str] = (
        "the sweeper deleted {messages} messages of ended requests: the fullest stream went from "
        "{before:.0%} of its limit to {after:.0%}"
    )


class StreamsFilling(TelemetryEvent, frozen=True, kw_only=True):
    """The streams are filling up with requests that have not ended; there is nothing to delete."""

    messages: int
    one_by_one: int
    before: float
    after: float

    LEVEL: ClassVar[int] = logging.WARNING
    SENTENCE: ClassVar[str] = (
        "the streams are filling up with unfinished requests: the fullest one is at {after:.0%} of its "
        "limit after {messages} messages were deleted"
    )


class AnomaliesFound(TelemetryEvent, frozen=True, kw_only=True):
    """Events in the log are not what they say they are; ``understudy doctor`` says more."""

    #: How many, by what is wrong with them.
    counts: dict[str, int]
    #: Ids of the first requests that they are about.
    request_ids: tuple[str, ...]

    LEVEL: ClassVar[int] = logging.WARNING

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {what}" for what, count in self.counts.items())
        return f"the log has {counts} (first {', '.join(self.request_ids)}); 'understudy doctor' says more"


class ForeignMessagesFound(TelemetryEvent, frozen=True, kw_only=True):
    """A stream has messages under subjects that it does not keep; nothing reads them."""

    stream: str
    count: int

    LEVEL: ClassVar[int] = logging.WARNING
    SENTENCE: ClassVar[str] = (
        "{stream} has {count} messages under foreign subjects, which nothing reads: somebody has the broker deliver "
        "another stream to its subjects; 'understudy doctor' says more"
    )


class ResponseCacheFailed(TelemetryEvent, frozen=True, kw_only=True):
    """The folder of the provider response cache cannot be used; calls are made instead."""

    problem: str

    LEVEL: ClassVar[int] = logging.WARNING
    FOLDS_BY: ClassVar[tuple[str, ...]] = ("problem",)
    SENTENCE: ClassVar[str] = "the response cache cannot use its folder: {problem}"
