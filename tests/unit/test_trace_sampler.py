"""Sampler of traces: shares that contain each other, and bounds that hold within a second."""

from __future__ import annotations

from infra.telemetry.span_export import TraceSampler


def test_the_shares_of_two_processes_contain_each_other() -> None:
    now_s = [0.0]
    busy = TraceSampler(ratio=0.5, spans_per_second=100, clock=lambda: now_s[0])
    quiet = TraceSampler(ratio=0.5, spans_per_second=1_000_000, clock=lambda: now_s[0])
    # Places in an order without a pattern: steps of a number that shares no factor with how many there are.
    ids = [f"{'0' * 16}{number * 1567 % 4096 << 52:016x}" for number in range(4096)]
    all_ = {each for each in ids if int(each, 16) < 2048 << 52}

    def kept(sampler: TraceSampler) -> set[str]:
        return {each for each in ids if sampler.keeps(each) and sampler.admits(1)}

    # The share falls within the second in which the load rises.
    first = kept(busy)
    assert kept(quiet) == all_ > first
    assert 100 < len(first) <= 400
    now_s[0] = 1.0
    some = kept(busy)
    assert kept(quiet) == all_ > some
    assert 90 <= len(some) <= 110


def test_a_quiet_second_gives_the_whole_share_again() -> None:
    now_s = [0.0]
    sampler = TraceSampler(ratio=1.0, spans_per_second=10, clock=lambda: now_s[0])
    last = "f" * 32
    assert sampler.keeps(last)
    assert not all(sampler.keeps(last) for _ in range(100))
    now_s[0] = 1.0
    assert not sampler.keeps(last)
    now_s[0] = 2.0
    assert sampler.keeps(last)


def test_what_is_put_off_again_and_again_takes_no_share_from_others() -> None:
    now_s = [0.0]
    sampler = TraceSampler(ratio=1.0, spans_per_second=100, clock=lambda: now_s[0])
    for _ in range(5):
        for _ in range(200):
            sampler.keeps("0" * 32)
            assert not sampler.admits(0)
        now_s[0] += 1.0
    assert all(sampler.keeps("f" * 32) for _ in range(50))


def test_one_trace_has_a_bound_of_its_own() -> None:
    now_s = [0.0]
    sampler = TraceSampler(ratio=1.0, spans_per_second=10, clock=lambda: now_s[0])

    def keep(spans: int) -> int:
        return sum(sampler.keeps("0" * 31 + "1") and sampler.admits(1) for _ in range(spans))

    assert (keep(1000), sampler.cut) == (40, 960)
    now_s[0] = 1.0
    assert (keep(1000), sampler.cut) == (40, 1920)
