"""Are dead letters found, and is one replayed once and only once?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio
from nats.js.api import ConsumerConfig

from contracts.errors import ErrorCode
from contracts.events import DeadLetter
from infra.inspect import dead_letters
from infra.inspect.dead_letters import Letter, NoLetter
from infra.inspect.request_filter import RequestFilter
from infra.nats import log, ordered
from infra.nats.connection import dial
from infra.nats.multiplexer import RequestMultiplexer
from infra.nats.submissions import Submission
from infra.replay import publishing
from tests.command_line import Ended, understudy
from tests.pipeline.replays import TIME, prepare


@pytest_asyncio.fixture
async def wire(nats_url: str) -> AsyncIterator[RequestMultiplexer]:
    """Calls to the shared broker, which has its topology."""
    client = await dial(nats_url, name="test")
    found = RequestMultiplexer()
    await found.open(client)
    yield found
    await found.close()
    await client.close()


async def _die(
    wire: RequestMultiplexer,
    request_id: str,
    *,
    stage: str = "context-build",
    code: str = "GEN_POISON",
    subject: str | None = None,
    stream: str = "REQUESTS",
) -> None:
    """A message, of a request or on another subject, and its dead letter, as a stage would leave them."""
    body = b'{"prompt": "a forest"}'
    unknown = subject is not None
    subject = subject or f"gen.requested.layout.{request_id}"
    ack = await wire.publish(subject, body)
    letter = DeadLetter(
        code=ErrorCode(code),
        reason="killed its worker",
        stage=stage,
        stream=stream,
        sequence=ack.seq,
        subject=subject,
        time_ms=1,
        deliveries=4,
        body=body,
    )
    address = f"unknown.{stream}-{ack.seq}" if unknown else f"layout.{request_id}"
    await wire.publish(f"dead.{stage}.{address}", msgspec.json.encode(letter))


async def _find(
    wire: RequestMultiplexer, *, sequences: tuple[int, ...] = (), **wanted: object
) -> list[Letter]:
    found = dead_letters.find(wire, RequestFilter(**wanted), sequences=sequences)  # type: ignore[arg-type]
    return [letter async for letter in found]


async def _replay(wire: RequestMultiplexer, letter: int, *, number: int = 1) -> tuple[str, Submission]:
    ready = await prepare(wire, letter, number=number)
    (done,) = await publishing.publish(wire, [ready], time=TIME)
    return ready.request_id, done


async def test_letters_are_found_by_every_filter(wire: RequestMultiplexer) -> None:
    await _die(wire, "a")
    await _die(wire, "b", stage="fallback")
    await _die(wire, "c", code="GEN_INTERNAL")
    assert [each.request_id for each in await _find(wire)] == ["a", "b", "c"]
    assert [each.request_id for each in await _find(wire, request_id="b")] == ["b"]
    assert [each.request_id for each in await _find(wire, stage=("fallback",))] == ["b"]
    assert [each.request_id for each in await _find(wire, code=("GEN_INTERNAL",))] == ["c"]
    assert [each.request_id for each in await _find(wire, sequences=(3, 1))] == ["c", "a"]
    first = (await _find(wire))[0]
    assert await _find(wire, since_ms=first.time_ms + 3_600_000) == []


async def test_letters_of_invalid_subjects_are_found_by_their_id(
    wire: RequestMultiplexer, nats_url: str, tmp_path: Path
) -> None:
    await _die(wire, "a")
    await _die(wire, "a", subject="gen.failed.dragon.a", stream="EVENTS", stage="fallback")
    await _die(wire, "player#1", subject="gen.requested.plot.player#1")
    await _die(wire, "b", stage="fallback")
    await _die(wire, "a", stage="fallback")
    assert [each.sequence for each in await _find(wire, request_id="a")] == [1, 2, 5]
    assert [each.sequence for each in await _find(wire, request_id="a", stage=("fallback",))] == [2, 5]
    assert [each.sequence for each in await _find(wire, request_id="pla*")] == [3]
    assert await _find(wire, request_id="EVENTS-1") == []
    environment = {"UNDERSTUDY_NATS_URL": nats_url, "UNDERSTUDY_DATA_DIR": str(tmp_path)}

    async def plan(request_id: str) -> list[tuple[int, str]]:
        ended = await asyncio.to_thread(
            understudy, "dead", "replay", "--id", request_id, "--dry-run", "--json", environment=environment
        )
        planned = [msgspec.json.decode(line) for line in ended.out.splitlines()]
        return [(each["letter"], each["outcome"]) for each in planned]

    assert await plan("a") == [(1, "would_publish"), (2, "unreplayable"), (5, "would_publish")]
    assert await plan("player#1") == [(3, "would_publish")]


async def test_an_unknown_letter_is_told(wire: RequestMultiplexer) -> None:
    with pytest.raises(NoLetter, match="dead ls"):
        await dead_letters.get(wire, 1)
    with pytest.raises(NoLetter):
        await dead_letters.drop(wire, 1)


async def test_a_replay_is_a_new_request_with_lineage(wire: RequestMultiplexer) -> None:
    await _die(wire, "a")
    name, done = await _replay(wire, 1)
    found = await log.owner(wire, name)
    assert (name, done) == ("rp-1-1", Submission.STORED)
    assert found is not None
    assert found.subject == "gen.requested.layout.rp-1-1"
    assert msgspec.json.decode(found.body) == {"prompt": "a forest", "replay_of": "a"}
    assert found.headers["traceparent"]


async def test_a_second_replay_is_refused_by_the_broker(wire: RequestMultiplexer) -> None:
    await _die(wire, "a")
    done = await asyncio.gather(*(_replay(wire, 1) for _ in range(10)))
    assert sorted(each for _, each in done) == [Submission.PRESENT] * 9 + [Submission.STORED]
    assert [entry.subject async for entry in log.read(wire, "REQUESTS", "gen.requested.*.rp-1-1")] == [
        "gen.requested.layout.rp-1-1"
    ]


async def test_a_second_replay_is_refused_under_another_kind_too(wire: RequestMultiplexer) -> None:
    await _die(wire, "a")
    await wire.publish("gen.requested.plot.rp-1-1", b'{"prompt": "taken"}')
    assert await _replay(wire, 1) == ("rp-1-1", Submission.TAKEN)


async def test_the_next_number_is_another_replay(wire: RequestMultiplexer) -> None:
    await _die(wire, "a")
    assert [await _replay(wire, 1), await _replay(wire, 1, number=2)] == [
        ("rp-1-1", Submission.STORED),
        ("rp-1-2", Submission.STORED),
    ]
    assert await _replay(wire, 1) == ("rp-1-1", Submission.PRESENT)


async def test_a_dropped_letter_is_gone_and_the_others_stay(wire: RequestMultiplexer) -> None:
    await _die(wire, "a")
    await _die(wire, "b")
    await dead_letters.drop(wire, 1)
    assert [each.request_id for each in await _find(wire)] == ["b"]
    with pytest.raises(NoLetter):
        await dead_letters.drop(wire, 1)


async def test_letters_of_shadows_are_listed_shown_and_dropped(
    wire: RequestMultiplexer, nats_url: str, tmp_path: Path
) -> None:
    await _die(wire, "sh-1")
    environment = {"UNDERSTUDY_NATS_URL": nats_url, "UNDERSTUDY_DATA_DIR": str(tmp_path)}

    async def run(*args: str) -> Ended:
        return await asyncio.to_thread(understudy, "dead", *args, environment=environment)

    for args in (("ls",), ("show", "1"), ("show", "--id", "*-1")):
        assert "sh-1" in (await run(*args)).out
    assert (await run("drop", "--all", "--yes")).status == 0
    assert await log.get(wire, "DEAD", 1) is None


async def test_what_the_broker_gave_up_on_is_a_letter_that_can_be_replayed(wire: RequestMultiplexer) -> None:
    js = wire.client.jetstream()
    await js.add_consumer(
        "REQUESTS",
        ConsumerConfig(durable_name="frail", ack_wait=1, max_deliver=1, ack_policy="explicit"),  # type: ignore[arg-type]
    )
    consumer = await js.pull_subscribe_bind("frail", "REQUESTS")
    await wire.publish("gen.requested.layout.a", b'{"prompt": "a forest"}')
    (message,) = await consumer.fetch(1, timeout=30)
    await message.term()
    letter = await _first_letter(wire)
    assert (letter.advisory, letter.stage, letter.stream, letter.stream_sequence) == (
        True,
        "frail",
        "REQUESTS",
        1,
    )
    assert "terminated" in letter.reason
    assert await _replay(wire, letter.sequence) == ("rp-1-1", Submission.STORED)


async def _first_letter(wire: RequestMultiplexer) -> Letter:
    async with asyncio.timeout(60):
        async for entry in ordered.follow(wire.client, "DEAD", (">",), start=1):
            return dead_letters.read(entry)
    raise AssertionError
