"""Event frame: one message of the log as a server-sent event."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.gateway import sse
from infra.inspect import record as records

if TYPE_CHECKING:
    from infra.inspect.record import LogRecord


class EventFrame:
    """One message for any number of readers; encoded once, for the first that takes it.

    Args:
        record: the message.
        position: how far a reader has come with it; ``None``: progress, which no stream keeps.
    """

    __slots__ = ("_encoded", "_position", "record")

    def __init__(self, record: LogRecord, position: str | None) -> None:
        self.record = record
        self._position = position
        self._encoded: bytes | None = None

    @property
    def encoded(self) -> bytes:
        """The server-sent event."""
        if self._encoded is None:
            self._encoded = sse.format_event(
                self.record.event, records.to_json(self.record), id=self._position
            )
        return self._encoded
