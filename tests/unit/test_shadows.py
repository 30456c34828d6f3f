"""Shadows: their results have a subject of their own, and leave no trace in what others are measured by."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from contracts import envelope, pipeline
from contracts import events as ev
from contracts.outcome import Record
from infra.runner import messages
from infra.runner.messages import Sender
from infra.runner.report import published
from stages.audit.handle import handle
from tests.lives import START_MS, received, success

SENDER = Sender(stage="validate-repair", now=1_763_000_000.0, traceparent="00-a-b-01", request_seq=5)


@pytest.mark.parametrize(
    ("request_id", "event"), [("sh-a-1", "shadowed"), ("sh-a-1-s2", "shadowed"), ("shop-1", "result")]
)
def test_the_result_goes_where_it_belongs_once(request_id: str, event: str) -> None:
    message = messages.of_event(success(request_id), kind="layout", request_id=request_id, sender=SENDER)
    assert message.subject == f"gen.{event}.layout.{request_id}"
    assert message.headers["ce-type"] == f"dev.understudy.gen.{event}.v1"
    assert message.headers[envelope.EXPECTED_LAST] == "0"
    assert message.headers[envelope.EXPECTED_LAST_SUBJECT] == f"gen.{event}.*.{request_id}"
    read = envelope.decode(event, message.body, message.headers)
    assert isinstance(read, ev.Result)
    assert msgspec.structs.asdict(read) == msgspec.structs.asdict(success(request_id))


@pytest.mark.parametrize(("request_id", "event"), [("sh-a-1", "shadowed"), ("r-1", "result")])
def test_what_leads_to_a_result_is_not_stored_once_there_is_one(request_id: str, event: str) -> None:
    failed = ev.Plotted(attempt=1, brief=_brief(), result=success(request_id))
    structured = ev.Drafted(attempt=1, brief=_brief(), draft=_draft())
    message = messages.of_event(structured, kind="layout", request_id=request_id, sender=SENDER)
    assert message.headers[envelope.EXPECTED_LAST_SUBJECT] == f"gen.{event}.*.{request_id}"
    plot = messages.of_event(failed, kind="plot", request_id=request_id, sender=SENDER)
    assert plot.headers[envelope.EXPECTED_LAST_SUBJECT] == f"gen.plotted.*.{request_id}"


def test_no_client_consumes_them() -> None:
    row = pipeline.ROW_OF["shadowed"]
    assert pipeline.CLIENT not in row.consumed_by
    assert row.published_by == pipeline.ROW_OF["result"].published_by


def test_telemetry_can_tell_them_apart() -> None:
    assert published("validate-repair", success("sh-a-1"), now_s=SENDER.now).shadow
    assert not published("validate-repair", success("r-1"), now_s=SENDER.now).shadow


@pytest.mark.parametrize(("request_id", "name"), [("sh-a-1", "shadowed"), ("r-1", "result")])
def test_audit_believes_a_result_only_in_its_place(request_id: str, name: str) -> None:
    event = success(request_id)
    placed = _recorded(event, request_id, name)
    assert placed.end is not None
    assert placed.anomaly is None
    other = {"shadowed": "result", "result": "shadowed"}[name]
    misplaced = _recorded(event, request_id, other)
    assert misplaced.end is None
    assert misplaced.anomaly is not None
    assert f"gen.{name}.layout.{request_id}" in misplaced.anomaly.detail


def _recorded(event: ev.Result, request_id: str, name: str) -> Any:
    body = ev.Shadowed(**msgspec.structs.asdict(event)) if name == "shadowed" else event
    outcome = handle(received(body, request_id, name=name, sequence=9), store_prompts=True)
    assert isinstance(outcome, Record)
    return outcome.row


def _draft() -> ev.Draft:
    return ev.Draft(text="Text.", provider="scripted", model="script", finish_reason="stop")


def _brief() -> ev.Brief:
    params = ev.Params(temperature=0.8, top_p=0.5, max_tokens=100, seed=7, timeout_s=1)
    return ev.Brief(
        request_seq=5,
        requested_at_ms=START_MS,
        deadline_at_ms=START_MS + 60_000,
        input_hash="a" * 64,
        prompt="Write",
        prompt_hash="b" * 64,
        prompt_version="layout@1",
        freeform=params,
        structuring=params,
    )
