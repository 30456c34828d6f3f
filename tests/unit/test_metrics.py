"""Metrics of a process: what is counted, what is exported at 0, and labels that no stranger can multiply."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from contracts import pipeline
from contracts.errors import ErrorCode
from contracts.kinds import KINDS
from contracts.result import ORIGINS_OF
from infra.telemetry import broker_events
from infra.telemetry import events as ev
from infra.telemetry import metric_table as table
from infra.telemetry.events import MessageEnding
from infra.telemetry.metric_values import OTHER, FirstSeen
from infra.telemetry.metrics import ProcessMetrics, label_bounds
from infra.telemetry.provider_events import ProviderCalled

HOSTILE = ("layout\n# HELP x", 'a"b', "\\", "\x00", "x" * 5000, "gen.>", "é" * 300, "{}", "\ud800")


def samples(metrics: ProcessMetrics) -> dict[tuple[str, ...], float]:
    """Values by the name of the time series and its labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in metrics.collect()
        for sample in family.samples
    }


def handled(**changes: Any) -> ev.MessageHandled:
    fields: dict[str, Any] = {
        "stage": "fallback",
        "name": "requested",
        "kind": "layout",
        "request_id": "r",
        "stream": "REQUESTS",
        "seq": 1,
        "deliveries": 1,
        "ending": MessageEnding.SCHEDULED,
        "duration_ms": 2.0,
    }
    return ev.MessageHandled(**fields | changes)


def published(**changes: Any) -> ev.ResultPublished:
    fields: dict[str, Any] = {
        "stage": "fallback",
        "kind": "layout",
        "request_id": "r",
        "status": "fail_fallback",
        "origin": "golden_sample",
        "code": "GEN_TIMEOUT",
        "latency_ms": 1500.0,
    }
    return ev.ResultPublished(**fields | changes)


def called(**changes: Any) -> ProviderCalled:
    fields: dict[str, Any] = {
        "stage": "freeform-gen",
        "kind": "layout",
        "request_id": "r",
        "provider": "openai",
        "model": "m",
        "duration_ms": 250.0,
    }
    return ProviderCalled(**fields | changes)


def letter(request_id: str) -> ev.LetterWritten:
    return ev.LetterWritten(
        stage="fallback",
        kind="layout",
        request_id=request_id,
        stream="REQUESTS",
        seq=1,
        code="GEN_INVALID_REQUEST",
        problem="no such prompt version",
    )


def test_letters_are_counted_by_stage_and_code() -> None:
    metrics = ProcessMetrics(("fallback",))
    for request_id in ("r", "", "sh-a-1"):
        metrics(letter(request_id))
    assert samples(metrics)["understudy_dead_letters_total", "fallback", "GEN_INVALID_REQUEST"] == 2


def test_every_expected_counter_is_there_at_0() -> None:
    found = samples(ProcessMetrics(pipeline.STAGES))
    for kind in KINDS:
        assert found["understudy_requests_total", kind] == 0
        for origin in ORIGINS_OF["success"]:
            assert found["understudy_results_total", "validate-repair", kind, "success", origin, ""] == 0
    for stage in pipeline.STAGES:
        assert found["understudy_redeliveries_total", stage] == 0
        assert found["understudy_parked_total", stage] == 0
        for code in ErrorCode:
            assert found["understudy_dead_letters_total", stage, code] == 0
    assert (
        found["understudy_results_total", "fallback", "plot", "fail_fallback", "golden_sample", "GEN_POISON"]
        == 0
    )
    assert found["understudy_messages_total", "audit", "dead", "recorded"] == 0
    assert found["understudy_stage_duration_seconds_count", "structuring"] == 0
    labelled = {name for name, *_ in found}
    for spec in table.PROCESS_METRICS:
        if (
            spec.type is table.MetricType.COUNTER
            and "provider" not in spec.labels
            and "event" not in spec.labels
        ):
            assert spec.name in labelled, spec.name


def test_a_provider_is_there_at_0_once_it_is_known() -> None:
    metrics = ProcessMetrics(("freeform-gen",))
    metrics.show_provider("openai", "m", ("freeform-gen",))
    found = samples(metrics)
    assert found["understudy_provider_calls_total", "openai", "m", "freeform-gen", ""] == 0
    assert found["understudy_provider_calls_total", "openai", "m", "freeform-gen", "GEN_TIMEOUT"] == 0
    assert found["understudy_provider_tokens_total", "openai", "m", "prompt"] == 0
    assert found["understudy_provider_cost_total", "openai", "m"] == 0


def test_a_request_is_counted_when_its_deadline_is_armed() -> None:
    metrics = ProcessMetrics(("fallback",))
    metrics(ev.DeadlineArmed(stage="fallback", kind="layout", request_id="r"))
    metrics(handled())
    assert samples(metrics)["understudy_requests_total", "layout"] == 1


def test_shadows_are_no_requests_and_no_results() -> None:
    metrics = ProcessMetrics(("fallback",))
    before = samples(metrics)
    metrics(published(request_id="sh-a-1"))
    metrics(
        ev.RatingLowered(
            stage="context-build",
            kind="layout",
            request_id="sh-a-1",
            requested="nsfw",
            effective="sfw",
            by="operator",
        )
    )
    metrics(letter("sh-a-1"))
    assert samples(metrics) == before
    metrics(ev.DeadlineArmed(stage="fallback", kind="layout", request_id="sh-a-1"))
    assert samples(metrics) == before
    metrics(handled(request_id="sh-a-1"))
    found = samples(metrics)
    # The work on them is a stage's work.
    assert found["understudy_messages_total", "fallback", "requested", "scheduled"] == 1


