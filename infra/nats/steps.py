"""Stored steps: what stages stored for a request, read from the event log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contracts import envelope, pipeline, subjects
from contracts.errors import NewerVersion, Unreadable
from contracts.events import Drafted, Structured

if TYPE_CHECKING:
    from infra.nats.log import LogEntry
    from infra.nats.lookup import Lookup


class LoggedSteps:
    """Reads steps; implements :class:`stages.context_build.repetition.StoredSteps`."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    async def find(self, event: str, request_id: str) -> Drafted | Structured | None:
        """Find the last ``drafted`` or ``structured`` of a request; ``None``: this version can read none.

        Raises:
            Unavailable: the broker does not answer.
        """
        return read(await self._lookup.last(pipeline.EVENTS, subjects.any_kind(event, request_id)))


def read(entry: LogEntry | None) -> Drafted | Structured | None:
    """The step that a stored message is; ``None``: it is none."""
    if entry is None:
        return None
    try:
        found = envelope.decode(entry.subject.split(".")[1], entry.body, entry.headers)
    except (Unreadable, NewerVersion):
        return None
    return found if isinstance(found, Drafted | Structured) else None
