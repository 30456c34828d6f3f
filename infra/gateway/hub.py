"""Event hub: one reader of each stream in this process, however many clients watch."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
from understudy_client.tasks import end_tasks

from contracts.errors import Unavailable
from infra.gateway.event_frame import EventFrame
from infra.gateway.log_position import LETTERS, count_behind, format_position, is_ahead
from infra.inspect import tail
from infra.inspect.message_filter import MessageFilter
from infra.inspect.request_filter import RequestFilter
from infra.nats import log
from infra.nats.log import StreamMissing
from infra.telemetry.events import DefectFound

if TYPE_CHECKING:
    from infra.app.pipeline_client import PipelineClient
    from infra.gateway.access import Principal
    from infra.gateway.feed_filter import FeedRequest
    from infra.gateway.log_position import LogPosition
    from infra.inspect.record import LogRecord
    from infra.inspect.tail import Watched
    from infra.nats.ordered import LogGap
    from infra.telemetry.dispatch import Telemetry

#: Messages of the log that a reader of all requests may have missed; it loads the state anew if there are more.
MOST_BEHIND: Final = 10_000
#: Messages that are handed out before the readers have their turn: fewer than may wait for one.
_TURN: Final = 64
#: Seconds without a reader after which the hub stops reading.
_LINGER_S: Final = 30.0
#: Seconds that readers may take to accept the end of their streams.
_FAREWELL_S: Final = 1.0


class OpenStream(Protocol):
    """What the hub needs of an open stream, whatever it sends."""

    sender: Principal | None

    def end(self, reason: str) -> None:
        """End it soon, and say why."""
        ...


class StreamOfClient(OpenStream, Protocol):
    """What the hub needs of an open stream of events, which ends with ``bye``."""

    def cut(self) -> None:
        """Cut the client's connection."""
        ...


class EventReader(StreamOfClient, Protocol):
    """What the hub needs of a stream of live events."""

    asked: FeedRequest

    def offer(self, frame: EventFrame) -> None:
        """Take a live event; never waits."""
        ...


