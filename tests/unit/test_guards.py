"""Guards and starts: what ends before its handler is called, and how suspects are treated."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from contracts import events as ev
from contracts.errors import ErrorCode, Unavailable
from contracts.outcome import Emit, Outcome
from contracts.result import Status
from infra.runner.crash_counter import POISON, CrashCounter
from infra.runner.deadlines import Armed
from tests.unit.fake_broker import NOW_MS, FakeBroker, FakeDelivery, delivered, in_time, sample, take


class Handler:
    """Counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, _: Any) -> Outcome:
        self.calls += 1
        return Emit()


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


@pytest.fixture
def handler() -> Handler:
    return Handler()


def request(sequence: int, body: bytes = b'{"prompt": "x"}', request_id: str = "r-1", **more: Any) -> Any:
    return FakeDelivery(
        f"gen.requested.plot.{request_id}", body, stream="REQUESTS", sequence=sequence, **more
    )


def built(left_ms: int = 60_000, **more: Any) -> FakeDelivery:
    return delivered(in_time(sample("context_built", ev.ContextBuilt, attempt=2), left_ms), **more)


# -- requests --------------------------------------------------------------------------------------


async def test_a_request_is_begun_once(broker: FakeBroker, handler: Handler) -> None:
    first = broker.put("gen.requested.plot.r-1", b'{"prompt": "x"}')
    second = broker.put("gen.requested.plot.r-1", b'{"prompt":"x"}')
    runner = broker.runner("context-build", handler)
    await take(runner, request(first))
    repeated = await take(runner, request(second, b'{"prompt":"x"}'))
    assert (handler.calls, repeated.ways, broker.letters()) == (1, ["ack"], [])


async def test_an_id_that_is_taken_is_a_letter_without_a_result(broker: FakeBroker, handler: Handler) -> None:
    broker.put("gen.requested.plot.r-1", b'{"prompt": "x"}')
    second = broker.put("gen.requested.plot.r-1", b'{"prompt": "y"}')
    given = await take(broker.runner("context-build", handler), request(second, b'{"prompt": "y"}'))
    (letter,) = broker.letters()
    assert "id already used by gen.requested.plot.r-1 (sequence 1)" in letter.reason
    assert (handler.calls, given.ways, broker.subjects("gen.result.")) == (0, ["ack"], [])


async def test_a_request_past_its_own_deadline_is_left_to_the_fallback(
    broker: FakeBroker, handler: Handler
) -> None:
    given = await take(broker.runner("context-build", handler), request(1, b'{"deadline_ms": 10}'))
    assert (handler.calls, given.ways, broker.stored) == (0, ["ack"], [])


async def test_an_id_that_no_request_may_have_is_rejected(broker: FakeBroker, handler: Handler) -> None:
    await take(broker.runner("context-build", handler), request(1, request_id="a!b"))
    (found,) = broker.events("result")
    assert (found.status, handler.calls) == (Status.REJECTED, 0)


# -- model calls -----------------------------------------------------------------------------------


async def test_a_call_is_not_made_for_a_request_that_is_answered(
    broker: FakeBroker, handler: Handler
) -> None:
    broker.put("gen.result.layout.r-1")
    given = await take(broker.runner("freeform-gen", handler), built())
    assert (handler.calls, given.ways, len(broker.stored)) == (0, ["ack"], 1)


async def test_a_call_is_not_begun_past_the_deadline(broker: FakeBroker, handler: Handler) -> None:
    given = await take(broker.runner("freeform-gen", handler), built(20))
    assert (handler.calls, given.ways, broker.stored) == (0, ["ack"], [])


async def test_a_call_that_would_end_too_late_is_a_failure(broker: FakeBroker, handler: Handler) -> None:
    runner = broker.runner("freeform-gen", handler)
    runner._pace.took("plot", 60_000, now_s=0.0)
    runner._pace.took("plot", 10**9, now_s=float(2**31))
    await take(runner, built(1_000))
    (failed,) = broker.events("failed")
    assert (handler.calls, failed.code) == (0, ErrorCode.GEN_TIMEOUT)
    assert "1000 ms are left until the deadline" in failed.message


