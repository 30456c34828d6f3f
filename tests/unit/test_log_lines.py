"""Log lines: a sentence for every event, and repetitions as a count."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from infra.lab.docgen.telemetry import catalogue, example
from infra.runner.report import report
from infra.settings.settings import load
from infra.telemetry import logging as log_format
from infra.telemetry.dispatch import Telemetry, TelemetryEvent, name_of
from infra.telemetry.events import MessageEnding, MessageHandled, PublishDelayed, ResultPublished
from infra.telemetry.log_lines import WINDOW_S, LogLines
from infra.telemetry.metrics import ProcessMetrics


class Timers:
    """Calls that are made when a test says so."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def __call__(self, seconds: float, call: Callable[[], None]) -> None:
        assert seconds == WINDOW_S
        self.waiting.append(call)

    def elapse(self) -> None:
        waiting, self.waiting = self.waiting, []
        for call in waiting:
            call()


class Shown:
    """What was written to standard error so far."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._text = ""

    def getvalue(self) -> str:
        self._text += self._capsys.readouterr().err
        return self._text


@pytest.fixture(autouse=True)
def shown(capsys: pytest.CaptureFixture[str]) -> Iterator[Shown]:
    before = structlog.get_config()
    log_format.configure(load(log_level="info", log_format="json"))
    yield Shown(capsys)
    structlog.configure(**before)


@pytest.fixture
def timers() -> Timers:
    return Timers()


@pytest.fixture
def lines(timers: Timers) -> LogLines:
    return LogLines(later=timers)


def said(shown: Shown) -> list[dict[str, Any]]:
    return [json.loads(line) for line in shown.getvalue().splitlines()]


def waits(request_id: str, problem: str = "the database is locked") -> MessageHandled:
    return MessageHandled(
        stage="audit",
        name="result",
        kind="scene",
        request_id=request_id,
        stream="EVENTS",
        seq=7,
        deliveries=1,
        ending=MessageEnding.WAITS,
        problem=problem,
        duration_ms=1.0,
    )


def fell_back(request_id: str, **changes: Any) -> ResultPublished:
    fields = {
        "stage": "fallback",
        "kind": "scene",
        "status": "fail_fallback",
        "origin": "golden_sample",
        "code": "GEN_TIMEOUT",
        "failed_in": "freeform-gen",
        "problem": "no answer within 45 s",
    }
    return ResultPublished(request_id=request_id, **fields | changes)


@pytest.mark.parametrize("event", catalogue(), ids=name_of)
def test_every_event_is_compared_by_fields_that_it_has(event: type[TelemetryEvent]) -> None:
    assert set(event.FOLDS_BY) <= set(event.__struct_fields__)
    assert example(event).folds_as == example(event).folds_as


@pytest.mark.parametrize("event", catalogue(), ids=name_of)
def test_every_event_is_one_line_of_words(event: type[TelemetryEvent]) -> None:
    made = example(event)
    assert event.__doc__
    assert "\n" not in str(made)
    assert not str(made).startswith(event.__name__)
    assert "None" not in str(made)
    assert made.level in {logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR}
    assert not {"event", "level", "timestamp", "message", "exception", "more"} & made.fields().keys()


def test_a_line_for_people_is_a_sentence(lines: LogLines, shown: Shown) -> None:
    log_format.configure(load(log_level="info", log_format="console"))
    LogLines()(fell_back("w-12"))
    assert shown.getvalue().endswith(
        " warning fell back w-12 (scene): GEN_TIMEOUT in freeform-gen: no answer within 45 s\n"
    )


def test_a_line_for_machines_has_the_sentence_and_the_fields(lines: LogLines, shown: Shown) -> None:
    lines(fell_back("w-12"))
    (line,) = said(shown)
    assert line.pop("timestamp")
    assert line == {
        "event": "result_published",
        "level": "warning",
        "message": "fell back w-12 (scene): GEN_TIMEOUT in freeform-gen: no answer within 45 s",
        "request_id": "w-12",
        "stage": "fallback",
        "kind": "scene",
        "status": "fail_fallback",
        "origin": "golden_sample",
        "code": "GEN_TIMEOUT",
        "failed_in": "freeform-gen",
        "problem": "no answer within 45 s",
    }


def test_a_problem_of_many_messages_is_two_lines(lines: LogLines, timers: Timers, shown: Shown) -> None:
    for number in range(39):
        lines(waits(f"r-{number}"))
    assert len(said(shown)) == 1
    timers.elapse()
    first, last = said(shown)
    assert first["message"] == "audit waits with result of r-0 (scene): the database is locked"
    assert last["message"].startswith("audit waits with result of r-38 (scene): the database is locked, ")
    assert last["message"].endswith("37 more in the last 10 s")
    assert last["more"] == 37


def test_while_it_lasts_there_is_a_line_per_window_and_then_none(
    lines: LogLines, timers: Timers, shown: Shown
) -> None:
    for _ in range(3):
        lines(waits("a"))
        lines(waits("b"))
        timers.elapse()
    assert len(said(shown)) == 4
    timers.elapse()
    assert (len(said(shown)), timers.waiting) == (4, [])
    lines(waits("c"))
    assert len(said(shown)) == 5


def test_different_problems_are_different_lines(lines: LogLines, shown: Shown) -> None:
    lines(waits("a"))
    lines(waits("a", "the disk is full"))
    lines(PublishDelayed(stage="audit", subject="gen.result.scene.r-1", problem="timeout 1", tries=1))
    lines(PublishDelayed(stage="audit", subject="gen.result.scene.r-2", problem="timeout 2", tries=1))
    assert len(said(shown)) == 3


def test_results_are_one_line_each_until_there_are_very_many(
    lines: LogLines, timers: Timers, shown: Shown
) -> None:
    for number in range(100):
        lines(fell_back(f"w-{number}"))
    assert len(said(shown)) == ResultPublished.WRITTEN
    lines.flush()
    assert said(shown)[-1]["more"] == 100 - ResultPublished.WRITTEN - 1


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"status": "rejected", "problem": "prompt must be a string"},
            "rejected w (scene): prompt must be a string",
        ),
        ({"status": "failed"}, "failed w (scene): GEN_TIMEOUT in freeform-gen: no answer within 45 s"),
        ({"status": "cancelled"}, "cancelled w (scene)"),
        ({"status": "success", "code": ""}, None),
        ({"status": "cached_fallback", "code": "GEN_PROVIDER_DISABLED"}, None),
    ],
)
def test_results_that_nobody_must_know_of_are_silent(
    lines: LogLines, shown: Shown, changes: dict[str, Any], line: str | None
) -> None:
    lines(fell_back("w", **changes))
    assert [each["message"] for each in said(shown)] == ([] if line is None else [line])


def test_every_subscriber_gets_every_event() -> None:
    counts, seen = ProcessMetrics(), []
    telemetry = Telemetry(counts)
    telemetry.subscribe(seen.append)
    telemetry.emit(waits("a"))
    telemetry.emit(fell_back("b"))
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in counts.collect()
        for sample in family.samples
    }
    assert [type(event) for event in seen] == [MessageHandled, ResultPublished]
    result = ("fallback", "scene", "fail_fallback", "golden_sample", "GEN_TIMEOUT")
    assert samples["understudy_messages_total", "audit", "result", "waits"] == 1
    assert samples["understudy_parked_total", "audit"] == 1
    assert samples["understudy_results_total", *result] == 1


def test_an_event_below_the_level_of_the_log_is_taken_by_nobody(lines: LogLines) -> None:
    telemetry = Telemetry(lines)
    assert telemetry.takes(MessageHandled, logging.INFO)
    assert not telemetry.takes(MessageHandled, logging.DEBUG)
    telemetry.subscribe(ProcessMetrics())
    assert telemetry.takes(MessageHandled, logging.DEBUG)
    assert not Telemetry().takes(MessageHandled, logging.ERROR)


@pytest.mark.parametrize("ending", MessageEnding)
@pytest.mark.parametrize("counted", [False, True])
def test_a_report_reaches_whoever_takes_it(shown: Shown, ending: MessageEnding, *, counted: bool) -> None:
    counts, telemetry = ProcessMetrics(), Telemetry(LogLines(later=Timers()))
    if counted:
        telemetry.subscribe(counts)
    delivery: Any = SimpleNamespace(
        msg=SimpleNamespace(subject="gen.result.scene.a"), stream="EVENTS", sequence=7, deliveries=1
    )
    report(
        telemetry,
        stage="audit",
        delivery=delivery,
        outcome=None,
        ending=ending,
        problem="the disk is full",
        duration_ms=1.0,
    )
    shows = ending in {MessageEnding.WAITS, MessageEnding.PUT_OFF, MessageEnding.HANDED_BACK}
    assert [each["request_id"] for each in said(shown)] == (["a"] if shows else [])
    handled = next(family for family in counts.collect() if family.name == "understudy_messages")
    assert [sample.labels for sample in handled.samples] == (
        [{"stage": "audit", "name": "result", "ending": str(ending)}] if counted else []
    )


def test_without_words_a_line_has_hashes_where_it_may_quote(timers: Timers, shown: Shown) -> None:
    lines = LogLines(later=timers, words=False)
    lines(
        ResultPublished(
            stage="context-build",
            kind="layout",
            request_id="r-1",
            status="rejected",
            origin="none",
            code="GEN_INVALID_REQUEST",
            failed_in="context-build",
            problem="prompt: 'sunflower' is too short",
        )
    )
    lines(waits("r-2", "the database is locked"))
    refused, waiting = said(shown)
    assert refused["problem"].startswith("prompt: sha256:")
    assert refused["message"].startswith("rejected r-1 (layout): prompt: sha256:")
    assert waiting["problem"] == "the database is locked"


#: Texts that name this pipeline's own parts, files, addresses and settings, and quote no request.
_OF_THE_PIPELINE = {
    "AccessUnread",
    "AdmissionStuck",
    "BrokerMoved",
    "BrokerNotStarted",
    "BrokerUnread",
    "ConnectionTrouble",
    "ConsumerLost",
    "EntryNotStored",
    "ExperimentsUnreadable",
    "ExporterFailed",
    "FileNotWritten",
    "FolderExposed",
    "HandBackFailed",
    "LetterLost",
    "ModelFailed",
    "PermissionRefused",
    "PublishDelayed",
    "ResponseCacheFailed",
    "SpanLinksLost",
    "StagesEnded",
    "StagesKilled",
    "StartRefused",
    "SweepDelayed",
    "TopologyNotApplied",
    "WindowTooSmall",
    "WorldsLeftOut",
}


def test_every_event_with_a_text_says_whether_it_may_quote() -> None:
    with_text = {
        type_.__name__ for type_ in catalogue() if {"problem", "note"} & set(type_.__struct_fields__)
    }
    quoting = {type_.__name__ for type_ in catalogue() if type_.QUOTES or "quotes" in vars(type_)}
    assert with_text == quoting | _OF_THE_PIPELINE
    assert not quoting & _OF_THE_PIPELINE


def test_a_traceback_without_words_has_no_text_of_the_error(shown: Shown) -> None:
    error = ValueError("sunflower")
    assert "sunflower" in log_format.traceback(error)
    told = log_format.traceback(error, words=False)
    assert told.startswith("ValueError: sha256:")
    log_format.configure(load(log_format="json", audit={"store_prompts": False}))
    structlog.get_logger().error("defect", exc_info=error)
    (line,) = said(shown)
    assert line["exception"] == told
