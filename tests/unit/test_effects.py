"""Effects of outcomes: which messages follow, in every case, without a broker."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from contracts import envelope, pipeline
from contracts import events as ev
from contracts.errors import ErrorCode, Unreadable
from contracts.outcome import Emit, Fail, Outcome
from contracts.ports import StoredRequest
from contracts.result import Status
from infra.runner import effects
from infra.runner.decode import decode
from infra.runner.effects import Situation
from infra.runner.messages import Message

SAMPLES = Path(__file__).parent / "event_samples"
ROOM = 20_000
OWNER = StoredRequest(kind="plot", request_id="r-1", body=b"{}", sequence=7, time_ms=5)


def delivery(name: str, body: type[ev.Event], **changes: Any) -> Any:
    event = msgspec.json.decode((SAMPLES / f"{name}.v1.json").read_bytes(), type=body)
    event = msgspec.structs.replace(event, **changes)
    msg = SimpleNamespace(subject=f"gen.{name}.plot.r-1", data=msgspec.json.encode(event), headers={})
    return SimpleNamespace(msg=msg, stream="EVENTS", sequence=11, time_ms=3, deliveries=1)


def decide(stage: str, given: Any, outcome: Outcome, **situation: Any) -> effects.Effects:
    """The effects, with an owner of the id where one is looked up."""
    row = pipeline.STAGE_OF[stage]
    address: Any = None
    received: Any = None
    try:
        address = envelope.address(given.msg.subject)
        received = decode(given, address, 0)
    except Unreadable:
        pass
    needed = effects.needs_owner(row, address, received, outcome)
    at = {
        "owner": OWNER if needed else None,
        "now": 1_700_000_000.0,
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "elapsed_ms": 0.0,
        "max_attempts": 5,
        "max_bytes": ROOM,
    }
    at |= situation
    return effects.decide(
        outcome, Situation(stage=row, delivery=given, address=address, received=received, **at)
    )


def messages(stage: str, given: Any, outcome: Outcome, **situation: Any) -> tuple[Message, ...]:
    return decide(stage, given, outcome, **situation).messages


@pytest.mark.parametrize("attempt", [1, 2, 4])
def test_an_event_too_large_fails_as_the_attempt_that_it_is(attempt: int) -> None:
    given = delivery("context_built", ev.ContextBuilt, attempt=attempt)
    draft = msgspec.json.decode((SAMPLES / "drafted.v1.json").read_bytes(), type=ev.Drafted)
    draft = msgspec.structs.replace(
        draft, attempt=attempt, draft=msgspec.structs.replace(draft.draft, text="x" * ROOM)
    )
    (message,) = messages("freeform-gen", given, Emit(events=(draft,)))
    failed = msgspec.json.decode(message.body, type=ev.Failed)
    assert (failed.attempt, failed.code) == (attempt, ErrorCode.GEN_INTERNAL)
    assert "more than the broker takes" in failed.message
    assert message.headers["Nats-Msg-Id"].endswith(f":freeform-gen:failed:{attempt}")


def test_a_result_too_large_is_a_bare_one() -> None:
    given = delivery("failed", ev.Failed)
    result = msgspec.json.decode((SAMPLES / "result.v1.json").read_bytes(), type=ev.Result)
    (message,) = messages(
        "fallback", given, Emit(events=(msgspec.structs.replace(result, reason="x" * ROOM),))
    )
    told = msgspec.json.decode(message.body, type=ev.Result)
    assert told.status is Status.FAILED
    assert message.once


def test_the_answer_goes_before_the_letter() -> None:
    given = delivery("drafted", ev.Drafted)
    outcome = Fail(code=ErrorCode.GEN_INTERNAL, message="defect", letter=True)

    first, second = messages("structuring", given, outcome)
    assert (first.letter, second.letter) == (False, True)
    assert first.subject == "gen.failed.plot.r-1"


@pytest.mark.parametrize(
    ("name", "body", "sequence"),
    [("deadline", ev.Deadline, None), ("cancelled", ev.Cancelled, 7), ("failed", ev.Failed, None)],
)
def test_every_id_carries_the_sequence_of_its_request(
    name: str, body: type[ev.Event], sequence: int | None
) -> None:
    given = delivery(name, body)
    if sequence is None:
        event = decode(given, envelope.address(given.msg.subject), 0).event
        sequence = event.request_seq if isinstance(event, ev.Deadline) else event.brief.request_seq
    result = msgspec.json.decode((SAMPLES / "result.v1.json").read_bytes(), type=ev.Result)
    (message,) = messages("fallback", given, Emit(events=(result,)))
    assert message.headers["Nats-Msg-Id"] == f"r-1:{sequence}:fallback:result:1"
