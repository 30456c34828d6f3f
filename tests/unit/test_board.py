"""Lanes of the board: sums over a stage's consumers, what is in work and what is parked, and how fast they move."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from infra.app import process_pages
from infra.app.board import LaneReader
from infra.app.broker_state import ConsumerState
from infra.app.process_pages import ProcessCircuit
from infra.host import target_file
from infra.host.target_file import Target
from infra.nats.multiplexer import RequestMultiplexer
from infra.settings.settings import load

PAGE = """\
# HELP understudy_messages_in_hand Messages that this process is working on.
# TYPE understudy_messages_in_hand gauge
understudy_messages_in_hand{stream="EVENTS",stage="structuring"} 3.0
understudy_messages_in_hand{stream="REQUESTS",stage="fallback"} 1.0
understudy_messages_total{stage="structuring",name="drafted",ending="done"} 7.0
# TYPE understudy_provider_circuit_state gauge
understudy_provider_circuit_state{provider="openai",model="m \\"1\\"",state="closed"} 0.0
understudy_provider_circuit_state{provider="openai",model="m \\"1\\"",state="open"} 1.0
# TYPE understudy_provider_circuit_failures gauge
understudy_provider_circuit_failures{provider="openai",model="m \\"1\\""} 5.0
"""


IDLE = ConsumerState(
    stream="EVENTS",
    stage="",
    waiting=0,
    ack_pending=0,
    redelivered=0,
    fetching=1,
    oldest_age_s=None,
    ack_wait_s=30.0,
    paused=False,
    delivered=0,
    problem="",
    fix="",
)


def consumer(stage: str, stream: str = "EVENTS", **fields: Any) -> ConsumerState:
    return msgspec.structs.replace(IDLE, stage=stage, stream=stream, **fields)


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def reader(clock: Clock) -> LaneReader:
    return LaneReader(RequestMultiplexer(), load(nats_url="nats://127.0.0.1:1"), clock=clock)


def test_a_lane_is_the_sum_of_its_consumers_in_the_order_of_the_pipeline() -> None:
    lanes = reader(Clock()).build(
        (
            consumer("audit", problem="no stage is fetching", fix="start it"),
            consumer("fallback", "REQUESTS", waiting=2, ack_pending=4, redelivered=1, oldest_age_s=9.5),
            consumer("fallback", waiting=1, ack_pending=3, oldest_age_s=2.0),
        ),
        {("REQUESTS", "fallback"): 1, ("EVENTS", "fallback"): 2, ("EVENTS", "structuring"): 5},
    )
    fallback, audit = lanes
    assert (fallback.stage, audit.stage) == ("fallback", "audit")
    assert (fallback.waiting, fallback.ack_pending, fallback.redelivered) == (3, 7, 1)
    assert (fallback.working, fallback.parked, fallback.fetching) == (3, 4, 2)
    assert fallback.oldest_age_s == 9.5
    assert (audit.working, audit.parked, audit.oldest_age_s) == (0, 0, None)
    assert audit.problems == ("EVENTS: no stage is fetching; start it",)


def test_what_is_acknowledged_between_two_looks_is_not_parked() -> None:
    (lane,) = reader(Clock()).build((consumer("structuring", ack_pending=2),), {("EVENTS", "structuring"): 5})
    assert (lane.working, lane.parked) == (2, 0)


def test_without_all_metrics_it_says_nothing_of_work() -> None:
    (lane,) = reader(Clock()).build((consumer("structuring", ack_pending=2),), None)
    assert (lane.working, lane.parked, lane.ack_pending) == (None, None, 2)


def test_the_rate_is_that_of_the_last_seconds() -> None:
    clock = Clock()
    looks = reader(clock)

    def rate(delivered: int, *, after_s: float) -> float | None:
        clock.now_s += after_s
        (lane,) = looks.build((consumer("structuring", delivered=delivered),), None)
        return lane.delivered_per_s

    assert rate(50, after_s=0) is None
    assert rate(70, after_s=4) == 5.0
    assert rate(70, after_s=10) == round(20 / 14, 2)
    # Only the looks of the last 15 seconds count.
    assert rate(100, after_s=10) == 3.0
    assert rate(100, after_s=100) is None
    # New consumers count from the beginning.
    assert rate(3, after_s=1) is None
    assert rate(5, after_s=1) == 2.0


def test_pages_have_what_is_in_hand_and_the_circuits() -> None:
    pages = {"one": PAGE, "two": PAGE}
    assert process_pages.read_in_hand(pages) == {("EVENTS", "structuring"): 6, ("REQUESTS", "fallback"): 2}
    assert process_pages.read_circuits({"one": PAGE}) == (
        ProcessCircuit(process="one", provider="openai", model='m "1"', state="open", failures=5),
    )
    assert process_pages.read_in_hand({"none": ""}) == {}


def test_pages_are_known_only_if_all_processes_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert process_pages.fetch_pages(tmp_path) is None
    answers: dict[str, str] = {"h:1": PAGE, "h:2": PAGE}

    def fetch_all(addresses: dict[str, str]) -> dict[str, str]:
        return {name: answers[at] for name, at in addresses.items() if at in answers}

    monkeypatch.setattr(process_pages.metrics_relay, "fetch_all", fetch_all)
    target_file.write(
        tmp_path,
        [
            Target(targets=("h:9",), labels={"component": "supervisor"}),
            Target(targets=("h:1",), labels={"process": "fallback"}),
            Target(targets=("h:2",), labels={"process": "audit"}),
            Target(targets=("h:3",), labels={"process": "gateway"}),
        ],
    )
    assert process_pages.fetch_pages(tmp_path) == {"fallback": PAGE, "audit": PAGE}
    del answers["h:2"]
    assert process_pages.fetch_pages(tmp_path) is None
    (tmp_path / target_file.FILE).write_text("[")
    assert process_pages.fetch_pages(tmp_path) is None
