"""Is a request's story what its events say, whatever order they come in?"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from contracts import events as ev
from contracts.errors import ErrorCode
from contracts.ports import Ending, RequestProgress, StoredRequest
from contracts.result import ErrorInfo, Meta, Origin, SceneInfo, StandIn, Status
from contracts.usage import Attempt
from infra.cli import show, show_timeline
from infra.inspect import record as line
from infra.inspect import timeline
from infra.inspect.contents import list_contents
from infra.nats.log import LogEntry
from tests import lives

_MS = 1_000_000
_SAMPLES = Path(__file__).parent / "event_samples"
_REASON = "GEN_TIMEOUT: too slow; golden sample sample_a.json stood in"
_ERROR = ErrorInfo(code=ErrorCode.GEN_TIMEOUT, stage="freeform-gen", message="too slow")
_ATTEMPT = Attempt(
    provider="scripted", model="scripted-1", code=ErrorCode.GEN_TIMEOUT, time_ms=30.0, why="slow"
)


def _entry(
    name: str, body: object, *, ms: float, stage: str | None = None, seq: int = 0, request_id: str = "r1"
) -> LogEntry:
    return LogEntry(
        stream="REQUESTS" if name == "requested" else "EVENTS",
        sequence=seq or int(ms) + 1,
        subject=f"gen.{name}.layout.{request_id}",
        time_ns=int(ms * _MS),
        headers={"ce-source": f"understudy/{stage}"} if stage else {},
        body=body if isinstance(body, bytes) else msgspec.json.encode(body),
    )


def _failed_request() -> list[LogEntry]:
    failed = ev.Failed(
        attempt=1,
        code=ErrorCode.GEN_TIMEOUT,
        stage="freeform-gen",
        message="too slow",
        trail=ev.Trail(attempts=(_ATTEMPT,)),
    )
    result = ev.Result(
        request_id="r1",
        kind="layout",
        status=Status.FAIL_FALLBACK,
        origin=Origin.GOLDEN_SAMPLE,
        reason=_REASON,
        content={"a": 1},
        content_hash="00",
        error=_ERROR,
        attempts=(_ATTEMPT,),
        stand_in=StandIn(name="sample_a.json", hash="00"),
    )
    return [
        _entry("requested", {"prompt": "a forest"}, ms=0),
        _entry("failed", failed, ms=40, stage="freeform-gen"),
        _entry("result", result, ms=45, stage="fallback"),
    ]


def _told(entries: Sequence[LogEntry]) -> timeline.Timeline:
    told = timeline.build("r1", entries)
    assert told is not None
    return told


def test_nothing_is_no_story() -> None:
    assert timeline.build("r1", []) is None


def test_the_ending_is_the_results() -> None:
    told = _told(_failed_request())
    assert (told.status, told.origin, told.reason) == ("fail_fallback", "golden_sample", _REASON)
    assert told.error == _ERROR
    assert told.attempts == (_ATTEMPT,)
    assert told.stand_in == StandIn(name="sample_a.json", hash="00")
    assert told.waiting_for is None


@given(st.permutations(_failed_request()))
def test_the_order_of_the_messages_does_not_matter(entries: list[LogEntry]) -> None:
    assert _told(entries) == _told(_failed_request())


def test_offsets_count_from_the_request_and_latencies_from_the_cause() -> None:
    steps = _told(_failed_request()).steps
    assert [step.offset_ms for step in steps] == [0.0, 40.0, 45.0]
    assert [step.latency_ms for step in steps] == [None, None, 5.0]


def test_a_stage_is_measured_from_the_event_that_it_consumes() -> None:
    built = msgspec.json.encode({"attempt": 1, "brief": msgspec.to_builtins(_brief())})
    entries = _failed_request()
    entries.insert(1, _entry("context_built", built, ms=10, stage="context-build"))
    steps = {step.line.event: step for step in _told(entries).steps}
    assert steps["context_built"].latency_ms == 10.0
    assert steps["failed"].latency_ms == 30.0


def _brief() -> ev.Brief:
    params = ev.Params(temperature=0.5, top_p=1.0, max_tokens=10, seed=1, timeout_s=1.0)
    return ev.Brief(
        request_seq=1,
        requested_at_ms=0,
        deadline_at_ms=1,
        input_hash="00",
        prompt="p",
        prompt_hash="00",
        prompt_version="layout@1",
        freeform=params,
        structuring=params,
    )


@pytest.mark.parametrize(
    ("count", "status", "waits_for"), [(1, "pending", "context-build"), (2, "running", "fallback")]
)
def test_without_a_result_it_says_who_has_to_act(count: int, status: str, waits_for: str) -> None:
    told = _told(_failed_request()[:count])
    assert (told.status, told.waiting_for, told.origin) == (status, waits_for, None)


def test_without_a_result_the_last_error_and_the_attempts_so_far_are_told() -> None:
    told = _told(_failed_request()[:2])
    assert told.error == _ERROR
    assert told.attempts == (_ATTEMPT,)


def test_a_result_at_the_deadline_does_not_hide_the_attempts_before_it() -> None:
    requested, failed, result = _failed_request()
    body = msgspec.structs.replace(msgspec.json.decode(result.body, type=ev.Result), attempts=())
    assert _told([requested, failed, _entry("result", body, ms=45, stage="fallback")]).attempts == (_ATTEMPT,)


def test_the_lowest_sequence_owns_the_id() -> None:
    again = _entry("requested", {"prompt": "another"}, ms=3, seq=9)
    same = _entry("requested", {"prompt": "a forest"}, ms=4, seq=10)
    notes = [step.note for step in _told([*_failed_request(), again, same]).steps]
    assert notes == ["", "the id is already used: refused", "published again: no effect", "", ""]


def test_what_comes_after_the_result_has_no_effect() -> None:
    late = _entry("deadline", ev.Deadline(request_seq=1, deadline_ms=60_000), ms=60_000, stage="fallback")
    last = _told([*_failed_request(), late]).steps[-1]
    assert (last.line.stage, last.note) == ("broker", "after the result: no effect")


def test_a_message_that_cannot_be_read_is_told_and_hides_nothing() -> None:
    torn = _entry("drafted", b"\xff\x00{", ms=20)
    told = _told([*_failed_request(), torn])
    assert told.status == "fail_fallback"
    step = told.steps[1]
    assert step.line.fault is not None
    assert step.line.data["size"] == 3
    assert "unreadable" in line.gist(step.line)


def test_a_request_on_a_bad_subject_is_unreadable_and_waits_for_nobody() -> None:
    entry = msgspec.structs.replace(_failed_request()[0], subject="gen.requested.castle.r1")
    told = _told([entry])
    assert (told.status, told.kind, told.waiting_for) == ("unreadable", None, None)
    assert "castle" in line.gist(told.steps[0].line)


def test_a_dead_letter_is_measured_from_its_message() -> None:
    letter = ev.DeadLetter(
        code=ErrorCode.GEN_POISON,
        reason="three starts",
        stage="freeform-gen",
        stream="EVENTS",
        sequence=2,
        subject="gen.context_built.layout.r1",
        time_ms=10,
        deliveries=4,
        body=b"{}",
    )
    dead = LogEntry(
        stream="DEAD",
        sequence=1,
        subject="dead.freeform-gen.layout.r1",
        time_ns=30 * _MS,
        headers={},
        body=msgspec.json.encode(letter),
    )
    told = _told([_failed_request()[0], dead])
    assert told.steps[1].latency_ms == 20.0
    assert told.error == ErrorInfo(code=ErrorCode.GEN_POISON, stage="freeform-gen", message="three starts")


def test_a_revision_names_its_replay() -> None:
    revised = ev.Revised(
        request_id="r1",
        kind="layout",
        status=Status.SUCCESS,
        origin=Origin.SCRIPTED,
        reason="the scripted provider wrote it",
        content={"a": 1},
        content_hash="00",
        meta=Meta(provider="scripted", model="scripted-1"),
        revised_by="rp-1-1",
    )
    events = [*_failed_request(), _entry("revised", revised, ms=900, stage="validate-repair")]
    told = _told(events)
    assert (told.status, told.revised_by, told.steps[-1].note) == ("fail_fallback", "rp-1-1", "")

    restored = msgspec.structs.replace(
        revised,
        status=Status.PLACEHOLDER,
        origin=Origin.PLACEHOLDER,
        error=_ERROR,
        content={"a": 2},
        revised_by="r1",
        undoes="rp-1-1",
    )
    undone = _told([*events, _entry("revised", restored, ms=950)])
    assert (undone.status, undone.revised_by) == ("fail_fallback", None)
    assert line.gist(undone.steps[-1].line).endswith("; rp-1-1 is undone")
    assert [each.title for each in list_contents(undone)][-2:] == [
        "content that came later",
        "content restored by an undo",
    ]


def test_json_has_the_documented_fields() -> None:
    told = timeline.to_json(_told(_failed_request()))
    assert {"request_id", "kind", "status", "origin", "reason", "events", "attempts", "error"} <= set(told)
    assert [event["event"] for event in told["events"]] == ["requested", "failed", "result"]
    assert {"seq", "time", "subject", "kind", "request_id", "stage", "data"} <= set(told["events"][0])
    assert told["events"][0]["time"] == "1970-01-01T00:00:00.000000Z"
    assert msgspec.json.decode(msgspec.json.encode(told))["error"]["code"] == "GEN_TIMEOUT"


@given(
    st.binary(max_size=300),
    st.sampled_from(["gen.failed.layout.x", "gen.x", "dead.a", "$JS.EVENT.ADVISORY.X", "q"]),
)
def test_no_bytes_on_any_subject_break_a_line(body: bytes, subject: str) -> None:
    entry = LogEntry(stream="EVENTS", sequence=1, subject=subject, time_ns=0, headers={}, body=body)
    told = line.decode(entry)
    assert msgspec.json.encode(line.to_json(told))
    assert line.gist(told).isprintable() or told.fault is None


def test_a_story_tells_which_layer_decided_what_and_an_older_one_tells_nothing() -> None:
    decided = (
        ev.Decided(field="style.pacing", value="slow", by="template"),
        ev.Decided(
            field="style.mood_to",
            value="calm",
            by="rules",
            line=2,
            rule="moodTo = calm",
            when=("player_choice.brave == true",),
        ),
    )
    built = ev.ContextBuilt(attempt=1, brief=lives.brief(), decided=decided)
    told = timeline.build(
        "r1", [_entry("requested", {"prompt": "x"}, ms=0), _entry("context_built", built, ms=1)]
    )
    assert told is not None
    assert told.decided == decided
    assert timeline.to_json(told)["decided"][1] == {
        "field": "style.mood_to",
        "value": "calm",
        "by": "rules",
        "line": 2,
        "rule": "moodTo = calm",
        "when": ("player_choice.brave == true",),
    }
    shown = "\n".join(str(each) for each in show_timeline.decisions(told.decided))
    assert "rules, line 2" in shown
    assert "moodTo = calm  if player_choice.brave == true" in shown
    again = msgspec.json.decode((_SAMPLES / "context_built.v1.json").read_bytes(), type=ev.ContextBuilt)
    assert again.decided == ()


def test_a_plot_shows_its_scenes_as_far_as_they_are_now() -> None:
    content = {"beats": [{"name": "Opening"}, {"name": "Turn"}, {"name": "Ending"}]}
    result = lives.success("r1", kind="plot", content=content)
    plotted = ev.Plotted(attempt=1, brief=lives.brief(scenes={}), result=result)
    entries = [
        _entry("requested", {"prompt": "a heist", "scenes": True, "scene_of": "r0"}, ms=0),
        _entry("plotted", plotted, ms=9, stage="validate-repair"),
    ]
    asked = StoredRequest(
        kind="scene", request_id="r1-s2", body=b'{"scene_of":"r1"}', sequence=1, time_ms=lives.START_MS
    )
    failed = Ending(status=Status.FAIL_FALLBACK, origin=Origin.GOLDEN_SAMPLE, reason=_REASON)
    seen = {"r1-s1": RequestProgress(ending=failed), "r1-s2": RequestProgress(owner=asked)}
    told = timeline.build("r1", entries, scenes_seen=seen)
    assert told is not None
    assert timeline.find_plot(entries) == plotted
    assert (told.status, told.waiting_for, told.scene_of) == ("running", "context-build", "r0")
    assert [(each["request_id"], each["status"]) for each in timeline.to_json(told)["scenes"]] == [
        ("r1-s1", "fail_fallback"),
        ("r1-s2", "running"),
        ("r1-s3", "pending"),
    ]
    ended = msgspec.structs.replace(
        result, scenes=(SceneInfo(request_id="r1-s3", beat=3, name="Ending", status="success"),)
    )
    swept = timeline.build("r1", [*entries, _entry("result", ended, ms=20)], scenes_seen=seen)
    assert swept is not None
    assert [each.status for each in swept.scenes] == ["fail_fallback", "running", "success"]
    assert [line.plain.split("  ")[0] for line in show.scenes(told.scenes)[1:]] == [
        "├─ r1-s1",
        "├─ r1-s2",
        "└─ r1-s3",
    ]


def test_an_id_with_brackets_is_no_markup() -> None:
    told = timeline.build("a[/b]", [_entry("requested", {"prompt": "x"}, ms=0, request_id="a[/b]")])
    assert told is not None
    out = Console(width=80, file=io.StringIO(), record=True)
    out.print(show_timeline.render_timeline(told))
    assert "layout a[/b]" in out.export_text()
