"""Log lines: the first subscriber of what happens, one line for each event, repetitions counted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog

from contracts.redaction import redact_reason
from infra.telemetry.dispatch import Telemetry, TelemetryEvent, name_of

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

#: Seconds in which equal events are counted after the first lines of them.
WINDOW_S: Final = 10.0

#: Calls something later; the loop's ``call_later``.
Later = Callable[[float, Callable[[], None]], object]


class _Folded:
    """Equal events of one window."""

    __slots__ = ("last", "more", "written")

    def __init__(self) -> None:
        self.written = 0
        self.more = 0
        self.last: TelemetryEvent | None = None


class LogLines:
    """Writes events to the log of this process.

    Args:
        later: calls something in so many seconds; none: the running loop does, and without one nothing is folded.
        words: also write what people and models have written, where a line quotes it; otherwise its hash and length.
        fields: further fields of every line.
    """

    def __init__(self, *, later: Later | None = None, words: bool = True, **fields: Any) -> None:
        self._fields = fields
        self._words = words
        #: Bound at the first line: by then the log is configured.
        self._log: FilteringBoundLogger | None = None
        self._later = later
        self._folded: dict[Hashable, _Folded] = {}

    def takes(self, event: type[TelemetryEvent], level: int) -> bool:
        """Whether the log has lines of this level; an event without a level never has one."""
        del event
        if level == logging.NOTSET:
            return False
        log = self._log
        if log is None:
            log = self._log = structlog.get_logger().bind(**self._fields)
        return log.is_enabled_for(level)

    def __call__(self, event: TelemetryEvent) -> None:
        """Write the event, or count it."""
        level = event.level
        if not self.takes(type(event), level):
            return
        kind = event.folds_as
        later = self._later or _later()
        if kind is None or later is None:
            self._write(event, level)
            return
        key = type(event), kind
        folded = self._folded.get(key)
        if folded is None:
            folded = self._folded[key] = _Folded()
            later(WINDOW_S, lambda: self._end(key))
        if folded.written < type(event).WRITTEN:
            folded.written += 1
            self._write(event, level)
        else:
            folded.more += 1
            folded.last = event

    def flush(self) -> None:
        """Write what was only counted so far."""
        folded, self._folded = self._folded, {}
        for each in folded.values():
            self._write_count(each)

    def _end(self, key: Hashable) -> None:
        """A window ended: write how many there were, and count on while there are more."""
        folded = self._folded.pop(key, None)
        if folded is None or folded.more == 0:
            return
        self._write_count(folded)
        later = self._later or _later()
        if later is not None:
            again = self._folded[key] = _Folded()
            again.written = type(folded.last).WRITTEN if folded.last is not None else 0
            later(WINDOW_S, lambda: self._end(key))

    def _write_count(self, folded: _Folded) -> None:
        if folded.last is not None:
            self._write(folded.last, folded.last.level, more=folded.more - 1)

    def _write(self, event: TelemetryEvent, level: int, *, more: int = 0) -> None:
        event = event if self._words else _redact(event)
        sentence = " ".join(str(event).split())
        fields = event.fields()
        if more:
            sentence = f"{sentence}, {more} more in the last {WINDOW_S:g} s"
            fields["more"] = more
        if event.error is not None:
            fields["exc_info"] = event.error
        if self._log is not None:
            self._log.log(level, name_of(type(event)), message=sentence, **fields)


def to_log(*, words: bool = True, **fields: Any) -> Telemetry:
    """A dispatcher whose only subscriber is the log; as :class:`LogLines`."""
    return Telemetry(LogLines(words=words, **fields))


def _redact(event: TelemetryEvent) -> TelemetryEvent:
    told = {name: redact_reason(text) for name in event.quotes if (text := getattr(event, name))}
    return msgspec.structs.replace(event, **told) if told else event


def _later() -> Later | None:
    try:
        return asyncio.get_running_loop().call_later
    except RuntimeError:
        return None