def test_parked_messages_are_counted_and_take_no_time() -> None:
    metrics = ProcessMetrics(("fallback",))
    for ending in MessageEnding:
        metrics(handled(ending=ending, name="failed", deliveries=2))
    found = samples(metrics)
    assert found["understudy_parked_total", "fallback"] == 2
    assert found["understudy_redeliveries_total", "fallback"] == len(MessageEnding)
    assert found["understudy_stage_duration_seconds_count", "fallback"] == len(MessageEnding) - 3


def test_latency_falls_into_its_bucket() -> None:
    metrics = ProcessMetrics()
    metrics(published(latency_ms=2500.0))
    metrics(published(latency_ms=None))
    found = samples(metrics)
    series = ("understudy_request_duration_seconds_bucket", "layout", "fail_fallback")
    assert (found[*series, "1"], found[*series, "2.5"], found[*series, "+Inf"]) == (0, 1, 1)
    assert found["understudy_request_duration_seconds_sum", "layout", "fail_fallback"] == 2.5
    assert (
        found[
            "understudy_results_total", "fallback", "layout", "fail_fallback", "golden_sample", "GEN_TIMEOUT"
        ]
        == 2
    )


def test_calls_tokens_and_cost_are_counted_by_provider() -> None:
    metrics = ProcessMetrics()
    metrics(called(code="GEN_TIMEOUT"))
    metrics(called(prompt_tokens=12, completion_tokens=30, cost=0.5))
    found = samples(metrics)
    assert found["understudy_provider_calls_total", "openai", "m", "freeform-gen", "GEN_TIMEOUT"] == 1
    assert found["understudy_provider_calls_total", "openai", "m", "freeform-gen", ""] == 1
    assert found["understudy_provider_tokens_total", "openai", "m", "completion"] == 30
    assert found["understudy_provider_cost_total", "openai", "m"] == 0.5
    assert found["understudy_provider_call_duration_seconds_count", "openai", "m"] == 2


def test_connection_and_admission_are_exported() -> None:
    metrics = ProcessMetrics()
    metrics(broker_events.ConnectionLost(stages=("audit",), broker="b"))
    metrics(broker_events.ConnectionRestored(stages=("audit",), broker="b", seconds=3.5))
    metrics(broker_events.AdmissionClosed(open=9))
    found = samples(metrics)
    assert found["understudy_broker_connections_lost_total",] == 1
    assert found["understudy_broker_disconnected_seconds_total",] == 3.5
    assert found["understudy_admission_closed",] == 1
    metrics(broker_events.AdmissionOpened(open=9))
    assert samples(metrics)["understudy_admission_closed",] == 0


def take_all(metrics: ProcessMetrics, value: str) -> None:
    """Emit one text in every place that a message can fill."""
    metrics(handled(stage=value, name=value, kind=value, stream=value, ending=MessageEnding.SCHEDULED))
    metrics(published(stage=value, kind=value, status=value, origin=value, code=value))
    metrics(ev.DeadlineArmed(stage=value, kind=value, request_id=value))
    metrics(ev.LetterWritten(stage=value, stream=value, seq=1, code=value, problem=value))


def test_a_stranger_cannot_multiply_time_series() -> None:
    metrics = ProcessMetrics(pipeline.STAGES)
    take_all(metrics, "unexpected")
    before = set(samples(metrics))
    for value in (*HOSTILE, *(f"layout{number}" for number in range(500))):
        take_all(metrics, value)
    found = samples(metrics)
    assert set(found) == before
    assert found["understudy_results_total", OTHER, OTHER, OTHER, OTHER, OTHER] == 1 + len(HOSTILE) + 500


@settings(max_examples=30)
@given(st.text())
def test_any_text_is_one_of_the_known_values_or_other(value: str) -> None:
    for label in ("stage", "kind", "name", "ending", "status", "origin", "code", "stream", "type"):
        bounded = label_bounds()[label](value)
        assert bounded in {value, OTHER}
        assert bounded == OTHER or len(value) < 40


def test_models_beyond_the_first_ones_share_a_time_series() -> None:
    metrics = ProcessMetrics()
    for number in range(1000):
        metrics(called(provider=f"p{number}", model=f"m{number}"))
    for value in HOSTILE:
        metrics(called(provider=value, model=value))
    found = samples(metrics)
    calls = [labels for labels in found if labels[0] == "understudy_provider_calls_total"]
    assert len(calls) == 65
    assert found["understudy_provider_calls_total", OTHER, OTHER, "freeform-gen", ""] == 936 + len(HOSTILE)


@pytest.mark.parametrize("value", HOSTILE)
def test_any_label_value_is_exported_readably(value: str) -> None:
    metrics = ProcessMetrics()
    metrics(called(provider=value, model=value))
    registry = CollectorRegistry()
    registry.register(metrics)
    text = generate_latest(registry).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    (call,) = families["understudy_provider_calls"].samples
    assert call.labels["provider"] in {value, OTHER}


def test_the_first_values_of_a_label_are_kept() -> None:
    bound = FirstSeen(2)
    assert [bound(value) for value in ("a", "x" * 101, "b", "c", "a")] == ["a", OTHER, "b", OTHER, "a"]