async def test_a_look_for_a_result_that_finds_no_broker_waits(broker: FakeBroker, handler: Handler) -> None:
    broker.away = Unavailable("away")
    given = await take(broker.runner("freeform-gen", handler), built())
    assert (handler.calls, given.ways) == (0, ["nak"])


# -- deadlines -------------------------------------------------------------------------------------


def fired(seq: int = 1) -> FakeDelivery:
    return delivered(ev.Deadline(request_seq=seq, deadline_ms=1000))


async def test_a_deadline_is_answered_unless_its_request_is(broker: FakeBroker, handler: Handler) -> None:
    armed = Armed(request_id="r-1", kind="plot", request_seq=1, deadline_ms=1000, due_ms=NOW_MS)
    runner = broker.runner("fallback", handler)
    broker.deadlines.armed(armed)
    await take(runner, fired())
    assert handler.calls == 1
    broker.deadlines.ended("r-1", stored=True)
    ended = await take(runner, fired())
    assert (handler.calls, ended.ways) == (1, ["ack"])


async def test_a_deadline_of_another_life_looks_in_the_log(broker: FakeBroker, handler: Handler) -> None:
    runner = broker.runner("fallback", handler)
    await take(runner, fired())
    broker.put("gen.result.plot.r-1")
    await take(runner, fired())
    assert handler.calls == 1


async def test_a_deadline_that_is_answered_from_memory_waits(broker: FakeBroker, handler: Handler) -> None:
    armed = Armed(request_id="r-1", kind="plot", request_seq=1, deadline_ms=1000, due_ms=NOW_MS - 60_000)
    broker.deadlines.armed(armed)
    assert broker.deadlines.due(1) == [armed]
    given = await take(broker.runner("fallback", handler), fired())
    assert (handler.calls, given.ways) == (0, ["nak"])


# -- what cannot be read ---------------------------------------------------------------------------


async def test_a_body_that_cannot_be_read_fails_its_request(broker: FakeBroker, handler: Handler) -> None:
    given = FakeDelivery("gen.structured.plot.r-1", b"\xff")
    await take(broker.runner("validate-repair", handler), given)
    (letter,) = broker.letters()
    assert (letter.body, letter.stage) == (b"\xff", "validate-repair")
    assert [each.code for each in broker.events("failed")] == [ErrorCode.GEN_INTERNAL]
    assert (handler.calls, given.ways) == (0, ["ack"])


async def test_only_one_stage_writes_the_letter_of_junk(broker: FakeBroker, handler: Handler) -> None:
    given = await take(broker.runner("audit", handler), FakeDelivery("gen.structured.plot.r-1", b"\xff"))
    assert (broker.stored, given.ways) == ([], ["ack"])


async def test_a_subject_of_an_unknown_kind_has_a_letter_by_its_sequence(
    broker: FakeBroker, handler: Handler
) -> None:
    await take(broker.runner("validate-repair", handler), FakeDelivery("gen.structured.poem.r-1", b"{}"))
    assert broker.subjects("") == ["dead.validate-repair.unknown.EVENTS-11"]


async def test_a_large_body_is_an_object_beside_its_letter(broker: FakeBroker, handler: Handler) -> None:
    body = b"\xff" * (600 * 1024)
    await take(broker.runner("validate-repair", handler), FakeDelivery("gen.structured.plot.r-1", body))
    (letter,) = broker.letters()
    assert (letter.body, letter.size) == (None, len(body))
    assert list(broker.objects.values()) == [body]


async def test_a_newer_version_waits_while_anybody_waits_for_it(broker: FakeBroker, handler: Handler) -> None:
    newer = {"ce-type": "dev.understudy.gen.structured.v99"}
    body = msgspec.json.encode(sample("structured", ev.Structured))
    runner = broker.runner("validate-repair", handler)
    parked = await take(runner, FakeDelivery("gen.structured.plot.r-1", body, headers=newer))
    broker.put("gen.result.plot.r-1")
    over = await take(runner, FakeDelivery("gen.structured.plot.r-1", body, headers=newer))
    assert (parked.ways, over.ways, handler.calls) == (["nak"], ["ack"], 0)


