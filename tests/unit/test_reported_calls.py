"""Provider calls and latencies as the runner reports them, and budgets as the monitor sums them up."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from contracts import events as ev
from contracts.errors import ErrorCode
from contracts.outcome import Emit, Fail, Outcome, Retry, Wait
from contracts.policy.budget import Account, Cap, Reservation, Spent
from contracts.policy.budget_scope import AccountName
from contracts.usage import Attempt, Tokens
from infra.app.process_monitor import fullest
from infra.app.process_plan import free_port_beside
from infra.nats.accounts import LiveAccount
from infra.runner.report import published, report_calls
from infra.settings.settings import load
from infra.telemetry.dispatch import Telemetry
from infra.telemetry.provider_events import ProviderCalled
from tests.lives import brief, prose, received, success

EARLIER = ev.Trail(
    attempts=(Attempt(provider="a", model="a-1"),), tokens=Tokens(prompt=5, completion=7), amount=0.5
)
MADE = (
    Attempt(provider="a", model="a-1", code=ErrorCode.GEN_TIMEOUT, time_ms=100),
    Attempt(provider="b", model="b-1", time_ms=20.123),
)
LATER = ev.Trail(attempts=EARLIER.attempts + MADE, tokens=Tokens(prompt=15, completion=27), amount=0.75)


def calls(outcome: Outcome | None) -> list[ProviderCalled]:
    seen: list[Any] = []
    event = ev.ContextBuilt(attempt=2, brief=brief(), trail=EARLIER)
    report_calls(
        Telemetry(seen.append), stage="freeform-gen", received=received(event, sequence=4), outcome=outcome
    )
    return seen


@pytest.mark.parametrize(
    "outcome",
    [
        Emit(events=(ev.Drafted(attempt=2, brief=brief(), draft=prose(), trail=LATER),)),
        Fail(code=ErrorCode.GEN_TIMEOUT, message="m", trail=LATER),
        Retry(code=ErrorCode.GEN_TIMEOUT, message="m", trail=LATER),
    ],
    ids=lambda outcome: type(outcome).__name__,
)
def test_each_call_of_a_message_is_reported_once(outcome: Outcome) -> None:
    first, last = calls(outcome)
    assert (first.provider, first.code, first.duration_ms, first.prompt_tokens) == (
        "a",
        "GEN_TIMEOUT",
        100,
        None,
    )
    assert (last.provider, last.code, last.duration_ms) == ("b", "", 20.12)
    assert (last.prompt_tokens, last.completion_tokens, last.cost) == (10, 20, 0.25)
    assert (last.stage, last.kind, last.request_id) == ("freeform-gen", "layout", "r-1")


@pytest.mark.parametrize(
    "outcome",
    [None, Emit(), Wait(seconds=1, why="w"), Fail(code=ErrorCode.GEN_POISON, message="m")],
    ids=lambda outcome: type(outcome).__name__,
)
def test_a_message_without_a_call_reports_none(outcome: Outcome | None) -> None:
    assert calls(outcome) == []


def test_tokens_that_nobody_reported_stay_unknown() -> None:
    unknown = msgspec.structs.replace(LATER, tokens=Tokens(), amount=None)
    *_, last = calls(Fail(code=ErrorCode.GEN_TIMEOUT, message="m", trail=unknown))
    assert (last.prompt_tokens, last.completion_tokens, last.cost) == (None, None, None)


def test_latency_counts_from_the_brokers_timestamp_of_the_request() -> None:
    result = success("r-1", 1_000_000)
    assert published("validate-repair", result, now_s=1001.5).latency_ms == 1500
    assert published("validate-repair", result, now_s=999).latency_ms == 0
    unknown = msgspec.structs.replace(result, meta=msgspec.structs.replace(result.meta, requested_at_ms=None))
    assert published("validate-repair", unknown, now_s=1001).latency_ms is None


def account(scope: str, *, spent: int, held: int, cap: Cap) -> LiveAccount:
    hold = Reservation(most=Spent(tokens=held), until_ms=2000, run="r")
    return LiveAccount(
        named=AccountName(window_ms=1, ends_ms=9, scope=scope),
        account=Account(spent=Spent(tokens=spent, nanos=spent), held={"r:1": hold}, cap=cap),
    )


def test_the_fullest_budget_of_a_scope_counts() -> None:
    found = [
        account("workspace", spent=10, held=20, cap=Cap(tokens=100)),
        account("workspace", spent=70, held=20, cap=Cap(tokens=100, nanos=700)),
        account("total", spent=1, held=0, cap=Cap()),
    ]
    assert fullest(found, 1000) == {("workspace", "tokens"): 0.9, ("workspace", "cost"): 0.1}
    assert fullest(found, 3000)["workspace", "tokens"] == 0.7


@pytest.mark.parametrize(
    ("address", "child"), [("off", "off"), ("127.0.0.1:0", "127.0.0.1:0"), ("0.0.0.0:9464", "0.0.0.0:0")]
)
def test_children_take_free_ports(address: str, child: str) -> None:
    assert free_port_beside(address) == child


def test_metrics_that_an_older_file_switches_off_are_off() -> None:
    assert load(metrics=None).metrics == "off"
    assert load().metrics == "127.0.0.1:0"
