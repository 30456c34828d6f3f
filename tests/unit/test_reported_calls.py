"""Latencies as the runner reports them, and budgets as the monitor sums them up."""

from __future__ import annotations

import msgspec
import pytest

from contracts.policy.budget import Account, Cap, Reservation, Spent
from contracts.policy.budget_scope import AccountName
from infra.app.process_monitor import fullest
from infra.app.process_plan import child_metrics
from infra.nats.accounts import LiveAccount
from infra.runner.report import published
from infra.settings.settings import load
from tests.lives import success


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
    ("address", "child"), [("off", "off"), ("127.0.0.1:0", "127.0.0.1:0"), ("0.0.0.0:9464", "127.0.0.1:0")]
)
def test_children_take_free_ports(address: str, child: str) -> None:
    assert child_metrics(address) == child


def test_metrics_that_an_older_file_switches_off_are_off() -> None:
    assert load(metrics=None).metrics == "off"
    assert load().metrics == "127.0.0.1:0"
