"""Doctor's checks of consumers: who works, how old messages are, and whether ack_wait is long enough."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infra.app import consumer_checks
from infra.app.consumer_checks import Backlog
from infra.nats import log
from infra.nats.log import LogEntry
from infra.settings.settings import load

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
DAY_S = 86_400


def test_messages_that_nobody_fetches_are_a_warning() -> None:
    info = {"num_pending": 3, "num_ack_pending": 1, "num_redelivered": 2, "config": {"ack_wait": 10**10}}
    row = consumer_checks.waiting("EVENTS", "fallback", info)
    assert (row.severity, row.fix) == ("warning", "start the stage: 'understudy run fallback'")
    assert row.detail.startswith("3 waiting, 1 being worked on, 2 redelivered, ack_wait 10 s")


def test_messages_that_are_being_fetched_are_fine() -> None:
    assert consumer_checks.waiting("EVENTS", "fallback", _consumer(num_waiting=1, last_s=5)).ok
    assert consumer_checks.waiting("EVENTS", "fallback", _consumer(num_waiting=0, last_s=5)).ok, (
        "all hands are full"
    )


def _consumer(*, num_waiting: int, last_s: int, acked_s: int | None = None, **more: Any) -> dict[str, Any]:
    """A consumer with work that waits; when it last delivered, and when a message was last acknowledged, seconds ago."""
    return {
        "num_pending": 3,
        "num_waiting": num_waiting,
        "config": {"ack_wait": 10**10, **more.pop("config", {})},
        "ts": NOW.isoformat().replace("+00:00", "Z"),
        "delivered": {"last_active": _ago(last_s)},
        "ack_floor": {} if acked_s is None else {"last_active": _ago(acked_s)},
        **more,
    }


def _ago(seconds: int) -> str:
    return (NOW - timedelta(seconds=seconds)).isoformat()


def test_messages_that_are_not_delivered_are_a_warning() -> None:
    row = consumer_checks.waiting("EVENTS", "fallback", _consumer(num_waiting=1, last_s=11))
    assert (row.severity, "although stages poll" in row.detail) == ("warning", True)


def test_a_paused_consumer_is_a_warning_with_the_command() -> None:
    config = {"pause_until": "2099-01-01T00:00:00Z"}
    row = consumer_checks.waiting(
        "EVENTS", "fallback", _consumer(num_waiting=1, last_s=11, paused=True, config=config)
    )
    assert (row.severity, row.fix) == ("warning", "run 'understudy topology apply'")


def test_a_stage_whose_hands_are_full_is_fine_while_its_work_may_still_end() -> None:
    info = _consumer(num_waiting=0, last_s=30, num_ack_pending=64)
    assert not consumer_checks.waiting("EVENTS", "freeform-gen", info).ok, "nobody knows its hands"
    assert not consumer_checks.waiting("EVENTS", "freeform-gen", info, hands=65).ok, "it has a free hand"
    assert consumer_checks.waiting("EVENTS", "freeform-gen", info, hands=64).ok
    late = _consumer(num_waiting=0, last_s=721, num_ack_pending=64)
    assert not consumer_checks.waiting("EVENTS", "freeform-gen", late, hands=64).ok


@pytest.mark.parametrize(
    ("held", "last_s", "acked_s", "ok"),
    [(1, 800, 900, False), (1, 800, 10, True), (1, 700, 900, True), (0, 800, 900, True)],
)
def test_messages_that_are_held_and_never_acknowledged_are_stuck(held, last_s, acked_s, *, ok: bool) -> None:
    info = _consumer(num_waiting=1, last_s=last_s, acked_s=acked_s, num_pending=0, num_ack_pending=held)
    found = consumer_checks.waiting("EVENTS", "structuring", info, stuck_s=720)
    assert found.ok == ok
    assert ("stuck, nothing was acknowledged for 13 min" in found.detail) == (not ok)
    assert ("restart the stage 'structuring'" in found.fix) == (not ok)


def test_the_longest_calls_decide_when_work_is_stuck() -> None:
    longest = {"freeform": {"temperature": 0.8, "max_tokens": 9, "timeout": 600}}
    assert consumer_checks.stuck_after_s(load(narrative={"defaults": longest})) == 2 * (600 + 180)


def _backlog(age_s: float, max_age_s: float = 7 * DAY_S) -> Backlog:
    return Backlog(stream="REQUESTS", stage="audit", messages=1200, age_s=age_s, max_age_s=max_age_s)


@pytest.mark.parametrize(
    ("backlog", "severity"),
    [
        (_backlog(3 * DAY_S), "ok"),
        (_backlog(4 * DAY_S), "warning"),
        (_backlog(6.5 * DAY_S), "error"),
        (_backlog(6.5 * DAY_S, max_age_s=0), "ok"),
    ],
)
def test_messages_that_will_be_deleted_before_they_are_worked_on_are_told(backlog, severity) -> None:
    (found,) = consumer_checks.backlogs([_backlog(1), backlog])
    assert (found.severity, bool(found.fix)) == (severity, severity != "ok")
    if severity != "ok":
        assert found.check == "backlog REQUESTS/audit"
        assert "the oldest of 1,200 messages" in found.detail
        assert "deletes messages after 7 d" in found.detail


async def test_the_oldest_unfinished_message_counts_whatever_its_subject(monkeypatch) -> None:
    ages = {"gen.failed.>": 20, "gen.deadline.>": 90}
    asked: list[int] = []

    async def first(_wire: Any, stream: str, subject: str, *, start: int = 1) -> LogEntry | None:
        asked.append(start)
        at = NOW - timedelta(seconds=ages[subject])
        time_ns = int(at.timestamp()) * 10**9
        return LogEntry(stream=stream, sequence=9, subject=subject, time_ns=time_ns, headers={}, body=b"")

    monkeypatch.setattr(log, "first", first)
    wire: Any = None
    info = _consumer(num_waiting=1, last_s=1, config={"filter_subjects": list(ages)})
    info["ack_floor"]["stream_seq"] = 7
    found = await consumer_checks.find_backlog(wire, "EVENTS", "fallback", info=info, max_age_ns=10**11)
    assert found == Backlog(stream="EVENTS", stage="fallback", messages=3, age_s=90, max_age_s=100)
    assert asked == [8, 8]
    idle = {**info, "num_pending": 0}
    assert await consumer_checks.find_backlog(wire, "EVENTS", "fallback", info=idle, max_age_ns=1) is None


@pytest.mark.parametrize(
    ("stage", "p99_ms", "again", "ok"),
    [
        ("validate-repair", 9_000, 0, True),
        ("validate-repair", 12_000, 0, False),
        ("freeform-gen", 45_000, 0, True),
        ("freeform-gen", 45_000, 2, False),
    ],
)
def test_work_that_outlasts_ack_wait_is_told(stage, p99_ms, again, *, ok: bool) -> None:
    infos = {("EVENTS", stage): {"config": {"ack_wait": 10**10}, "num_redelivered": again}}
    (found,) = consumer_checks.ack_waits({stage: p99_ms}, infos)
    assert (found.ok, found.check) == (ok, "ack_wait" if ok else f"ack_wait EVENTS/{stage}")
    assert ("UNDERSTUDY_ACK_WAIT=" in found.fix) == (not ok)


def test_the_fallbacks_wait_follows_no_setting() -> None:
    infos = {("EVENTS", "fallback"): {"config": {"ack_wait": 10**9}}}
    (found,) = consumer_checks.ack_waits({"fallback": 1500}, infos)
    assert (found.ok, found.fix) == (False, "run more copies of fallback")


def test_without_results_nothing_is_judged() -> None:
    infos = {("EVENTS", "fallback"): {"config": {"ack_wait": 10**9}}}
    (found,) = consumer_checks.ack_waits({}, infos)
    assert (found.ok, found.detail) == (True, "no request of the last day is known")
