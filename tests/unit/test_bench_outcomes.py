"""Is the arithmetic of the load benches right: percentiles, lateness by stored times, shares?"""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.lab.bench.outcomes import StoredAnswer, overdue_ms, percentile, spread, tally
from infra.lab.bench.publisher import SILENT, TAKEN, UNSENT, Published, PublishPlan, moments

FULL = 10077
T0 = 1_700_000_000_000.0


def _published(*codes: int, deadline_ms: int = 2000, sent_ms: float = T0) -> Published:
    return Published(
        sent_ms=(sent_ms,) * len(codes),
        taken_ms=tuple(float(number + 1) for number in range(len(codes))),
        codes=codes,
        deadlines_ms=(deadline_ms,) * len(codes),
        sending_s=2.0,
        taking_s=4.0,
        behind_ms=1.5,
    )


def _answered(after_ms: float, *, status: str = "success", code: str = "none") -> StoredAnswer:
    return StoredAnswer(time_ms=T0 + after_ms, status=status, origin="scripted", code=code, reason="")


def _asked(*numbers: int) -> dict[str, float]:
    return {f"a-{number}": T0 for number in numbers}


@pytest.mark.parametrize(("share", "value"), [(0.0, 1), (0.5, 51), (0.99, 100), (1.0, 100)])
def test_a_percentile_is_the_value_at_its_rank(share, value) -> None:
    assert percentile(range(1, 101), share) == value


@given(st.lists(st.floats(-1e6, 1e6), min_size=1))
def test_a_spread_is_in_order_and_within_what_was_measured(values) -> None:
    found = spread(values)
    assert round(min(values), 3) <= found.p50 <= found.p99 <= found.max == round(max(values), 3)


def test_nothing_measured_has_no_spread() -> None:
    assert (spread([]).p50, spread([]).p99, spread([]).max) == (None, None, None)


@pytest.mark.parametrize(
    ("answered_ms", "outages", "overdue"),
    [
        (900, [], -100),
        (3000, [], 2000),
        (3000, [(0, 500)], 2000),  # over before the deadline
        (3000, [(500, 2500)], 500),  # the deadline passes while there is no broker
        (3000, [(1200, 1700), (2000, 2500)], 1000),
        (3000, [(2900, 9000)], 1900),
        (900, [(100, 800)], -100),  # in time is in time
    ],
)
def test_time_without_a_broker_is_no_lateness(answered_ms, outages, overdue) -> None:
    assert overdue_ms(1000, answered_ms, outages) == overdue


@given(
    st.floats(0, 1e4),
    st.floats(0, 1e4),
    st.lists(st.floats(0, 1e4), max_size=8).map(sorted),
)
def test_outages_never_add_lateness_nor_make_a_late_answer_early(due, answered, ends) -> None:
    outages = list(pairwise(ends))[::2]
    found = overdue_ms(due, answered, outages)
    assert found <= answered - due + 1e-6
    assert found >= min(0.0, answered - due) - 1e-6


def test_lateness_is_the_time_between_what_is_stored_and_not_the_publishers() -> None:
    found = tally(
        "a-",
        _published(TAKEN, TAKEN, sent_ms=T0 - 5000),
        _asked(0),
        {f"a-{n}": [_answered(2500)] for n in (0, 1)},
    )
    # The second one's request is not kept any more: it counts from its publish.
    assert (found.late_s.p50, found.late_s.max) == (5.5, 5.5)
    assert found.late == 1


def test_what_was_refused_unanswered_or_not_sent_is_not_accepted() -> None:
    found = tally(
        "a-",
        _published(TAKEN, FULL, SILENT, UNSENT),
        _asked(0, 2),
        {"a-0": [_answered(100)], "a-2": [_answered(100)]},
    )
    assert (found.accepted, found.silent, found.silent_stored, found.unsent) == (1, 1, 1, 1)
    assert (found.refused, found.refused_share) == ({str(FULL): 1}, round(1 / 3, 4))
    assert (found.offered_per_s, found.accepted_per_s) == (1.5, 0.2)
    assert (found.in_time_share, found.passed) == (1.0, True)
    assert found.publish_s.max == 0.002, "a publish without an answer has no time"


@pytest.mark.parametrize(
    ("results", "wrong"),
    [
        ([], {"lost": 1}),
        ([_answered(4001)], {"late": 1}),
        ([_answered(100), _answered(200)], {"doubled": 1}),
        ([_answered(9000), _answered(100)], {"doubled": 1}),
    ],
    ids=["lost", "late", "doubled", "the first one counts"],
)
def test_a_step_fails_for_one_request_that_is_lost_late_or_answered_twice(results, wrong) -> None:
    found = tally("a-", _published(TAKEN), _asked(0), {"a-0": results} if results else {})
    told = {"lost": found.lost, "late": found.late, "doubled": found.doubled}
    assert told == {"lost": 0, "late": 0, "doubled": 0} | wrong
    assert not found.passed


def test_endings_are_shares_of_the_accepted_ones() -> None:
    answers = {
        "a-0": [_answered(1)],
        "a-1": [_answered(1)],
        "a-2": [_answered(1, status="fail_fallback", code="GEN_TIMEOUT")],
    }
    found = tally("a-", _published(TAKEN, TAKEN, TAKEN, TAKEN), _asked(0, 1, 2, 3), answers)
    assert found.endings == {"success/scripted": 0.5, "fail_fallback/scripted": 0.25}
    assert (found.codes, found.lost) == ({"GEN_TIMEOUT": 1}, 1)


@pytest.mark.parametrize("poisson", [False, True])
def test_arrivals_come_at_the_rate(poisson) -> None:
    plan = PublishPlan(url="", prefix="", requests=5000, rate=100, poisson=poisson)
    times = list(moments(plan))
    assert len(times) == 5000
    assert times == sorted(times)
    assert times[-1] == pytest.approx(50, rel=0.1)


def test_without_a_rate_everything_is_sent_at_once() -> None:
    assert set(moments(PublishPlan(url="", prefix="", requests=5, rate=None))) == {0.0}


def test_a_load_that_goes_on_keeps_the_place_of_each_request() -> None:
    both = _published(TAKEN, SILENT, sent_ms=T0).followed_by(_published(UNSENT, sent_ms=T0 + 1))
    assert both.codes == (TAKEN, SILENT, UNSENT)
    assert both.sent_ms == (T0, T0, T0 + 1)
    assert len(both.taken_ms) == len(both.deadlines_ms) == 3
