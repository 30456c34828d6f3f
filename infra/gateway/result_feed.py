"""Result feed: the results of all requests that are waited for, read by one consumer of the event log.

A subscription and a look into the log for each request cost more than the rest of a call.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Final

from understudy_client.log import StoredMessage
from understudy_client.session import Heard
from understudy_client.tasks import end_tasks

from contracts import pipeline
from contracts.errors import Unavailable
from infra.nats import log, ordered
from infra.nats.log import StreamMissing
from infra.telemetry.events import DefectFound

if TYPE_CHECKING:
    from infra.app.pipeline_client import PipelineClient
    from infra.nats.log import LogEntry
    from infra.telemetry.dispatch import Telemetry

#: Subjects of results.
_RESULTS: Final = ("gen.result.>", "gen.shadowed.>")
#: Seconds without a waiting call after which it stops reading.
_LINGER_S: Final = 30.0


class ResultFeed:
    """Hands each stored result to the calls that wait for it; while it cannot read, they hear of it in another way.

    Args:
        client: the connection to the broker; its waiting calls use this feed from now on.
        telemetry: gets defects.
    """

    def __init__(self, client: PipelineClient, telemetry: Telemetry) -> None:
        self._client = client
        self._telemetry = telemetry
        self._subscribe = client.listen_with(self.listen)
        self._waiting: dict[str, set[Heard]] = {}
        self._reading: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._idle: asyncio.TimerHandle | None = None

    @property
    def reading(self) -> bool:
        """Whether it reads the log."""
        return self._reading is not None and not self._reading.done()

    @contextlib.asynccontextmanager
    async def listen(self, request_id: str, heard: Heard) -> AsyncGenerator[None, None]:
        """Set a flag, with what is stored, when a request gets its result."""
        if not self.reading and not await self._open():
            async with self._subscribe(request_id, heard):
                yield
            return
        self._keep()
        flags = self._waiting.setdefault(request_id, set())
        flags.add(heard)
        heard.reliable = True
        try:
            yield
        finally:
            flags.discard(heard)
            if not flags and self._waiting.get(request_id) is flags:
                del self._waiting[request_id]
            if not self._waiting:
                self._plan_end()

    async def close(self) -> None:
        """Stop reading."""
        self._stop()
        if self._reading is not None:
            await end_tasks(self._reading)

    async def _open(self) -> bool:
        """Begin to read, unless it reads; whether it does."""
        async with self._starting:
            if self.reading:
                return True
            try:
                start = await log.next_sequence(self._client.wire, pipeline.EVENTS)
            except (StreamMissing, Unavailable):
                return False
            self._reading = asyncio.create_task(self._read(start))
            return True

    async def _read(self, start: int) -> None:
        try:
            following = ordered.follow(self._client.connection, pipeline.EVENTS, _RESULTS, start=start)
            async with contextlib.aclosing(following) as entries:
                async for entry in entries:
                    self._hand_out(entry)
        except (StreamMissing, Unavailable):
            # The next call that waits tries to read.
            pass
        except Exception as error:  # noqa: BLE001 - a defect, emitted; as above
            self._telemetry.emit(DefectFound(part="the result feed", raised=error))
        finally:
            for flags in self._waiting.values():
                for heard in flags:
                    heard.reliable = False
                    heard.set()

    def _hand_out(self, entry: LogEntry) -> None:
        flags = self._waiting.get(entry.subject.rpartition(".")[2])
        if flags is None:
            return
        stored = StoredMessage(
            sequence=entry.sequence,
            subject=entry.subject,
            time_ns=entry.time_ns,
            headers=entry.headers,
            body=entry.body,
        )
        for heard in flags:
            heard.stored = stored
            heard.set()

    def _keep(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _plan_end(self) -> None:
        self._keep()
        self._idle = asyncio.get_running_loop().call_later(_LINGER_S, self._stop)

    def _stop(self) -> None:
        self._keep()
        if self._reading is not None:
            self._reading.cancel()
