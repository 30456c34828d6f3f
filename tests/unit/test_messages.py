"""Does each decision become the message that the delivery rules ask for?"""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from contracts import envelope, subjects
from contracts import events as ev
from contracts.errors import ErrorCode
from contracts.outcome import Schedule
from infra.runner import messages
from infra.runner.messages import Sender

SENDER = Sender(stage="freeform-gen", now=1_700_000_000.5, traceparent="00-1-2-01", request_seq=7)
SAMPLES = Path(__file__).parent / "event_samples"


def event(name: str, body: type[ev.Event]) -> ev.Event:
    return msgspec.json.decode((SAMPLES / f"{name}.v1.json").read_bytes(), type=body)


def failed(message: str = "no answer", attempt: int = 1) -> ev.Failed:
    return ev.Failed(
        attempt=attempt, code=ErrorCode.GEN_TIMEOUT, stage="freeform-gen", message=message, evidence=message
    )


def sent(what: ev.Event) -> messages.Message:
    return messages.of_event(what, kind="plot", request_id="r-1", sender=SENDER)


def test_an_event_goes_to_its_subject_with_its_time_and_trace() -> None:
    message = sent(failed())
    assert message.subject == "gen.failed.plot.r-1"
    assert message.headers["ce-time"] == "2023-11-14T22:13:20.500Z"
    assert message.headers["traceparent"] == "00-1-2-01"
    assert json.loads(message.body)["message"] == "no answer"
    assert not message.once


def test_the_same_event_has_the_same_id_and_the_next_attempt_another() -> None:
    first, again, second = (sent(failed(attempt=attempt)) for attempt in (1, 1, 2))
    assert first.headers[envelope.MSG_ID] == again.headers[envelope.MSG_ID]
    assert first.headers[envelope.MSG_ID] != second.headers[envelope.MSG_ID]


def test_two_lives_of_an_id_have_different_ids_and_one_of_unknown_life_has_none() -> None:
    later = msgspec.structs.replace(SENDER, request_seq=8)
    unknown = msgspec.structs.replace(SENDER, request_seq=0)
    ids = [
        messages.of_event(failed(), kind="plot", request_id="r-1", sender=each).headers.get(envelope.MSG_ID)
        for each in (SENDER, later, unknown)
    ]
    assert ids == ["r-1:7:freeform-gen:failed:1", "r-1:8:freeform-gen:failed:1", None]


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("context_built", ev.ContextBuilt),
        ("drafted", ev.Drafted),
        ("structured", ev.Structured),
        ("invalid", ev.Invalid),
        ("result", ev.Result),
    ],
)
def test_what_leads_to_a_result_is_refused_once_there_is_one(name: str, body: type[ev.Event]) -> None:
    message = sent(event(name, body))
    assert message.once
    assert message.headers[envelope.EXPECTED_LAST] == "0"
    assert message.headers[envelope.EXPECTED_LAST_SUBJECT] == subjects.any_kind("result", "r-1")


def test_a_timer_is_armed_once_per_slot_and_its_copy_is_no_repetition() -> None:
    schedule = Schedule(at_ms=1_700_000_001_250, event=event("deadline", ev.Deadline), slot="retry-2")
    message = messages.of_schedule(schedule, kind="plot", request_id="r-1", sender=SENDER)
    assert message.subject == "gen.timer.plot.r-1.retry-2"
    assert message.once
    assert message.headers[envelope.SCHEDULE] == "@at 2023-11-14T22:13:21.250Z"
    assert message.headers[envelope.SCHEDULE_TARGET] == "gen.deadline.plot.r-1"
    assert message.headers[envelope.EXPECTED_LAST] == "0"
    assert not {envelope.EXPECTED_LAST_SUBJECT, envelope.MSG_ID} & set(message.headers)


def test_what_a_provider_said_never_keeps_an_error_from_being_told() -> None:
    broken = "half a pair: \ud83d"
    with pytest.raises(UnicodeEncodeError):
        msgspec.json.encode(broken)
    assert json.loads(sent(failed(broken)).body)["message"] == "half a pair: ?"


def test_a_letter_is_one_per_message_and_stage_and_keeps_the_raw_bytes() -> None:
    def letter(stage: str, kind: str = "plot") -> messages.Message:
        body = ev.DeadLetter(
            code=ErrorCode.GEN_INTERNAL,
            reason="\udc00",
            stage=stage,
            stream="EVENTS",
            sequence=7,
            subject="gen.drafted.plot.r-1",
            time_ms=0,
            deliveries=1,
            body=b"\xff\x00",
        )
        return messages.of_letter(body, kind=kind, request_id="r-1", sender=SENDER)

    one, same, other = letter("structuring"), letter("structuring"), letter("audit")
    assert one.headers[envelope.MSG_ID] == same.headers[envelope.MSG_ID]
    assert one.headers[envelope.MSG_ID] != other.headers[envelope.MSG_ID]
    assert one.subject == "dead.structuring.plot.r-1"
    assert json.loads(one.body)["reason"] == "?"
    assert msgspec.json.decode(one.body, type=ev.DeadLetter).body == b"\xff\x00"
    unknown = letter("structuring", subjects.UNKNOWN_KIND)
    assert unknown.subject == subjects.dead_unknown("structuring", "EVENTS", 7)


def test_milliseconds_of_a_stage_add_up_over_its_attempts() -> None:
    once = messages.timed(failed(), "freeform-gen", 12.5)
    twice = messages.timed(once, "freeform-gen", 0.25)
    assert isinstance(twice, ev.Failed)
    assert twice.trail.time_ms == {"freeform-gen": 12.75}
    armed = event("deadline", ev.Deadline)
    assert messages.timed(armed, "fallback", 5.0) == armed
