"""What does audit learn from each event?"""

from __future__ import annotations

import hashlib

import pytest

from contracts import events as ev
from contracts.errors import ErrorCode
from contracts.outcome import Emit
from infra.stores.rows import generation_row
from stages.audit import handle as audit
from stages.audit.fold import RequestRecord, seen
from tests.lives import ASKED, BODY, brief, letter, life, prose, received, records, success


def _one(event: object, **more: object) -> RequestRecord:
    (record,) = records([received(event, **{"sequence": 3, **more})])  # type: ignore[arg-type]
    return record


def test_a_request_says_what_was_asked() -> None:
    asked = _one(BODY).asked
    assert asked is not None
    assert asked.prompt == "a forest with three coins"
    assert asked.input_hash == ASKED.input_hash("layout")
    assert asked.parameters == {"seed": 7, "params": {"top_p": 0.5}}


def test_a_prompt_that_is_not_to_be_stored_leaves_its_hash() -> None:
    (record,) = records([received(BODY, sequence=1)], store_prompts=False)
    assert record.asked is not None
    digest = hashlib.sha256(b"a forest with three coins").hexdigest()
    assert record.asked.prompt == f"sha256:{digest} (25 characters)"
    (shown,) = seen([record])
    assert generation_row(shown)["searched"] is None, "no search finds the hash"
    assert "forest" not in str(record)


def test_a_request_that_will_be_rejected_is_recorded_as_it_came() -> None:
    body = b'{"prompt": "hello", "tempo": 3}'
    asked = _one(body).asked
    assert asked is not None
    assert asked.prompt == "hello"
    assert asked.input_hash == hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize("body", [b"{}", b'{"prompt": 5}', b'{"prompt": ""}', b'{"prompt": null}'])
def test_a_request_without_a_readable_prompt_has_an_input_hash_all_the_same(body: bytes) -> None:
    asked = _one(body).asked
    assert asked is not None
    assert asked.input_hash == hashlib.sha256(body).hexdigest()


def test_a_letter_about_an_undecodable_request_stands_for_the_request() -> None:
    junk = letter("gen.requested.layout.r-1", stream="REQUESTS", sequence=8, body=b"\xff\x00")
    asked = _one(junk).asked
    assert asked is not None
    assert (asked.sequence, asked.unread) == (8, True)
    assert asked.input_hash == hashlib.sha256(b"\xff\x00").hexdigest()


def test_a_large_schema_is_kept_as_its_hash() -> None:
    fields = ",".join(f'"field_{n}": {{"type": "string"}}' for n in range(1000))
    body = f'{{"prompt": "x", "schema": {{"type": "object", "properties": {{{fields}}}}}}}'
    asked = _one(body.encode(), kind="custom").asked
    assert asked is not None
    assert asked.parameters["schema_"].startswith("sha256:")


def test_what_the_providers_wrote_is_kept_to_a_bound() -> None:
    long = prose("x" * 100_000)
    step = _one(ev.Structured(attempt=1, brief=brief(), draft=long, document=long)).step
    assert step is not None
    assert step.draft == step.document == "x" * audit.MAX_TEXT


def test_invalid_output_is_kept_with_its_faults() -> None:
    invalid = next(event for event in life() if event.name == "invalid")
    (record,) = records([invalid])
    assert record.evidence is not None
    assert record.evidence.text == '{"scene_name": '
    assert record.trouble is not None
    assert record.trouble.message == "not JSON; cut off"


def test_a_large_result_is_kept_without_its_content() -> None:
    end = _one(success("r-1", content={"text": "x" * 100_000})).end
    assert end is not None
    assert end.result["content"] is None
    assert end.result["content_left_out"] is True
    assert end.result["content_hash"] == "c" * 64


@pytest.mark.parametrize(
    "event",
    [
        ev.Clamped(requested="sfw", effective="sfw"),
        ev.Deadline(request_seq=1, deadline_ms=1),
        ev.Cancelled(reason="no more"),
    ],
)
def test_events_that_the_result_repeats_leave_nothing(event: ev.Event) -> None:
    assert audit.handle(received(event, sequence=1), store_prompts=True) == Emit()


@pytest.mark.parametrize(("kind", "request_id"), [("unknown", "EVENTS-3"), ("layout", "not an id")])
def test_a_letter_that_belongs_to_no_request_leaves_nothing(kind: str, request_id: str) -> None:
    junk = letter("gen.drafted.nonsense.x", stream="EVENTS", sequence=3, body=b"?")
    found = audit.handle(received(junk, request_id, sequence=1, kind=kind), store_prompts=True)
    assert found == Emit()


def test_an_event_that_is_not_stored_is_refused() -> None:
    progress = ev.Progress(stage="freeform-gen", attempt=1, index=0, text="A")
    with pytest.raises(TypeError, match="progress"):
        audit.handle(received(progress, sequence=1), store_prompts=True)


def test_a_failure_is_recorded_with_its_stage() -> None:
    failed = ev.Failed(attempt=2, code=ErrorCode.GEN_TIMEOUT, stage="freeform-gen", message="slow")
    trouble = _one(failed).trouble
    assert trouble is not None
    assert (trouble.code, trouble.stage, trouble.message) == ("GEN_TIMEOUT", "freeform-gen", "slow")


def _forged(event: object, **headers: str | None) -> str | None:
    """What is wrong with an event whose headers were changed."""
    whole = received(event, sequence=3)
    changed = {name.replace("_", "-"): value for name, value in headers.items()}
    kept = {name: value for name, value in {**whole.headers, **changed}.items() if value is not None}
    (record,) = records([received(event, sequence=3, headers=kept)])
    return record.anomaly and record.anomaly.kind


FAILED = ev.Failed(attempt=1, code=ErrorCode.GEN_INTERNAL, stage="structuring", message="?")
REVISED = ev.Revised(
    revised_by="rp-1-1", **{name: getattr(success("r-1"), name) for name in success("r-1").__struct_fields__}
)


@pytest.mark.parametrize(
    "event", [success("r-1"), FAILED, REVISED, ev.ContextBuilt(attempt=1, brief=brief())]
)
def test_an_event_names_a_stage_that_may_publish_it(event: ev.Event) -> None:
    assert _forged(event) is None
    assert _forged(event, ce_source=None) == "source"
    assert _forged(event, ce_source="understudy/audit") == "source"
    assert _forged(event, ce_source="somebody") == "source"
    assert _forged(event, ce_id="r-2:context-build:result:1") == "identity"
    assert _forged(event, ce_id=None) == "identity"


def test_an_event_has_one_id() -> None:
    ident = "r-1:42:context-build:result:1"
    assert _forged(success("r-1"), ce_id=ident, **{"Nats-Msg-Id": ident}) is None
    assert _forged(success("r-1"), ce_id=ident, **{"Nats-Msg-Id": None}) is None
    assert (
        _forged(success("r-1"), ce_id=ident, **{"Nats-Msg-Id": "r-1:43:context-build:result:1"}) == "identity"
    )


def test_what_clients_publish_is_not_asked_who_they_are() -> None:
    (record,) = records([received(BODY, sequence=1, headers={"ce-source": "anybody"})])
    assert record.anomaly is None