async def test_a_newer_request_is_armed_and_recorded_all_the_same(
    broker: FakeBroker, handler: Handler
) -> None:
    newer = {"ce-type": "dev.understudy.gen.requested.v99"}
    for stage, calls in (("fallback", 1), ("audit", 2), ("context-build", 2)):
        await take(broker.runner(stage, handler), request(1, headers=newer))
        assert handler.calls == calls


# -- suspects (rule 5) -----------------------------------------------------------------------------


def suspect(**more: Any) -> FakeDelivery:
    return delivered(sample("structured", ev.Structured), deliveries=2, **more)


async def test_a_first_delivery_costs_no_count(broker: FakeBroker, handler: Handler) -> None:
    seen: list[list[str]] = []
    runner = broker.runner("validate-repair", lambda _: seen.append(broker.subjects("$KV.")) or Emit())
    await take(runner, delivered(sample("structured", ev.Structured)))
    await take(runner, suspect())
    assert seen == [[], ["$KV.strikes.validate-repair.EVENTS-11"]]
    assert broker.subjects("$KV.") == []


async def test_three_starts_without_an_end_are_poison(broker: FakeBroker, handler: Handler) -> None:
    broker.put("$KV.strikes.validate-repair.EVENTS-11", str(POISON).encode())
    given = await take(broker.runner("validate-repair", handler), suspect())
    assert [each.code for each in broker.events("failed")] == [ErrorCode.GEN_POISON]
    assert ([letter.code for letter in broker.letters()], handler.calls) == ([ErrorCode.GEN_POISON], 0)
    assert (given.ways, broker.subjects("$KV.")) == (["ack"], [])


async def test_what_poisons_the_fallback_is_answered_by_the_runner(
    broker: FakeBroker, handler: Handler
) -> None:
    broker.put("gen.requested.plot.r-1", b"{}")
    broker.put("$KV.strikes.fallback.EVENTS-11", str(POISON).encode())
    await take(broker.runner("fallback", handler), delivered(sample("failed", ev.Failed), deliveries=4))
    (found,) = broker.events("result")
    assert (found.status, found.error.code) == (Status.FAILED, ErrorCode.GEN_POISON)
    assert (len(broker.letters()), broker.events("failed"), handler.calls) == (1, [], 0)


async def test_from_the_second_start_a_suspect_runs_alone(broker: FakeBroker) -> None:
    running: set[str] = set()
    beside: dict[str, set[str]] = {}
    begun, release = asyncio.Event(), asyncio.Event()

    async def handle(received: Any) -> Emit:
        beside[received.request_id] = set(running)
        running.add(received.request_id)
        if received.request_id == "calm":
            begun.set()
            await release.wait()
        running.discard(received.request_id)
        return Emit()

    broker.put("$KV.strikes.validate-repair.EVENTS-11", b"1")
    runner = broker.runner("validate-repair", handle)
    event = sample("structured", ev.Structured)
    calm = asyncio.create_task(runner(delivered(event, request_id="calm", sequence=9)))  # type: ignore[arg-type]
    await begun.wait()
    wild = asyncio.create_task(runner(delivered(event, request_id="wild", deliveries=3)))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    release.set()
    await asyncio.gather(calm, wild)
    assert beside == {"calm": set(), "wild": set()}


@pytest.mark.parametrize("stage", ["audit", "fallback"])
async def test_counts_of_two_stages_are_two(broker: FakeBroker, stage: str) -> None:
    parts: Any = broker
    counter = CrashCounter(wire=parts, lookup=parts, stage=stage)
    assert await counter.count("EVENTS", 11) == 0
    await counter.add("EVENTS", 11, 2)
    assert await counter.count("EVENTS", 11) == 2
    other = CrashCounter(wire=parts, lookup=parts, stage="structuring")
    assert await other.count("EVENTS", 11) == 0
    await counter.clear("EVENTS", 11)
    assert await counter.count("EVENTS", 11) == 0
