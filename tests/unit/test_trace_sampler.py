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

    def kept(sampler: TraceSampler, second: int) -> set[str]:
        found = set[str]()
        for number, each in enumerate(ids):
            now_s[0] = second + number / len(ids)
            if sampler.keeps(each) and sampler.admits(1):
                found.add(each)
        return found

    # The share falls within the second in which the load rises.
    first = kept(busy, 0)
    assert kept(quiet, 0) == all_ > first
    assert 50 < len(first) <= 200
    some = kept(busy, 1)
    assert kept(quiet, 1) == all_ > some
    assert 90 <= len(some) <= 110


def test_a_second_in_which_the_load_rises_keeps_about_twice_the_limit() -> None:
    now_s = [0.0]
    sampler = TraceSampler(ratio=1.0, spans_per_second=100, clock=lambda: now_s[0])
    kept = 0
    for number in range(3000):
        now_s[0] = 10 + number / 3000
        kept += 2 * (sampler.keeps(f"{number * 1567 % 4096 << 52:032x}") and sampler.admits(2))
    assert 150 < kept < 250


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
