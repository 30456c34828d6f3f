"""Figures of ``bench pipeline``: CPU time per request, and their table."""

from __future__ import annotations

import os
import time

from infra.lab.bench import cpu, pipeline


def test_cpu_time_per_request_is_the_difference_shared_out_with_a_sum() -> None:
    before, after = {"broker": 1.0, "rest": 2.0}, {"broker": 1.5, "rest": 2.25, "new": 9.0}
    assert cpu.per_request_ms(before, after, 100) == {"broker": 5.0, "rest": 2.5, "total": 7.5}


def test_cpu_time_of_this_process_grows_with_its_work() -> None:
    before = cpu.used_s(os.getpid())
    while time.process_time() < before + 0.2:
        pass
    assert cpu.used_by({"me": os.getpid()})["me"] >= before + 0.1


def test_a_process_that_is_gone_used_nothing() -> None:
    assert cpu.used_s(2**22 + 1) == 0.0


def test_the_table_names_both_candidates_and_every_process() -> None:
    def one(rate: float, **by_process: float) -> dict[str, object]:
        used = {**by_process, "total": sum(by_process.values())}
        return {"requests_per_s": rate, "p50_ms": 2.0, "p99_ms": 3.0, "cpu_ms_per_request": used}

    mode = {
        "ours": one(800, broker=0.5, audit=0.25),
        "handwritten": one(1000, broker=0.25, rest=0.5),
        "throughput_ratio": 0.8,
        "latency_ratio": 1.1,
        "cpu_ratio": 1.0,
    }
    text = pipeline.table({"modes": {"2m": mode}, "fallback_ms": {"p50": 1.5, "p99": 4.0}})
    rows = [line.split() for line in text.splitlines()]
    assert ["2m", "pipeline", "800", "2.00", "3.00", "0.75"] in rows
    assert ["2m", "pipeline", "audit", "0.25"] in rows
    assert ["2m", "hand-written", "rest", "0.50"] in rows
    assert "throughput 0.80, p50 1.10, CPU 1.00 of the hand-written loop's" in text
