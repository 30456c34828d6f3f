"""Feeds of events: positions, resuming at any point, slow readers, filters, and the response that sends them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import pipeline
from infra.gateway.feed import MOST_WAITING, EventFeed
from infra.gateway.feed_filter import FeedRequest
from infra.gateway.http_protocol import ABORT
from infra.gateway.hub import MOST_BEHIND, EventHub
from infra.gateway.log_position import LETTERS, format_position, is_ahead, parse_position
from infra.gateway.sse import EventStreamResponse
from infra.inspect import record, tail
from infra.inspect.message_filter import MessageFilter
from infra.inspect.record import LogRecord
from infra.inspect.request_filter import RequestFilter
from infra.nats.log import LogEntry
from infra.nats.multiplexer import RequestMultiplexer
from infra.telemetry.dispatch import Telemetry

R, E, D = pipeline.REQUESTS, pipeline.EVENTS, pipeline.DEAD
SUBJECTS = {R: "gen.requested.layout.r-{}", E: "gen.failed.layout.r-{}", D: "dead.audit.layout.r-{}"}
ALL = tail.resolve(None, None, progress=False)


def message(stream: str, sequence: int, *, name: int = 0, body: bytes = b'{"prompt": "x"}') -> LogRecord:
    return record.decode(
        LogEntry(
            stream=stream,
            sequence=sequence,
            subject=SUBJECTS[stream].format(name),
            time_ns=sequence,
            headers={},
            body=body,
        )
    )


class Hub(EventHub):
    """A hub whose log is a list: what is in it and not handed out yet can be read already."""

    def __init__(self, log: list[LogRecord] | None = None, owners: dict[str, bytes] | None = None) -> None:
        wire = RequestMultiplexer()
        super().__init__(cast("Any", type("Client", (), {"wire": wire})), Telemetry())
        self.log = log or []
        self.searched: list[str] = []
        self._owned = owners or {}
        self.owners = MessageFilter(RequestFilter(), self._find)
        self._reading = cast("Any", asyncio.get_running_loop().create_future())

    async def _find(self, request_id: str) -> LogEntry | None:
        self.searched.append(request_id)
        body = self._owned.get(request_id)
        if body is None:
            return None
        return LogEntry(
            stream=R, sequence=1, subject="gen.requested.layout.x", time_ns=1, headers={}, body=body
        )

    async def read_past(self, what: Any, after: Any, to: Any) -> AsyncGenerator[LogRecord, None]:
        del what
        until = dict(to)
        for each in list(self.log):
            if each.stream and after[each.stream] < (each.seq or 0) <= until[each.stream]:
                await asyncio.sleep(0)
                yield each

    def add(self, *records: LogRecord) -> None:
        for each in records:
            self.log.append(each)
            self.hand_out(each)


def everything(**options: Any) -> FeedRequest:
    return FeedRequest(what=ALL, where=RequestFilter(), **options)


class Reader:
    """A client: what it has read, and its last id."""

    def __init__(self, hub: Hub, asked: FeedRequest, **options: Any) -> None:
        self.feed = EventFeed(hub, asked, **options)
        self.feed.join(lambda: None)
        self._chunks = self.feed.read()
        self.last = ""
        self.names: list[str] = []
        self.data: list[Any] = []

    async def read(self) -> bool:
        """Read what is sent at once; false at the end."""
        chunk = await anext(self._chunks, None)
        for text in (chunk or b"").decode().split("\n\n"):
            fields = dict(line.split(": ", 1) for line in text.splitlines() if not line.startswith(":"))
            self.last = fields.get("id", self.last)
            if "data" in fields:
                self.names.append(fields["event"])
                self.data.append(msgspec.json.decode(fields["data"]))
        return chunk is not None

    async def read_all(self) -> None:
        while await self.read():
            pass

    async def leave(self) -> None:
        self.feed.leave()
        await self._chunks.aclose()


def places(reader: Reader) -> list[tuple[str, int]]:
    first = {"requested": R, "failed": E, "dead": D}
    return [(first[each["event"]], each["seq"]) for each in reader.data if "seq" in each]


@given(st.tuples(*[st.integers(0, 2**63 - 1)] * 3))
def test_a_position_is_read_as_it_is_written(numbers: tuple[int, int, int]) -> None:
    position = dict(zip(LETTERS, numbers, strict=True))
    assert parse_position(format_position(position)) == position
    assert not is_ahead(position, position)


@pytest.mark.parametrize(
    "text", ["", "R1", "R1.E2", "E1.R2.D3", "R1.E2.D3 ", "R-1.E2.D3", "R1.E2.D٣", "r1.e2.d3"]
)
def test_other_text_is_no_position(text: str) -> None:
    assert parse_position(text) is None


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from((R, E, D)), st.integers(1, 200)),
        st.tuples(st.just("read"), st.just(""), st.integers(1, 3)),
        st.tuples(st.just("cut"), st.just(""), st.just(0)),
    ),
    max_size=25,
)


@given(_STEPS)
async def test_whenever_a_reader_comes_back_it_misses_nothing_and_gets_nothing_twice(
    steps: list[Any],
) -> None:
    hub = Hub()
    reader = Reader(hub, everything(), ping_s=0)
    await reader.read()
    got: list[tuple[str, int]] = []
    for step, stream, number in steps:
        match step:
            case "add":
                for _ in range(number):
                    hub.add(message(stream, hub.position[stream] + 1))
                    if hub.position[stream] % 3 == 0:
                        # Readers have their turns between them.
                        await asyncio.sleep(0)
            case "read":
                for _ in range(number):
                    await reader.read()
            case _:
                got += places(reader)
                await reader.leave()
                reader = Reader(hub, everything(start=parse_position(reader.last)), ping_s=0)
                await reader.read()
    got += places(reader)
    await reader.leave()
    reader = Reader(hub, everything(start=parse_position(reader.last)), max_age_s=0, ping_s=0)
    await reader.read_all()
    got += places(reader)
    for stream in LETTERS:
        assert [each for each in got if each[0] == stream] == [
            (stream, number + 1) for number in range(hub.position[stream])
        ]


async def test_progress_does_not_move_the_id() -> None:
    hub = Hub()
    asked = FeedRequest(what=tail.resolve(None, None, progress=True), where=RequestFilter())
    reader = Reader(hub, asked)
    await reader.read()
    waiting = asyncio.create_task(reader.read())
    await asyncio.sleep(0)
    hub.add(message(E, 7))
    hub.hand_out(record.progress("gen.progress.layout.r-0", b"{}", {}, time_ns=1))
    await waiting
    assert reader.names == ["failed", "progress"]
    assert reader.last == "R0.E7.D0"


async def test_a_slow_reader_gets_what_waited_then_hears_what_it_missed_and_the_others_get_all() -> None:
    hub = Hub()
    slow, quick = Reader(hub, everything()), Reader(hub, everything())
    for each in (slow, quick):
        await each.read()
        waiting = asyncio.create_task(each.read())
        await asyncio.sleep(0)
        hub.add(message(E, hub.position[E] + 1))
        await waiting
    total = MOST_WAITING + 30
    for sequence in range(3, total + 1):
        hub.add(message(E, sequence))
        if sequence % 100 == 0:
            await quick.read()
    while len(quick.data) < total - 1:
        await quick.read()
    await slow.read_all()
    kept = len(slow.data) - 1
    assert slow.names[-1] == "lagged"
    assert slow.data[-1] == {"missed": total - kept}
    assert slow.last == f"R0.E{kept}.D0"
    assert quick.names == ["failed"] * (total - 1)


async def test_bytes_that_wait_are_bounded_too() -> None:
    hub = Hub()
    reader = Reader(hub, everything())
    await reader.read()
    waiting = asyncio.create_task(reader.read())
    await asyncio.sleep(0)
    for sequence in range(1, 21):
        hub.add(message(R, sequence, body=msgspec.json.encode({"prompt": "x" * 1_000_000})))
    await waiting
    await reader.read_all()
    assert reader.names[-1] == "lagged"
    assert 5 < len(reader.names) < 12


async def test_an_idle_stream_pings_with_its_position_and_ends_with_bye() -> None:
    hub = Hub()
    hub.position[R] = 5
    reader = Reader(hub, everything(), ping_s=0.01, max_age_s=0.05)
    await reader.read_all()
    assert reader.names == ["bye"]
    assert reader.data == [{"reason": "age"}]
    assert reader.last == "R5.E0.D0"


async def test_who_is_far_behind_reads_the_log_before_live_events_wait_for_it() -> None:
    hub = Hub([message(E, number) for number in range(1, 3001)])
    hub.position[E] = 3000
    reader = Reader(hub, everything(start=dict.fromkeys(LETTERS, 0)), max_age_s=0)
    while len(reader.data) < 1000:
        await reader.read()
    for number in range(3001, 3001 + MOST_WAITING + 100):
        hub.add(message(E, number))
    await reader.read_all()
    assert places(reader) == [(E, number) for number in range(1, 3001 + MOST_WAITING + 100)]
    assert reader.data[-1] == {"reason": "age"}


async def test_a_stream_of_one_request_ends_after_its_result_and_shows_no_others() -> None:
    hub = Hub()
    asked = FeedRequest(
        what=tail.resolve(None, "r-1"), start=dict.fromkeys(LETTERS, 0), request_id="r-1", workspace="a"
    )
    mine, foreign = b'{"prompt": "x", "workspace": "a"}', b'{"prompt": "x", "workspace": "b"}'
    reader = Reader(hub, asked)
    await reader.read()
    reading = asyncio.create_task(reader.read_all())
    await asyncio.sleep(0)
    ended = msgspec.structs.replace(message(E, 3, name=1), event="result")
    hub.add(message(R, 1, name=1, body=mine), message(R, 2, name=2, body=mine))
    hub.add(message(R, 3, name=1, body=foreign), message(E, 2, name=1), ended, message(E, 4, name=1))
    await reading
    assert reader.names == ["requested", "failed", "result", "bye"]
    assert reader.data[-1] == {"reason": "ended"}


async def test_a_workspace_sees_its_own_requests_whoever_repeats_their_ids() -> None:
    hub = Hub(owners={"r-1": b'{"workspace": "a"}', "r-2": b'{"workspace": "b"}'})
    asked = FeedRequest(what=ALL, where=RequestFilter(workspace="a"), workspace="a")
    reader = Reader(hub, asked, max_age_s=0.05)
    await reader.read()
    reading = asyncio.create_task(reader.read_all())
    await asyncio.sleep(0)
    hub.add(*[message(E, number, name=number) for number in range(1, 4)])
    # The request of b whose id a repeats, and the one of a that b repeats.
    hub.add(
        message(R, 1, name=2, body=b'{"workspace": "a"}'), message(R, 2, name=1, body=b'{"workspace": "b"}')
    )
    hub.add(message(E, 4, name=2), message(E, 5, name=1))
    await reading
    assert [each["seq"] for each in reader.data[:-1]] == [1, 5]
    assert sorted(hub.searched) == ["r-1", "r-2", "r-3"]


async def test_a_filter_lets_through_what_it_names() -> None:
    hub = Hub()
    reader = Reader(hub, FeedRequest(what=ALL, where=RequestFilter(request_id="r-1*")), max_age_s=0.05)
    await reader.read()
    reading = asyncio.create_task(reader.read_all())
    await asyncio.sleep(0)
    hub.add(*[message(E, number, name=number) for number in range(1, 13)])
    hub.hand_out(record.progress("gen.progress.layout.r-1", b"{}", {}, time_ns=1))
    await reading
    assert [each["seq"] for each in reader.data[:-1]] == [1, 10, 11, 12]


async def test_a_farewell_ends_every_stream_and_cuts_readers_that_do_not_take_it() -> None:
    hub = Hub()
    cut: list[str] = []
    reader, frozen = Reader(hub, everything()), EventFeed(hub, everything())

    def abort() -> None:
        cut.append("frozen")
        frozen.leave()

    frozen.join(abort)
    await reader.read()
    reading = asyncio.create_task(_read_and_leave(reader))
    await hub.farewell()
    await reading
    assert reader.data == [{"reason": "stop"}]
    assert cut == ["frozen"]
    assert hub.feeds == 0


async def _read_and_leave(reader: Reader) -> None:
    await reader.read_all()
    await reader.leave()


async def test_more_messages_than_the_limit_are_a_reset() -> None:
    hub = Hub()
    hub.position[E] = MOST_BEHIND + 1
    assert "10,000" in (await hub.find_reset(dict.fromkeys(LETTERS, 0), whole=True) or "")
    assert await hub.find_reset(dict.fromkeys(LETTERS, 0), whole=False) is None
    assert await hub.find_reset(hub.position, whole=True) is None


class Client:
    """The server's side of one client: takes some chunks, then no more."""

    def __init__(self, takes: int) -> None:
        self.sent: list[Any] = []
        self.gone = asyncio.Event()
        self._takes = takes

    async def send(self, sent: Any) -> None:
        if len(self.sent) >= self._takes:
            await self.gone.wait()
            return
        self.sent.append(sent)

    async def receive(self) -> Any:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    def run(self, response: Callable[..., Any]) -> asyncio.Task[None]:
        scope = {"type": "http", "extensions": {ABORT: self.gone.set}}
        return asyncio.create_task(response(scope, self.receive, self.send))


async def test_a_client_that_accepts_nothing_is_cut_off_and_holds_up_nobody() -> None:
    hub = Hub()
    frozen, quick = Client(takes=2), Client(takes=10_000)
    ending = frozen.run(EventStreamResponse(EventFeed(hub, everything()), send_s=0.05))
    running = quick.run(EventStreamResponse(EventFeed(hub, everything()), send_s=30))
    while len(frozen.sent) < 2 or len(quick.sent) < 2:
        await asyncio.sleep(0)
    hub.add(message(E, 1))
    await ending
    assert frozen.gone.is_set()
    assert hub.feeds == 1
    hub.add(message(E, 2))
    while len(quick.sent) < 4:
        await asyncio.sleep(0)
    assert b"R0.E2.D0" in quick.sent[-1]["body"]
    quick.gone.set()
    await running
    assert hub.feeds == 0
