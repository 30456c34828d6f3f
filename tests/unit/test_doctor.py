"""Does the doctor judge what it sees, and say what to do?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infra.app import broker_checks, doctor
from infra.cli import checks
from infra.nats import topology, topology_diff
from infra.nats.topology_diff import Topology
from infra.settings.settings import load


@pytest.mark.parametrize(
    ("version", "severity"),
    [((2, 11, 9), "error"), ((2, 12, 1), "warning"), ((2, 14, 0), "ok"), ((3, 0, 0), "ok")],
)
def test_the_brokers_version_is_judged(version: tuple[int, int, int], severity: str) -> None:
    row = broker_checks.broker_version(version)
    assert row.severity == severity
    assert bool(row.fix) == (severity != "ok")


@pytest.mark.parametrize(("interval", "severity"), [("always", "ok"), ("2m", "warning"), (None, "info")])
def test_late_fsync_is_a_warning(interval: str | None, severity: str) -> None:
    assert broker_checks.fsync(interval).severity == severity


@pytest.mark.parametrize(("wanted", "severity"), [(True, "error"), (False, "info")])
def test_a_missing_model_is_an_error_only_where_one_is_wanted(*, wanted: bool, severity: str) -> None:
    row = doctor.model(wanted=wanted, missing=["torch"], path="nowhere")
    assert (row.severity, row.ok) == (severity, not wanted)
    assert "torch" in row.detail


def test_an_old_python_is_an_error() -> None:
    assert not doctor.python((3, 10, 1)).ok
    assert doctor.python((3, 11, 0)).ok


def test_missing_streams_are_errors_with_the_command() -> None:
    wanted = topology.desired_topology(load())
    rows = broker_checks.differences(topology_diff.diff(wanted, Topology(streams={}, consumers={})))
    assert all(row.severity == "error" and "topology apply" in row.fix for row in rows)
    (fine,) = broker_checks.differences(())
    assert fine.ok


def test_messages_that_nobody_fetches_are_a_warning() -> None:
    info = {"num_pending": 3, "num_ack_pending": 1, "num_redelivered": 2, "config": {"ack_wait": 10**10}}
    row = broker_checks.waiting("EVENTS", "fallback", info)
    assert (row.severity, row.fix) == ("warning", "start the stage: 'understudy run fallback'")
    assert row.detail.startswith("3 waiting, 1 being worked on, 2 redelivered, ack_wait 10 s")


def test_messages_that_are_being_fetched_are_fine() -> None:
    assert broker_checks.waiting("EVENTS", "fallback", _consumer(num_waiting=1, last_s=5)).ok
    assert broker_checks.waiting("EVENTS", "fallback", _consumer(num_waiting=0, last_s=5)).ok, (
        "all hands are full"
    )


def _consumer(*, num_waiting: int, last_s: int, **more: Any) -> dict[str, Any]:
    """A consumer with work that waits, and when it last delivered, seconds ago."""
    now = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
    return {
        "num_pending": 3,
        "num_waiting": num_waiting,
        "config": {"ack_wait": 10**10, **more.pop("config", {})},
        "ts": now.isoformat().replace("+00:00", "Z"),
        "delivered": {"last_active": (now - timedelta(seconds=last_s)).isoformat()},
        **more,
    }


def test_messages_that_are_not_delivered_are_a_warning() -> None:
    row = broker_checks.waiting("EVENTS", "fallback", _consumer(num_waiting=1, last_s=11))
    assert (row.severity, "although stages poll" in row.detail) == ("warning", True)


def test_a_paused_consumer_is_a_warning_with_the_command() -> None:
    config = {"pause_until": "2099-01-01T00:00:00Z"}
    row = broker_checks.waiting(
        "EVENTS", "fallback", _consumer(num_waiting=1, last_s=11, paused=True, config=config)
    )
    assert (row.severity, row.fix) == ("warning", "run 'understudy topology apply'")


@pytest.mark.parametrize(
    ("account", "limit", "severity"),
    [
        ({"storage": 10}, None, "ok"),
        ({"storage": 10}, 100, "ok"),
        ({"storage": 85}, 100, "warning"),
        ({"storage": 96}, 100, "error"),
        ({"storage": 96, "limits": {"max_storage": -1}}, None, "ok"),
        ({"storage": 96, "limits": {"max_storage": 100}}, 10**9, "error"),
        ({"storage": 0, "tiers": {"R3": {"storage": 85, "limits": {"max_storage": 100}}}}, None, "warning"),
    ],
)
def test_a_store_that_fills_up_is_seen(account: dict[str, Any], limit: int | None, severity: str) -> None:
    row = broker_checks.stored(account, limit=limit)
    assert (row.severity, bool(row.fix)) == (severity, severity != "ok")


@pytest.mark.parametrize(
    ("name", "config", "told"),
    [
        ("DEAD", {"discard": "new", "max_msgs": 3}, True),
        ("DEAD", {"discard": "old", "max_msgs": 3}, False),
        ("DEAD", {"discard": "new", "max_msgs": -1, "max_bytes": -1}, False),
        ("REQUESTS", {"discard": "new", "max_bytes": 100}, True),
        ("REQUESTS", {"discard": "new", "max_msgs": 3}, False),
    ],
)
def test_a_stream_that_refuses_is_told(name: str, config: dict[str, Any], *, told: bool) -> None:
    row = broker_checks.fill(name, {"config": config, "state": {"messages": 3, "bytes": 99}})
    assert (row is not None) == told


def test_a_stream_without_a_dedup_window_is_a_warning() -> None:
    actual = Topology(
        streams={"REQUESTS": {"max_age": 0, "max_bytes": -1, "duplicate_window": 0}}, consumers={}
    )
    kept, window = broker_checks.streams(actual)
    assert (kept.ok, window.severity) == (True, "warning")


def test_problems_come_first_and_what_is_in_order_is_folded(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"check": "python", "ok": True, "severity": "ok", "detail": "3.11", "fix": ""},
        {"check": "disk", "ok": False, "severity": "warning", "detail": "little", "fix": "free some"},
        {"check": "gpu", "ok": True, "severity": "info", "detail": "none", "fix": ""},
        {"check": "broker", "ok": False, "severity": "error", "detail": "gone", "fix": ""},
    ]
    checks._print_checks(rows, everything=False)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["error", "warning", "2"]
    checks._print_checks(rows, everything=True)
    assert len(capsys.readouterr().out.splitlines()) == 4
