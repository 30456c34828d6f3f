"""Fold of a busy tail: a bounded number of lines a second, and one line that counts the rest."""

from __future__ import annotations

from collections import Counter
from typing import Final

import msgspec

from contracts import events as ev
from contracts.result import Status
from infra.inspect import record as records
from infra.inspect.record import LogRecord

#: Seconds of one line of counts.
WINDOW_S: Final = 1.0
#: Lines a second of any event, and further lines of notable events.
ORDINARY: Final = 12
NOTABLE: Final = 8
#: Results that are as they should be.
_EXPECTED: Final = frozenset({Status.SUCCESS, Status.CACHED})
_NOTABLE: Final = frozenset(
    {"failed", "invalid", "cancelled", "revised", "clamped", records.DEAD, records.ADVISORY}
)


class Folded(msgspec.Struct, frozen=True, kw_only=True):
    """Messages of one window that have no line of their own."""

    #: Number of messages and of requests.
    messages: int
    requests: int
    #: Messages by event, most frequent first; results by status and error code.
    events: tuple[tuple[str, int], ...]


class TailFold:
    """Chooses the messages that get a line.

    Each second the first :data:`ORDINARY` messages get one, and :data:`NOTABLE` more that tell of trouble.
    """

    def __init__(self) -> None:
        self._ends_s = 0.0
        self._shown = 0
        self._notable = 0
        self._counts: Counter[str] = Counter()
        self._requests: set[str | None] = set()

    def shows(self, record: LogRecord, now_s: float) -> bool:
        """Whether a message gets a line; otherwise it is counted.

        Args:
            record: the message.
            now_s: any monotonic clock, seconds.  Take :meth:`ended` first.
        """
        if now_s >= self._ends_s:
            self._ends_s = now_s + WINDOW_S
            self._shown = self._notable = 0
        if self._shown < ORDINARY:
            self._shown += 1
            return True
        if self._notable < NOTABLE and is_notable(record):
            self._notable += 1
            return True
        self._counts[_label(record)] += 1
        self._requests.add(record.request_id)
        return False

    def ended(self, now_s: float) -> Folded | None:
        """The counts of a window that is over; ``None``: it is not, or each message had its line."""
        if not self._counts or now_s < self._ends_s:
            return None
        return self.finish()

    def finish(self) -> Folded | None:
        """The counts so far, and start again."""
        if not self._counts:
            return None
        found = Folded(
            messages=self._counts.total(),
            requests=len(self._requests - {None}),
            events=tuple(self._counts.most_common()),
        )
        self._counts, self._requests = Counter(), set()
        return found


def is_notable(record: LogRecord) -> bool:
    """Whether a message tells of something that is not as it should be."""
    if record.fault is not None or record.event in _NOTABLE:
        return True
    return isinstance(record.body, ev.Result) and record.body.status not in _EXPECTED


def describe(folded: Folded) -> str:
    """The counts in words."""
    listed = ", ".join(f"{count:,} {name}" for name, count in folded.events)
    return f"{folded.messages:,} more of {folded.requests:,} requests: {listed}"


def _label(record: LogRecord) -> str:
    if not isinstance(record.body, ev.Result):
        return record.event
    code = f" {record.body.error.code}" if record.body.error is not None else ""
    return f"{record.body.status}{code}"
