"""Is a step begun when it can end in time, and not otherwise?"""

from __future__ import annotations

from infra.runner.pace import Pace


def test_nothing_is_refused_before_anything_is_known() -> None:
    assert Pace().too_long("layout", 1, now_s=0) is None


def test_what_usually_takes_longer_than_is_left_is_not_begun() -> None:
    pace = Pace()
    pace.took("layout", 400, now_s=0)
    assert pace.too_long("layout", 631, now_s=1) is None
    assert pace.too_long("layout", 629, now_s=1) == 400
    assert pace.too_long("plot", 1, now_s=1) is None


def test_an_estimate_follows_what_is_measured() -> None:
    pace = Pace()
    pace.took("layout", 1000, now_s=0)
    for second in range(40):
        pace.took("layout", 100, now_s=second)
    assert pace.too_long("layout", 280, now_s=40) is None
    assert pace.too_long("layout", 260, now_s=40) is not None


def test_a_slow_spell_does_not_keep_everything_out_for_ever() -> None:
    pace = Pace()
    pace.took("layout", 60_000, now_s=0)
    assert pace.too_long("layout", 2000, now_s=5) == 60_000
    assert pace.too_long("layout", 2000, now_s=40) is None
