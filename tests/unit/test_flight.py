"""Who of equal requests leads, waits, answers, or fails?"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from contracts import cache_entry
from contracts import events as ev
from contracts.errors import ErrorCode
from contracts.outcome import Emit, Fail, Reject, Wait
from contracts.policy.cache_key import CacheKey
from contracts.result import Origin, Status
from stages.context_build.single_flight import Ended, FlightState, Lead, Lease, decide, wants
from tests import lives

NOW = lives.START_MS + 1000
BUILT = ev.ContextBuilt(
    attempt=1,
    brief=lives.brief(cache_key="k", slot=CacheKey(key="a.b", ttl_s=60)),
    trail=ev.Trail(warnings=("node: careful",)),
)
CLAMPED = ev.Clamped(requested="mature_implied", effective="sfw")  # type: ignore[arg-type]
OUTCOME = Emit(events=(CLAMPED, BUILT))
REAL = lives.success("leader")
FAILED = lives.stand_in("leader", ErrorCode.GEN_TIMEOUT)


def decided(**standing: Any) -> Any:
    return decide(BUILT, OUTCOME, FlightState(**standing), request_id="me", now_ms=NOW)


def after(result: ev.Result, *, turn: int = 1, at_ms: int = NOW) -> Any:
    return decided(lease=Lease(leader="leader", turn=turn), ended=Ended(result=result, at_ms=at_ms))


def test_what_is_kept_answers_and_a_lowered_rating_is_still_told() -> None:
    entry = cache_entry.of_result(REAL, request_id="leader")
    clamped, result = decided(kept=entry).events
    assert clamped is CLAMPED
    assert (result.status, result.origin, result.request_id) == (Status.CACHED, Origin.CACHE, "me")
    assert (result.content, result.content_hash) == (REAL.content, REAL.content_hash)
    assert (result.meta.generated_for, result.meta.cache_key) == ("leader", "k")
    assert result.meta.warnings == ("node: careful",)
    assert result.meta.cost.tokens.completion == 0
    assert "leader" in result.reason


def test_the_first_leads() -> None:
    assert decided() == Lead(turn=1)


def test_a_leader_that_is_delivered_again_goes_on() -> None:
    assert decided(lease=Lease(leader="me", turn=1)) is OUTCOME


def test_a_follower_waits_a_little_longer_each_time() -> None:
    lease = Lease(leader="leader", turn=1)
    waits = [
        decide(BUILT, OUTCOME, FlightState(lease=lease), request_id="me", now_ms=lives.START_MS + waited)
        for waited in (-5, 0, 5_000, 60_000)
    ]
    assert all(isinstance(each, Wait) and each.expected for each in waits)
    assert [each.seconds for each in waits if isinstance(each, Wait)] == [0.25, 0.25, 1.0, 2.0]


def test_a_follower_that_has_its_result_is_done() -> None:
    assert decided(lease=Lease(leader="leader", turn=1), answered=True) == Emit()


def test_a_leaders_real_content_answers() -> None:
    (_, result) = after(REAL).events
    assert (result.status, result.meta.generated_for) == (Status.CACHED, "leader")


def test_who_generated_first_is_told_through_a_leader_that_was_answered_from_the_cache() -> None:
    entry = cache_entry.of_result(REAL, request_id="origin")
    assert entry is not None
    second = cache_entry.answer(entry, request_id="leader", brief=BUILT.brief, trail=BUILT.trail)
    (_, result) = after(second).events
    assert result.meta.generated_for == "origin"


def test_after_a_failure_one_takes_over_once_then_all_fail_with_its_code() -> None:
    assert after(FAILED) == Lead(turn=2)
    outcome = after(FAILED, turn=2)
    assert isinstance(outcome, Fail)
    assert (outcome.code, outcome.trail) == (ErrorCode.GEN_TIMEOUT, BUILT.trail)
    assert "leader" in outcome.message


@pytest.mark.parametrize("turn", [1, 2])
def test_a_cancelled_leader_is_replaced_and_costs_no_turn(turn: int) -> None:
    cancelled = msgspec.structs.replace(
        FAILED, status=Status.CANCELLED, origin=Origin.NONE, content=None, content_hash=None, stand_in=None
    )
    assert after(cancelled, turn=turn) == Lead(turn=turn)


@pytest.mark.parametrize("result", [REAL, FAILED], ids=["real", "failed"])
def test_who_comes_when_a_flight_is_over_begins_another(result: ev.Result) -> None:
    assert after(result, turn=2, at_ms=lives.START_MS - 1) == Lead(turn=1)


@pytest.mark.parametrize("request_id", ["rp-1-1", "sh-1"])
def test_replays_and_shadows_look_at_nothing(request_id: str) -> None:
    assert wants(OUTCOME, request_id) is None
    assert wants(OUTCOME, "me") is BUILT


def test_only_what_has_a_place_looks() -> None:
    bare = msgspec.structs.replace(BUILT, brief=lives.brief())
    assert wants(Emit(events=(bare,)), "me") is None
    assert wants(Reject(code=ErrorCode.GEN_INVALID_REQUEST, message="no"), "me") is None


@pytest.mark.parametrize("status", list(Status))
def test_only_what_a_model_wrote_is_kept(status: Status) -> None:
    result = {Status.SUCCESS: REAL, Status.FAIL_FALLBACK: FAILED}.get(status)
    if result is None:
        cached = msgspec.structs.replace(REAL, status=Status.CACHED, origin=Origin.CACHE)
        result = cached if status is Status.CACHED else _unchecked(status)
    real = status in (Status.SUCCESS, Status.CACHED)
    assert (cache_entry.of_result(result, request_id="r") is not None) == real


def _unchecked(status: Status) -> Any:
    """A result of any other status, with content and a provider on it, as no real one has."""
    return type("Fake", (), {"status": status, "meta": REAL.meta, "content_hash": "c" * 64, "kind": "plot"})()
