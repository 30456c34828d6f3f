"""Foreign messages: what the pipeline's streams have under subjects that they do not keep.

Whoever may create consumers, or pull from one, can have the messages of any stream delivered to a subject of the
pipeline; the broker stores them, under their own subjects (nats-server#8274).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from sqlalchemy import Engine

from contracts import pipeline
from infra.nats import log
from infra.stores import database, rows
from stages.audit.fold import Anomaly

if TYPE_CHECKING:
    from infra.nats.log import LogEntry
    from infra.nats.multiplexer import RequestMultiplexer

#: What the audit calls them.
FOREIGN: Final = "foreign"
#: Messages of one filter that one look reads at most; the next one goes on behind them.
_MOST: Final = 1_000
_STREAMS: Final = (pipeline.REQUESTS, pipeline.EVENTS, pipeline.DEAD)
#: Characters of a subject that are kept.
_SUBJECT: Final = 500


class ForeignMessages:
    """Finds them, look by look, and keeps them as anomalies of the audit."""

    def __init__(self) -> None:
        #: Next sequence by stream and filter.
        self._next: dict[tuple[str, str], int] = {}

    async def look(self, wire: RequestMultiplexer, engine: Engine) -> dict[str, int]:
        """Store what came since the last look; how many, by stream.

        Raises:
            StreamMissing, Unavailable: the broker does not answer.
            sqlalchemy.exc.SQLAlchemyError: the database does not answer; the next look reads them again.
        """
        found: list[LogEntry] = []
        reached = dict(self._next)
        for stream in _STREAMS:
            for subject in pipeline.foreign_subjects(stream):
                some = await self._read(wire, stream, subject)
                if some:
                    reached[stream, subject] = some[-1].sequence + 1
                    found += some
        if found:
            await asyncio.to_thread(_store, engine, found)
        self._next = reached
        return {
            stream: count for stream in _STREAMS if (count := sum(each.stream == stream for each in found))
        }

    async def _read(self, wire: RequestMultiplexer, stream: str, subject: str) -> list[LogEntry]:
        found: list[LogEntry] = []
        async for entry in log.read(wire, stream, subject, start=self._next.get((stream, subject), 1)):
            found.append(entry)
            if len(found) >= _MOST:
                break
        return found


def _store(engine: Engine, found: list[LogEntry]) -> None:
    anomalies = [
        (
            f"{entry.stream}:{entry.sequence}",
            Anomaly(
                kind=FOREIGN,
                stream=entry.stream,
                # Instead of the stream's: a stream that is made anew uses its sequences again.
                created_ms=entry.time_ms,
                sequence=entry.sequence,
                at_ms=entry.time_ms,
                subject=entry.subject[:_SUBJECT],
                detail=f"{entry.stream} keeps no such subject",
            ),
        )
        for entry in found
    ]
    with database.writing(engine) as connection:
        rows.put_anomalies(connection, anomalies)
