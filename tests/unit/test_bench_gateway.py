"""Verdicts of the gateway's bench: throughput at saturation, latency where nothing queues."""

from __future__ import annotations

import pytest

from infra.lab.bench.gateway import judge

Row = dict[str, float]


def row(requests_per_s: float, p50_ms: float, p99_ms: float) -> Row:
    return {"requests_per_s": requests_per_s, "p50_ms": p50_ms, "p99_ms": p99_ms}


#: 200 in flight take 200 / throughput: 500 and 512 ms.
FULL = {"nats": [row(400, 500, 700)] * 3, "http": [row(390, 513, 760)] * 3}
HELD = {"nats": [row(200, 1000, 1010)] * 3, "http": [row(200, 1002, 1018)] * 3}


def test_latency_at_saturation_decides_nothing_and_follows_from_throughput() -> None:
    found = judge(FULL, HELD, 200)
    assert all(found["kept"].values())
    assert (found["throughput_ratio"], found["added_p50_ms"], found["added_p99_ms"]) == (0.975, 2, 8)
    assert (found["saturated_added_p50_ms"], found["saturated_added_p99_ms"]) == (13, 60)
    assert found["saturated_follows_ms"] == pytest.approx(1000 * 200 * (1 / 390 - 1 / 400), abs=0.01)
    assert found["intervals"]["added_p50_ms"] == [2, 2]


@pytest.mark.parametrize(
    ("full", "held", "broken"),
    [
        (row(350, 513, 760), row(200, 1002, 1018), "throughput_ratio"),
        (row(390, 513, 760), row(200, 1003, 1018), "added_p50_ms"),
        (row(390, 513, 760), row(200, 1002, 1025), "added_p99_ms"),
    ],
)
def test_a_broken_promise_is_named(full: Row, held: Row, broken: str) -> None:
    found = judge(FULL | {"http": [full] * 3}, HELD | {"http": [held] * 3}, 200)
    assert [name for name, kept in found["kept"].items() if not kept] == [broken]
