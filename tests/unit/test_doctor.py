"""Does the doctor judge what it sees, and say what to do?"""

from __future__ import annotations

import pytest

from infra import doctor
from infra.nats import drift, topology
from infra.nats.drift import Topology
from infra.settings import load


@pytest.mark.parametrize(
    ("version", "severity"),
    [((2, 11, 9), "error"), ((2, 12, 1), "warning"), ((2, 14, 0), "ok"), ((3, 0, 0), "ok")],
)
def test_the_brokers_version_is_judged(version: tuple[int, int, int], severity: str) -> None:
    row = doctor.broker_version(version)
    assert row.severity == severity
    assert bool(row.fix) == (severity != "ok")


@pytest.mark.parametrize(("interval", "severity"), [("always", "ok"), ("2m", "warning"), (None, "info")])
def test_late_fsync_is_a_warning(interval: str | None, severity: str) -> None:
    assert doctor.fsync(interval).severity == severity


@pytest.mark.parametrize(("wanted", "severity"), [(True, "error"), (False, "info")])
def test_a_missing_model_is_an_error_only_where_one_is_wanted(*, wanted: bool, severity: str) -> None:
    row = doctor.model(wanted=wanted, missing=["torch"], path="nowhere")
    assert (row.severity, row.ok) == (severity, not wanted)
    assert "torch" in row.detail


def test_an_old_python_is_an_error() -> None:
    assert not doctor.python((3, 10, 1)).ok
    assert doctor.python((3, 11, 0)).ok


def test_missing_streams_are_errors_with_the_command() -> None:
    wanted = topology.wanted(load())
    rows = doctor.differences(drift.diff(wanted, Topology(streams={}, consumers={})))
    assert all(row.severity == "error" and "topology apply" in row.fix for row in rows)
    (fine,) = doctor.differences(())
    assert fine.ok


def test_messages_that_nobody_fetches_are_a_warning() -> None:
    info = {"num_pending": 3, "num_ack_pending": 1, "num_redelivered": 2, "config": {"ack_wait": 10**10}}
    row = doctor.waiting("EVENTS", "fallback", info)
    assert (row.severity, row.fix) == ("warning", "start the stage: 'understudy run fallback'")
    assert row.detail.startswith("3 waiting, 1 being worked on, 2 redelivered, ack_wait 10 s")


def test_messages_that_are_being_fetched_are_fine() -> None:
    info = {"num_pending": 3, "num_waiting": 1, "config": {}}
    assert doctor.waiting("EVENTS", "fallback", info).ok


def test_a_stream_without_a_dedup_window_is_a_warning() -> None:
    actual = Topology(
        streams={"REQUESTS": {"max_age": 0, "max_bytes": -1, "duplicate_window": 0}}, consumers={}
    )
    kept, window = doctor.streams(actual)
    assert (kept.ok, window.severity) == (True, "warning")
