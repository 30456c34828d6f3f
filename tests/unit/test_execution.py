"""Execution of a message: how it ends, in every case, against a broker in memory."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from contracts import envelope
from contracts import events as ev
from contracts.errors import ErrorCode, Unavailable, Unstorable
from contracts.outcome import Delegate, Emit, Fail, Record, Reject, Retry, Schedule, Submit, Wait
from contracts.result import Status
from infra.runner import publishing
from infra.telemetry.events import (
    DefectFound,
    HandBackFailed,
    LetterLost,
    LetterWritten,
    MessageEnding,
    MessageHandled,
    PublishDelayed,
    RatingLowered,
    ResultPublished,
)
from tests.unit.fake_broker import (
    FULL,
    NEVER,
    NOW_MS,
    REFUSED,
    FakeBroker,
    FakeDelivery,
    delivered,
    in_time,
    refusal,
    sample,
    take,
)


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> FakeBroker:
    monkeypatch.setattr(publishing.retry, "backoff", lambda *_, **__: 0.0)
    return FakeBroker()


def structured(**more: Any) -> FakeDelivery:
    return delivered(sample("structured", ev.Structured), **more)


def result(**changes: Any) -> Emit:
    return Emit(events=(sample("result", ev.Result, request_id="r-1", **changes),))


def endings(broker: FakeBroker) -> list[MessageEnding]:
    return [each.ending for each in broker.emitted if isinstance(each, MessageHandled)]


def emitted(broker: FakeBroker, kind: type[Any]) -> list[Any]:
    return [each for each in broker.emitted if isinstance(each, kind)]


# -- publish, then acknowledge (rules 1 to 3) ------------------------------------------------------


async def test_a_message_is_acknowledged_after_its_events_are_stored(broker: FakeBroker) -> None:
    order: list[str] = []
    given = structured()
    publish, ack = broker.publish, given.ack

    async def noted_publish(subject: str, *args: Any, **more: Any) -> Any:
        found = await publish(subject, *args, **more)
        order.append(subject.split(".")[1])
        return found

    async def noted_ack() -> None:
        order.append("ack")
        await ack()

    broker.publish = noted_publish  # type: ignore[method-assign]
    given.ack = noted_ack  # type: ignore[method-assign]
    await take(broker.runner("validate-repair", lambda _: result()), given)
    assert order == ["result", "ack"]
    assert endings(broker) == [MessageEnding.EMITTED]
    assert [each.status for each in emitted(broker, ResultPublished)] == ["success"]


async def test_nothing_to_do_is_acknowledged_at_once(broker: FakeBroker) -> None:
    given = await take(broker.runner("validate-repair", lambda _: Emit()), structured())
    assert (given.ways, broker.stored) == (["ack"], [])


async def test_who_loses_to_another_result_goes_on_and_says_nothing(broker: FakeBroker) -> None:
    broker.put("gen.result.layout.r-1")
    clamped = sample("clamped", ev.Clamped)
    outcome = Emit(events=(*result().events, clamped))
    given = await take(broker.runner("validate-repair", lambda _: outcome), structured())
    assert given.ways == ["ack"]
    assert broker.subjects() == ["gen.result.layout.r-1"]
    assert emitted(broker, ResultPublished) == []


async def test_a_redelivery_publishes_no_second_copy(broker: FakeBroker) -> None:
    runner = broker.runner("validate-repair", lambda _: Emit(events=(sample("invalid", ev.Invalid),)))
    await take(runner, structured(deliveries=1))
    given = await take(runner, structured(deliveries=2))
    assert given.ways == ["ack"]
    assert len(broker.subjects("gen.invalid.")) == 1


async def test_a_strangers_message_id_does_not_stand_for_a_result(broker: FakeBroker) -> None:
    event = sample("structured", ev.Structured)
    ident = envelope.message_id("r-1", event.brief.request_seq, "validate-repair", "result", 1)
    broker.put("gen.clamped.plot.x", headers={envelope.MSG_ID: ident})
    given = await take(broker.runner("validate-repair", lambda _: result()), delivered(event))
    assert broker.subjects() == ["gen.clamped.plot.x", "gen.result.plot.r-1"]
    assert envelope.MSG_ID not in broker.stored[-1].headers
    assert given.ways == ["ack"]


async def test_a_refusal_for_a_message_that_nobody_has_is_no_loss(broker: FakeBroker) -> None:
    broker.answers["result"] = [REFUSED]
    await take(broker.runner("validate-repair", lambda _: result()), structured())
    assert broker.subjects() == ["gen.result.plot.r-1"]
    assert len(emitted(broker, PublishDelayed)) == 1


async def test_what_the_broker_does_not_take_now_is_published_until_it_does(broker: FakeBroker) -> None:
    broker.answers["result"] = [FULL, Unavailable("away"), refusal(409, "not now")]
    given = await take(broker.runner("validate-repair", lambda _: result()), structured())
    assert given.ways == ["ack"]
    assert len(broker.subjects("gen.result.")) == 1
    assert [each.tries for each in emitted(broker, PublishDelayed)] == [1, 2, 3]


async def test_a_content_too_large_for_a_message_is_stored_first(broker: FakeBroker) -> None:
    content = {"text": "x" * (600 * 1024)}
    await take(broker.runner("validate-repair", lambda _: result(content=content)), structured())
    (found,) = broker.events("result")
    assert found.content is None
    assert msgspec.json.decode(broker.objects[found.content_ref.object]) == content


# -- outcomes --------------------------------------------------------------------------------------


async def test_a_failure_goes_out_with_the_brief_and_trail_of_its_event(broker: FakeBroker) -> None:
    event = sample("structured", ev.Structured)
    outcome = Fail(code=ErrorCode.GEN_SCHEMA_INVALID, message="no beats")
    given = await take(broker.runner("validate-repair", lambda _: outcome), delivered(event))
    (failed,) = broker.events("failed")
    assert (failed.code, failed.stage, failed.brief) == (outcome.code, "validate-repair", event.brief)
    assert (given.ways, broker.letters(), endings(broker)) == (["ack"], [], [MessageEnding.FAILED])


async def test_a_retry_is_the_next_attempt_on_a_timer(broker: FakeBroker) -> None:
    event = sample("structured", ev.Structured, attempt=1)
    outcome = Retry(code=ErrorCode.GEN_PROVIDER_UNAVAILABLE, message="away", after_s=5.0)
    given = await take(broker.runner("validate-repair", lambda _: outcome), delivered(event))
    (timer,) = broker.stored
    assert timer.subject == "gen.timer.plot.r-1.validate-repair-2"
    assert timer.headers[envelope.SCHEDULE_TARGET] == "gen.structured.plot.r-1"
    assert timer.headers[envelope.SCHEDULE] == "@at 2023-11-14T22:13:25.000Z"
    assert msgspec.json.decode(timer.body)["attempt"] == 2
    assert (given.ways, endings(broker)) == (["ack"], [MessageEnding.RETRIED])


async def test_a_retry_past_the_limit_is_a_failure(broker: FakeBroker) -> None:
    event = sample("structured", ev.Structured, attempt=3)
    outcome = Retry(code=ErrorCode.GEN_PROVIDER_UNAVAILABLE, message="away")
    await take(broker.runner("validate-repair", lambda _: outcome), delivered(event))
    (failed,) = broker.events("failed")
    assert (failed.attempt, failed.message) == (3, "away (given up after 3 attempts)")


async def test_a_request_that_is_tried_again_waits_as_its_own_delivery(broker: FakeBroker) -> None:
    sequence = broker.put("gen.requested.plot.r-1", b'{"prompt": "x"}')
    outcome = Retry(code=ErrorCode.GEN_PROVIDER_UNAVAILABLE, message="the bucket is away")
    given = FakeDelivery("gen.requested.plot.r-1", b'{"prompt": "x"}', stream="REQUESTS", sequence=sequence)
    await take(broker.runner("context-build", lambda _: outcome), given)
    assert (given.ways, endings(broker)) == (["nak"], [MessageEnding.WAITS])


async def test_a_first_request_that_is_refused_gets_its_result_and_a_letter(broker: FakeBroker) -> None:
    sequence = broker.put("gen.requested.plot.b35", b"{}")
    outcome = Reject(code=ErrorCode.GEN_INVALID_REQUEST, message="prompt must be a string")
    given = FakeDelivery("gen.requested.plot.b35", b"{}", stream="REQUESTS", sequence=sequence)
    await take(broker.runner("context-build", lambda _: outcome), given)
    (found,) = broker.events("result")
    assert (found.status, found.error.code) == (Status.REJECTED, ErrorCode.GEN_INVALID_REQUEST)
    assert [letter.reason for letter in broker.letters()] == ["prompt must be a string"]
    (said,) = emitted(broker, ResultPublished)
    assert str(said) == "rejected b35 (plot): prompt must be a string"
    assert [each.answered for each in emitted(broker, LetterWritten)] == [True]
    assert given.ways == ["ack"]


async def test_an_event_that_its_stage_refuses_fails_its_request(broker: FakeBroker) -> None:
    outcome = Reject(code=ErrorCode.GEN_INVALID_REQUEST, message="nothing in it")
    await take(broker.runner("validate-repair", lambda _: outcome), structured())
    (failed,) = broker.events("failed")
    assert (failed.code, len(broker.letters())) == (ErrorCode.GEN_INTERNAL, 1)


async def test_a_timer_is_set_once_and_the_fallback_knows_it(broker: FakeBroker) -> None:
    event = ev.Deadline(request_seq=1, deadline_ms=1000)
    outcome = Schedule(event=event, at_ms=NOW_MS + 1000)
    given = FakeDelivery("gen.requested.plot.r-1", b"{}", stream="REQUESTS", sequence=1)
    runner = broker.runner("fallback", lambda _: outcome)
    await take(runner, given)
    await take(runner, FakeDelivery("gen.requested.plot.r-1", b"{}", stream="REQUESTS", sequence=1))
    assert broker.subjects() == ["gen.timer.plot.r-1"]
    assert broker.deadlines.open == 1


async def test_other_requests_are_asked_for_before_the_message_waits(broker: FakeBroker) -> None:
    order = Submit(kind="scene", request_id="s-1", body=b'{"prompt": "x"}')
    again = await take(
        broker.runner("context-build", lambda _: Delegate(orders=(order,), again_s=2.0)), structured()
    )
    done = await take(broker.runner("context-build", lambda _: Delegate(orders=(order,))), structured())
    assert broker.subjects() == ["gen.requested.scene.s-1"]
    assert (again.settled, done.ways) == ([("nak", 2.0)], ["ack"])


async def test_an_order_that_is_not_taken_makes_the_message_wait(broker: FakeBroker) -> None:
    broker.answers["requested"] = [FULL]
    order = Submit(kind="scene", request_id="s-1", body=b"{}")
    given = await take(broker.runner("context-build", lambda _: Delegate(orders=(order,))), structured())
    assert (given.ways, endings(broker)) == (["nak"], [MessageEnding.WAITS])


async def test_what_waits_comes_again_and_only_the_unexpected_has_a_reason(broker: FakeBroker) -> None:
    outcome = Wait(seconds=3.0, why="the leader writes", expected=True)
    given = await take(broker.runner("context-build", lambda _: outcome), structured())
    (handled,) = emitted(broker, MessageHandled)
    assert (given.settled, handled.ending, handled.problem) == ([("nak", 3.0)], MessageEnding.PUT_OFF, "")


async def test_a_lowered_rating_is_emitted(broker: FakeBroker) -> None:
    outcome = Emit(events=(sample("clamped", ev.Clamped, by="the user"),))
    await take(broker.runner("context-build", lambda _: outcome), structured())
    assert [each.by for each in emitted(broker, RatingLowered)] == ["the user"]


# -- records ---------------------------------------------------------------------------------------


class Rows:
    """A sink that answers as it is told."""

    def __init__(self, error: Exception | None = None) -> None:
        self.rows: list[Any] = []
        self._error = error

    async def add(self, row: Any) -> None:
        if self._error is not None:
            raise self._error
        self.rows.append(row)


async def test_a_row_is_written_before_the_message_is_acknowledged(broker: FakeBroker) -> None:
    rows = Rows()
    given = await take(broker.runner("audit", lambda _: Record(row="row"), rows), structured())
    assert (rows.rows, given.ways, endings(broker)) == (["row"], ["ack"], [MessageEnding.RECORDED])


async def test_a_database_that_is_away_makes_the_message_wait(broker: FakeBroker) -> None:
    rows = Rows(Unavailable("database is locked"))
    given = await take(broker.runner("audit", lambda _: Record(row=1), rows), structured())
    (handled,) = emitted(broker, MessageHandled)
    assert (given.ways, handled.ending, handled.problem) == (
        ["nak"],
        MessageEnding.WAITS,
        "database is locked",
    )


async def test_a_row_that_no_database_takes_is_a_letter_alone(broker: FakeBroker) -> None:
    rows = Rows(Unstorable("too long"))
    given = await take(broker.runner("audit", lambda _: Record(row=1), rows), structured())
    assert ([letter.stage for letter in broker.letters()], broker.subjects()) == (["audit"], [])
    assert [each.answered for each in emitted(broker, LetterWritten)] == [False]
    assert given.ways == ["ack"]


# -- the broker, the surroundings and our own defects ----------------------------------------------


async def test_what_the_broker_never_takes_fails_the_request_at_once(broker: FakeBroker) -> None:
    broker.answers["result"] = [NEVER]
    given = await take(broker.runner("validate-repair", lambda _: result()), structured())
    assert [each.split(".")[1] for each in broker.subjects("")] == ["failed", "validate-repair"]
    assert given.ways == ["ack"]


async def test_a_full_dead_keeps_no_answer_back(broker: FakeBroker) -> None:
    broker.answers["dead"] = [FULL] * 100
    outcome = Fail(code=ErrorCode.GEN_RATING_VIOLATION, message="too much", letter=True)
    given = await take(broker.runner("validate-repair", lambda _: outcome), structured())
    assert (broker.subjects(""), given.ways) == (["gen.failed.plot.r-1"], ["ack"])
    assert len(broker.answers["dead"]) == 97
    assert len(emitted(broker, LetterLost)) == 1


@pytest.mark.parametrize("error", [Unavailable("away"), ConnectionResetError("reset")])
async def test_a_surrounding_that_is_away_makes_the_message_wait(
    broker: FakeBroker, error: Exception
) -> None:
    async def handle(_: Any) -> Emit:
        raise Unavailable("away")

    failing = await take(broker.runner("validate-repair", handle), structured())
    unacked = await take(broker.runner("validate-repair", lambda _: result()), structured(ack=error))
    assert (failing.ways, unacked.ways) == (["nak"], ["nak"])
    assert endings(broker) == [MessageEnding.WAITS, MessageEnding.WAITS]


async def test_a_hand_back_that_does_not_get_through_is_left_to_the_lease(broker: FakeBroker) -> None:
    outcome = Wait(seconds=1, why="later")
    given = await take(
        broker.runner("validate-repair", lambda _: outcome), structured(nak=Unavailable("away"))
    )
    assert (given.settled, len(emitted(broker, HandBackFailed))) == ([], 1)


async def test_a_defect_of_a_stage_fails_the_request_with_a_letter(broker: FakeBroker) -> None:
    def handle(_: Any) -> Emit:
        raise KeyError("beats")

    given = await take(broker.runner("validate-repair", handle), structured())
    (failed,) = broker.events("failed")
    assert (failed.code, failed.message) == (
        ErrorCode.GEN_INTERNAL,
        "defect in validate-repair: KeyError: 'beats'",
    )
    (defect,) = emitted(broker, DefectFound)
    assert (defect.part, defect.request_id) == ("stage validate-repair", "r-1")
    assert (len(broker.letters()), given.ways) == (1, ["ack"])


async def test_a_defect_of_the_runner_fails_the_request_with_what_its_event_said(broker: FakeBroker) -> None:
    broker.answers["result"] = [None]  # type: ignore[list-item] - no acknowledgement at all
    event = sample("structured", ev.Structured)
    given = await take(broker.runner("validate-repair", lambda _: result()), delivered(event))
    (failed,) = broker.events("failed")
    assert (failed.code, failed.brief) == (ErrorCode.GEN_INTERNAL, event.brief)
    assert (given.ways, endings(broker)) == (["ack"], [MessageEnding.FAILED])


async def test_a_defect_whose_failure_is_not_taken_either_waits(broker: FakeBroker) -> None:
    broker.answers = {"result": [NEVER], "failed": [NEVER, NEVER]}
    given = await take(broker.runner("validate-repair", lambda _: result()), structured())
    assert (given.ways, endings(broker)) == (["nak"], [MessageEnding.WAITS])


async def test_what_is_in_hand_at_a_stop_is_handed_back(broker: FakeBroker) -> None:
    begun = asyncio.Event()

    async def handle(_: Any) -> Emit:
        begun.set()
        await asyncio.Event().wait()
        return Emit()

    given = structured(deliveries=2)
    running = asyncio.create_task(broker.runner("validate-repair", handle)(given))  # type: ignore[arg-type]
    await begun.wait()
    assert len(broker.subjects("$KV.strikes.")) == 1
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (given.settled, endings(broker)) == ([("nak", 0.0)], [MessageEnding.HANDED_BACK])
    assert broker.subjects("$KV.strikes.") == []


def test_in_time_is_about_the_brief() -> None:
    assert in_time(sample("context_built", ev.ContextBuilt), 5).brief.deadline_at_ms == NOW_MS + 5
