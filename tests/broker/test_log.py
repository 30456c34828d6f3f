"""Is the log read whole and in order, in the past and as it grows?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
import pytest_asyncio
from nats.aio.client import Client as Connection
from nats.js.api import ConsumerConfig

from contracts.errors import Unavailable, UnderstudyError
from infra.inspect import tail
from infra.inspect.tail import Watched
from infra.nats import log, ordered, topology
from infra.nats.connection import Unreachable, dial
from infra.nats.embedded import Embedded
from infra.nats.log import LogEntry, StreamMissing
from infra.nats.multiplexer import RequestMultiplexer
from infra.nats.ordered import LogGap
from infra.settings.settings import Settings
from tests.broker.servers import until_read


@pytest_asyncio.fixture
async def wire(nats_url: str) -> AsyncIterator[RequestMultiplexer]:
    """Calls to the shared broker, which has its topology."""
    client = await dial(nats_url, name="test")
    found = RequestMultiplexer()
    await found.open(client)
    yield found
    await found.close()
    await client.close()


async def _publish(wire: RequestMultiplexer, *messages: tuple[str, bytes]) -> None:
    for subject, body in messages:
        ack = await wire.publish(subject, body, {"ce-source": "understudy/test"})
        assert ack.error is None


async def _take(entries: AsyncIterator[LogEntry], count: int) -> list[LogEntry]:
    found: list[LogEntry] = []
    async with asyncio.timeout(60):
        async for entry in entries:
            found.append(entry)
            if len(found) == count:
                break
    return found


async def test_reading_yields_every_match_with_body_headers_and_time(wire: RequestMultiplexer) -> None:
    await _publish(
        wire, ("gen.failed.layout.a", b"1"), ("gen.failed.plot.b", b"2"), ("gen.drafted.plot.a", b"3")
    )

    async def both() -> list[LogEntry] | None:
        entries = [entry async for entry in log.read(wire, "EVENTS", "gen.*.*.a")]
        return entries if len(entries) == 2 else None

    found = await until_read(both)
    assert [(each.subject, each.body, each.sequence) for each in found] == [
        ("gen.failed.layout.a", b"1", 1),
        ("gen.drafted.plot.a", b"3", 3),
    ]
    assert {each.headers["ce-source"] for each in found} == {"understudy/test"}
    assert found[0].time_ns < found[1].time_ns


async def test_reading_goes_on_past_one_batch(wire: RequestMultiplexer) -> None:
    total = 700
    await asyncio.gather(*(_publish(wire, (f"gen.failed.layout.r{n}", b"{}")) for n in range(total)))
    sequences = [entry.sequence async for entry in log.read(wire, "EVENTS", "gen.failed.>")]
    assert sequences == list(range(1, total + 1))
    later = [entry.sequence async for entry in log.read(wire, "EVENTS", "gen.failed.>", start=600)]
    assert later == list(range(600, total + 1))


async def test_reading_large_bodies_goes_on_past_the_byte_limit(wire: RequestMultiplexer) -> None:
    body = b"x" * 900_000
    for number in range(12):
        await _publish(wire, (f"gen.failed.layout.r{number}", body))
    assert [len(entry.body) async for entry in log.read(wire, "EVENTS", "gen.>")] == [len(body)] * 12


async def test_the_last_of_each_goes_on_past_what_the_broker_puts_into_one_answer(
    wire: RequestMultiplexer,
) -> None:
    count, body = 80, b"x" * 900_000
    for number in range(count):
        await _publish(wire, (f"gen.failed.layout.r{number}", body))
    asked = [f"gen.failed.*.r{number}" for number in range(count)]
    found = await log.last_of_each(wire, "EVENTS", asked)
    assert [each.sequence for each in found] == list(range(1, count + 1))


async def test_reading_since_a_time_starts_there(wire: RequestMultiplexer) -> None:
    await _publish(wire, ("gen.failed.layout.a", b"1"), ("gen.failed.layout.b", b"2"))
    first, second = [entry async for entry in log.read(wire, "EVENTS", ">")]
    since = second.time_ms if second.time_ms > first.time_ms else second.time_ms + 1
    found = [entry.subject async for entry in log.read(wire, "EVENTS", ">", since_ms=since)]
    assert found == ([second.subject] if since == second.time_ms else [])
    assert [entry async for entry in log.read(wire, "EVENTS", ">", since_ms=since + 3_600_000)] == []


async def test_messages_deleted_before_the_start_are_reported(nc: Connection) -> None:
    js, gaps = nc.jetstream(), list[LogGap]()
    await js.add_stream(name="SHORT", subjects=["short"], max_msgs=3)
    for number in range(10):
        await js.publish("short", b"%d" % number)
    async with aclosing(ordered.follow(nc, "SHORT", ("short",), start=1, on_gap=gaps.append)) as entries:
        assert [each.sequence for each in await _take(entries, 3)] == [8, 9, 10]
    assert gaps == [LogGap(stream="SHORT", sequence=1, deleted=7)]


async def test_a_refused_consumer_ends_the_tail_with_the_reason(nc: Connection) -> None:
    js = nc.jetstream()
    await js.add_stream(name="EVENTS", subjects=["gen.>"], max_consumers=1)
    await js.add_consumer("EVENTS", ConsumerConfig(durable_name="only"))
    what = Watched(streams={"EVENTS": (">",)}, progress=())
    async with asyncio.timeout(30), aclosing(tail.live(nc, what, start={"EVENTS": 1})) as lines:
        with pytest.raises(Unavailable, match="EVENTS cannot be followed: maximum consumers limit"):
            await anext(lines)


async def test_a_stream_without_a_consumer_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent:
        """A connected client whose requests for a consumer get no answer, as without the permission."""

        is_closed, is_connected = False, True

        def new_inbox(self) -> str:
            return "inbox"

        async def subscribe(self, *_: object, **__: object) -> Silent:
            return self

        async def unsubscribe(self) -> None:
            pass

        def jetstream(self, **_: object) -> Silent:
            return self

        async def add_consumer(self, *_: object) -> None:
            raise TimeoutError("nats: timeout")

    monkeypatch.setattr(ordered, "_AGAIN_S", 0.0)
    told: asyncio.Queue[str] = asyncio.Queue()
    entries = ordered.follow(Silent(), "EVENTS", (">",), start=1, on_fault=told.put_nowait)  # type: ignore[arg-type]
    reading = asyncio.ensure_future(anext(entries))
    async with asyncio.timeout(30):
        assert await told.get() == "EVENTS cannot be followed, trying again: nats: timeout"
    reading.cancel()


async def test_a_missing_stream_says_what_to_do(nc: Connection) -> None:
    wire = RequestMultiplexer()
    await wire.open(nc)
    with pytest.raises(StreamMissing, match="topology apply"):
        await log.get(wire, "EVENTS", 1)
    with pytest.raises(StreamMissing):
        await log.next_sequence(wire, "EVENTS")


async def test_one_message_by_sequence_or_subject(wire: RequestMultiplexer) -> None:
    await _publish(wire, ("gen.failed.layout.a", b"1"), ("gen.failed.plot.a", b"2"))
    got, missing = await log.get(wire, "EVENTS", 2), await log.get(wire, "EVENTS", 3)
    first = await log.first(wire, "EVENTS", "gen.failed.*.a")
    assert (got and got.body, missing, first and first.body) == (b"2", None, b"1")
    assert await log.next_sequence(wire, "EVENTS") == 3


async def test_the_owner_of_an_id_is_its_first_request_whatever_its_kind(wire: RequestMultiplexer) -> None:
    await _publish(
        wire,
        ("gen.requested.plot.b", b"1"),
        ("gen.requested.plot.a", b"2"),
        ("gen.requested.scene.a", b"3"),
    )
    owner = await log.owner(wire, "a")
    assert owner is not None
    assert (owner.subject, owner.sequence) == ("gen.requested.plot.a", 2)
    assert await log.owner(wire, "nobody") is None
    assert await log.owner(wire, "not.an.id") is None


async def test_everything_about_a_request_comes_from_all_streams_by_time(wire: RequestMultiplexer) -> None:
    await _publish(
        wire,
        ("gen.requested.layout.a", b"{}"),
        ("gen.requested.layout.b", b"{}"),
        ("dead.context-build.layout.a", b"{}"),
        ("gen.result.layout.a", b"{}"),
    )
    found = await log.of_request(wire, "a")
    assert [(each.stream, each.subject.split(".")[1]) for each in found] == [
        ("REQUESTS", "requested"),
        ("DEAD", "context-build"),
        ("EVENTS", "result"),
    ]


async def test_following_yields_what_is_there_and_what_comes(wire: RequestMultiplexer) -> None:
    await _publish(wire, ("gen.failed.layout.a", b"1"), ("gen.result.layout.a", b"2"))
    coming = ordered.follow(wire.client, "EVENTS", ("gen.failed.>", "gen.result.>"), start=1)
    async with aclosing(coming):
        before = await _take(coming, 2)
        await _publish(wire, ("gen.drafted.layout.a", b"3"), ("gen.failed.layout.b", b"4"))
        after = await _take(coming, 1)
    assert [(each.sequence, each.body) for each in (*before, *after)] == [(1, b"1"), (2, b"2"), (4, b"4")]


async def test_following_has_no_gap_over_a_killed_broker(broker: Embedded, settings: Settings) -> None:
    await topology.apply_at(broker.url, settings)
    client = await dial(broker.url, name="test")
    wire = RequestMultiplexer()
    await wire.open(client)
    coming = ordered.follow(client, "EVENTS", ("gen.failed.>",), start=1)
    async with aclosing(coming):
        await _publish(wire, ("gen.failed.layout.a", b"1"))
        before = await _take(coming, 1)
        await broker.stop()
        await broker.start()
        other = await dial(broker.url, name="other")
        for number in (2, 3):
            await other.jetstream().publish("gen.failed.layout.a", str(number).encode())
        after = await _take(coming, 2)
        await other.close()
    await client.close()
    assert [each.body for each in (*before, *after)] == [b"1", b"2", b"3"]


async def test_following_a_missing_stream_says_what_to_do(nc: Connection) -> None:
    coming = ordered.follow(nc, "EVENTS", ("gen.failed.>",), start=1)
    with pytest.raises(UnderstudyError, match="topology apply"):
        await _take(coming, 1)


async def test_the_past_is_merged_over_streams_by_time(wire: RequestMultiplexer) -> None:
    await _publish(
        wire,
        ("gen.requested.layout.a", b'{"prompt": "x"}'),
        ("gen.failed.layout.a", b"\xff"),
        ("gen.requested.layout.b", b'{"prompt": "y"}'),
        ("dead.fallback.layout.a", b"{}"),
    )
    what = tail.resolve(None, None)
    lines = [line async for line in tail.past(wire, what)]
    assert [line.event for line in lines] == ["requested", "failed", "requested", "dead"]
    assert lines[1].data["malformed"]
    stopped = [line.event async for line in tail.past(wire, what, until={"REQUESTS": 2, "DEAD": 1})]
    assert stopped == ["requested", "failed"]
    narrow = tail.resolve("gen.*.layout.>", "a")
    assert [line.event async for line in tail.past(wire, narrow)] == ["requested", "failed"]


async def test_live_lines_come_in_order_with_text_that_is_never_stored(wire: RequestMultiplexer) -> None:
    what = tail.resolve(None, "a")
    start = {stream: await log.next_sequence(wire, stream) for stream in what.streams}
    coming = tail.live(wire.client, what, start=start)
    async with aclosing(coming), asyncio.timeout(60):
        waiting = asyncio.ensure_future(anext(coming))
        await _publish(wire, ("gen.failed.layout.a", b"{}"))
        lines = [await waiting]
        await wire.client.publish(
            "gen.progress.layout.a", b'{"stage":"freeform-gen","attempt":1,"index":0,"text":"Once"}'
        )
        lines.append(await anext(coming))
        await _publish(
            wire, ("gen.requested.layout.other", b"{}"), ("gen.requested.layout.a", b'{"prompt":"x"}')
        )
        lines.append(await anext(coming))
    assert [(line.event, line.seq) for line in lines] == [("failed", 1), ("progress", None), ("requested", 2)]
    assert lines[1].data["text"] == "Once"


@pytest.mark.usefixtures("impatient")
async def test_an_unreachable_broker_says_where_and_what_to_do() -> None:
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1 .*understudy up"):
        await dial("nats://127.0.0.1:1", name="test")


async def test_the_leader_answers_as_any_server_does(wire: RequestMultiplexer) -> None:
    await _publish(wire, ("gen.failed.layout.a", b"1"), ("gen.failed.plot.a", b"\xff2"))
    assert await log.first_at_leader(wire, "EVENTS", "gen.*.*.b") is None
    first = await log.first_at_leader(wire, "EVENTS", "gen.*.*.a", start=2)
    assert first is not None
    assert (first.subject, first.sequence, first.body) == ("gen.failed.plot.a", 2, b"\xff2")
    assert first.headers == {"ce-source": "understudy/test"}

    async def read() -> LogEntry | None:
        return await log.first(wire, "EVENTS", "gen.*.*.a", start=2)

    assert await until_read(read) == first


async def test_a_request_that_a_server_does_not_have_yet_is_asked_for_at_the_leader(
    wire: RequestMultiplexer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ack = await wire.publish("gen.requested.layout.a", b"{}")
    assert ack.error is None

    async def behind(*_: object, **__: object) -> None:
        """What a server of a cluster says that was away."""

    monkeypatch.setattr(log, "first", behind)
    found = await log.owner(wire, "a")
    assert found is not None
    assert (found.subject, found.sequence) == ("gen.requested.layout.a", 1)
    assert await log.owner(wire, "b") is None