class EventHub:
    """Hands new messages of the log to the feeds of all clients.

    It reads while somebody watches: one ordered consumer of each stream, and one subscription for progress.

    Args:
        client: the connection to the broker.
        telemetry: gets defects.
    """

    def __init__(self, client: PipelineClient, telemetry: Telemetry) -> None:
        self._client = client
        self._telemetry = telemetry
        #: Workspace and node of requests, from their owners in the log: a later request may repeat an id.
        self.owners = MessageFilter(RequestFilter(), partial(log.owner, client.wire))
        #: The last message of each stream that was handed out.
        self.position: dict[str, int] = dict.fromkeys(LETTERS, 0)
        self._reading: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._feeds: set[StreamOfClient] = set()
        #: Open streams that are none of events.
        self._others: set[OpenStream] = set()
        #: Feeds that get live events, by the request that they are about; ``None``: about all.
        self._attached: dict[str | None, set[EventReader]] = {}
        self._idle: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def feeds(self) -> int:
        """Clients that read now."""
        return len(self._feeds)

    @property
    def reading(self) -> bool:
        """Whether it reads the log."""
        return self._reading is not None and not self._reading.done()

    async def open(self) -> None:
        """Begin to read, unless it reads.

        Raises:
            StreamMissing, Unavailable: the broker cannot be read.
        """
        async with self._starting:
            if self.reading:
                self._plan_end()
                return
            found = [await log.next_sequence(self._client.wire, stream) for stream in LETTERS]
            self.position = {stream: sequence - 1 for stream, sequence in zip(LETTERS, found, strict=True)}
            self._reading = asyncio.create_task(self._read())
            self._plan_end()

    async def close(self) -> None:
        """End all feeds, and stop reading."""
        await self.farewell()
        self._stop()
        if self._reading is not None:
            await end_tasks(self._reading)

    async def farewell(self) -> None:
        """End all feeds with ``bye``; clients that do not accept it are cut off."""
        self.end_all("stop")
        for _ in range(2):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FAREWELL_S):
                    await self._empty.wait()
                    return
            for feed in tuple(self._feeds):
                feed.cut()

    async def check_access(self, admits: Callable[[Principal], Awaitable[bool]]) -> None:
        """End the streams of those whose token or session is no longer valid.

        Args:
            admits: whether one is valid.
        """
        for each in (*self._feeds, *self._others):
            if each.sender is not None and each.sender.token_id is not None and not await admits(each.sender):
                each.end("token")

    @contextlib.contextmanager
    def watching(self, stream: OpenStream) -> Generator[None]:
        """The time in which a stream that is none of events is open: it ends when its sender loses access."""
        self._others.add(stream)
        try:
            yield
        finally:
            self._others.discard(stream)

    def end_all(self, reason: str) -> None:
        """End all feeds with ``bye``; their clients connect again, and find out."""
        for feed in tuple(self._feeds):
            feed.end(reason)

    async def find_reset(self, start: LogPosition, *, whole: bool) -> str | None:
        """Why a reader cannot continue where it left off; ``None``: it can.

        Args:
            start: where it left off.
            whole: it needs every message of the log since then.

        Raises:
            StreamMissing, Unavailable: the broker cannot be read.
        """
        if is_ahead(start, self.position):
            # This hub may be behind the one that the reader had.
            ends = {stream: await log.next_sequence(self._client.wire, stream) - 1 for stream in LETTERS}
            if is_ahead(start, ends):
                return "the log is not the one that the id is from"
        if not whole:
            return None
        if count_behind(start, self.position) > MOST_BEHIND:
            return f"more than {MOST_BEHIND:,} messages have passed"
        for stream in LETTERS:
            if start[stream] < self.position[stream]:
                first, _ = await log.bounds(self._client.wire, stream)
                if first > start[stream] + 1:
                    return "the log no longer has all messages"
        return None

    async def find_start(self, since_ms: int) -> dict[str, int]:
        """The position before the messages of a time and later ones.

        Raises:
            StreamMissing, Unavailable: the broker cannot be read.
        """
        start = dict(self.position)
        for stream in LETTERS:
            entry = await log.first_since(self._client.wire, stream, since_ms)
            if entry is not None:
                start[stream] = min(start[stream], entry.sequence - 1)
        return start

    # -- what feeds call

    def join(self, feed: StreamOfClient) -> None:
        """Count a feed, and end it when the hub ends."""
        self._feeds.add(feed)
        self._empty.clear()
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def attach(self, feed: EventReader) -> None:
        """Hand new messages to a feed from now on."""
        if feed in self._feeds:
            self._attached.setdefault(feed.asked.request_id, set()).add(feed)

    def detach(self, feed: EventReader) -> None:
        """Hand no more messages to a feed."""
        attached = self._attached.get(feed.asked.request_id)
        if attached is not None:
            attached.discard(feed)
            if not attached:
                del self._attached[feed.asked.request_id]

    def leave(self, feed: StreamOfClient) -> None:
        """Forget a feed."""
        self._feeds.discard(feed)
        if not self._feeds:
            self._empty.set()
            self._plan_end()

    async def read_past(
        self, what: Watched, after: LogPosition, to: LogPosition
    ) -> AsyncGenerator[LogRecord, None]:
        """The stored messages between two positions, merged by time.

        Raises:
            StreamMissing, Unavailable: the broker cannot be read.
        """
        streams = {stream: each for stream, each in what.streams.items() if after[stream] < to[stream]}
        if streams:
            found = tail.past(
                self._client.wire,
                msgspec.structs.replace(what, streams=streams),
                start={stream: after[stream] + 1 for stream in streams},
                until={stream: to[stream] + 1 for stream in streams},
            )
            async for record in found:
                yield record

    # -- reading

    async def _read(self) -> None:
        try:
            live = tail.live(
                self._client.connection,
                tail.resolve(None, None, progress=True),
                start={stream: sequence + 1 for stream, sequence in self.position.items()},
                on_gap=self._skip,
            )
            handed = 0
            async with contextlib.aclosing(live):
                async for record in live:
                    self.hand_out(record)
                    handed += 1
                    if handed % _TURN == 0:
                        await asyncio.sleep(0)
        except (StreamMissing, Unavailable):
            # The next client that connects gets the reason.
            pass
        except Exception as error:  # noqa: BLE001 - a defect, emitted; clients connect again
            self._telemetry.emit(DefectFound(part="the event hub", raised=error))
        finally:
            self.end_all("broker")

    def hand_out(self, record: LogRecord) -> None:
        """Offer a new message to the feeds that may be interested; never waits."""
        position = None
        if record.stream is not None and record.seq is not None:
            self.position[record.stream] = record.seq
            position = format_position(self.position)
        frame = EventFrame(record, position)
        for feed in self._attached.get(None, ()):
            feed.offer(frame)
        if record.request_id is not None:
            for feed in self._attached.get(record.request_id, ()):
                feed.offer(frame)

    def _skip(self, gap: LogGap) -> None:
        """The stream deleted messages before the hub came to them: clients connect again, and find out."""
        if self._feeds:
            self.end_all("gap")
        self.position[gap.stream] = max(self.position[gap.stream], gap.sequence + gap.deleted - 1)

    def _plan_end(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        if not self._feeds:
            self._idle = asyncio.get_running_loop().call_later(_LINGER_S, self._stop)

    def _stop(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        if self._reading is not None:
            self._reading.cancel()
