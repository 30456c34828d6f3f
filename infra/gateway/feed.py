"""Event feed: what one reader gets of the log, from where it left off, then as it happens; bounded in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Final

from contracts.errors import Unavailable
from infra.gateway import sse
from infra.gateway.event_frame import EventFrame
from infra.gateway.feed_filter import FeedFilter
from infra.gateway.log_position import count_behind, format_position, is_ahead
from infra.nats.log import StreamMissing

if TYPE_CHECKING:
    from infra.gateway.access import Principal
    from infra.gateway.feed_filter import FeedRequest
    from infra.gateway.hub import EventHub
    from infra.gateway.log_position import LogPosition

#: Events, and bytes of them, that wait for one reader.
MOST_WAITING: Final = 512
_MOST_BYTES: Final = 8 * 1024**2
#: Messages of the log that a reader may be behind when it joins the live events.
_NEAR: Final = 128
#: Seconds within which the hub has handed out what the log has.
_LATE_S: Final = 1.0
_LATE_STEPS: Final = 50
#: Bytes that are sent at once, as far as events are not larger.
_CHUNK: Final = 32 * 1024
#: Seconds between two pings of an idle stream.
PING_S: Final = 15.0
#: Seconds after which a stream ends: a proxy may accept bytes for a reader that is long gone.
MAX_AGE_S: Final = 3600.0


class Feed:
    """What is sent to one client until it, or the hub, ends it.

    Args:
        hub: counts it, and ends it when the gateway stops.
        sender: who the client is; ``None``: this machine's user.
    """

    def __init__(self, hub: EventHub, sender: Principal | None) -> None:
        self.sender = sender
        self._hub = hub
        self._woken = asyncio.Event()
        self._gone = False
        self._farewell: bytes | None = None
        self._abort: Callable[[], None] | None = None

    def end(self, reason: str) -> None:
        """End the feed with ``bye``; what waits is dropped, the client finds it where it left off."""
        self._farewell = self._farewell or sse.format_event("bye", {"reason": reason})
        self._woken.set()

    def cut(self) -> None:
        """Cut the client's connection."""
        if self._abort is not None:
            self._abort()

    def join(self, abort: Callable[[], None]) -> None:
        """A client begins to read."""
        self._abort = abort
        self._hub.join(self)

    def leave(self) -> None:
        """The client is gone."""
        self._gone = True
        self._woken.set()
        self._hub.leave(self)

    @property
    def _over(self) -> bool:
        return self._gone or self._farewell is not None

    async def _wait(self, seconds: float) -> bool:
        """Wait for something to do; false: there was nothing."""
        self._woken.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return False
        return True


class EventFeed(Feed):
    """The events of the log for one reader.

    Args:
        hub: fans out the live events.
        asked: what the reader asks for.
        ping_s: seconds between two pings.
        max_age_s: seconds after which the feed ends.
    """

    def __init__(
        self, hub: EventHub, asked: FeedRequest, *, ping_s: float = PING_S, max_age_s: float = MAX_AGE_S
    ) -> None:
        super().__init__(hub, asked.sender)
        self.asked = asked
        self._filter = FeedFilter(asked, hub.owners)
        self._ping_s = ping_s
        self._max_age_s = max_age_s
        #: Events, and whether each of them is known to be the reader's.
        self._waiting: list[tuple[EventFrame, bool]] = []
        self._bytes = 0
        self._missed = 0

    def offer(self, frame: EventFrame) -> None:
        """Take a live event, or count it as missed where the reader is too slow; never waits."""
        verdict = self._filter.decide(frame.record)
        if verdict is False:
            return
        full = len(self._waiting) >= MOST_WAITING or self._bytes > _MOST_BYTES
        if self._missed or full:
            self._missed += 1
            return
        self._waiting.append((frame, verdict is True))
        self._bytes += len(frame.encoded)
        self._woken.set()

    def leave(self) -> None:
        """The reader is gone."""
        super().leave()
        self._hub.detach(self)

    async def read(self) -> AsyncGenerator[bytes, None]:
        """The events as server-sent events, until the feed or the reader ends."""
        if not self._hub.reading:
            self.end("broker")
        ends_s = asyncio.get_running_loop().time() + self._max_age_s
        start = dict(self._hub.position) if self.asked.start is None else await self._near(self.asked.start)
        yield sse.format_start(format_position(start))
        if self.asked.reset is not None:
            yield sse.format_event("reset", {"reason": self.asked.reset})
        try:
            async for chunk in self._catch_up(start):
                yield chunk
            async for chunk in self._follow(ends_s):
                yield chunk
        except (Unavailable, StreamMissing):
            self.end("broker")
        if self._farewell is not None:
            yield self._farewell
        elif self._missed:
            yield sse.format_event("lagged", {"missed": self._missed})

    # -- parts

    async def _near(self, start: LogPosition) -> dict[str, int]:
        """Where to start: the hub may be some milliseconds behind the one that the position is from."""
        for _ in range(_LATE_STEPS):
            if self._over or not is_ahead(start, self._hub.position):
                break
            await asyncio.sleep(_LATE_S / _LATE_STEPS)
        # What is still missing is no message any more: a timer that has fired, for instance.
        return {stream: min(each, self._hub.position[stream]) for stream, each in start.items()}

    async def _catch_up(self, start: LogPosition) -> AsyncGenerator[bytes, None]:
        """Stored events from the start to the live ones."""
        position = dict(start)
        near = False
        while not (near or self._over):
            goal = dict(self._hub.position)
            # From here on, what happens waits for this reader.
            near = self.asked.request_id is not None or count_behind(position, goal) <= _NEAR
            if near:
                self._hub.attach(self)
            async for chunk in self._read_past(position, goal):
                yield chunk
            position = goal

    async def _read_past(self, position: dict[str, int], goal: LogPosition) -> AsyncGenerator[bytes, None]:
        chunk, ended = bytearray(), False
        async for record in self._hub.read_past(self.asked.what, position, goal):
            if self._over:
                return
            if record.stream is not None and record.seq is not None:
                position[record.stream] = record.seq
            verdict = self._filter.decide(record)
            if verdict or (verdict is None and await self._filter.decide_by_owner(record)):
                chunk += EventFrame(record, format_position(position)).encoded
                ended = ended or self._filter.is_last(record)
            if len(chunk) >= _CHUNK:
                yield bytes(chunk)
                chunk.clear()
        if chunk:
            yield bytes(chunk)
        if ended:
            # Not before: a replay may have revised the result.
            self.end("ended")

    async def _follow(self, ends_s: float) -> AsyncGenerator[bytes, None]:
        """Live events until the end of the feed, with pings between them."""
        loop = asyncio.get_running_loop()
        while not self._over:
            if self._waiting:
                chunk = await self._take()
                if chunk:
                    yield chunk
            elif self._missed:
                return
            elif loop.time() >= ends_s:
                self.end("age")
            elif not await self._wait(min(self._ping_s, ends_s - loop.time())):
                yield sse.format_ping(format_position(self._hub.position))

    async def _take(self) -> bytes:
        """What waits, up to a chunk."""
        chunk, taken = bytearray(), 0
        for frame, known in self._waiting:
            taken += 1
            self._bytes -= len(frame.encoded)
            if known or await self._filter.decide_by_owner(frame.record):
                chunk += frame.encoded
                if self._filter.is_last(frame.record):
                    self.end("ended")
                    break
            if len(chunk) >= _CHUNK:
                break
        del self._waiting[:taken]
        return bytes(chunk)
