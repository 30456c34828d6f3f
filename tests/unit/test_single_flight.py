"""Single flight and cache reads of context-build, over fakes of cache, leases and results."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from contracts import cache_entry
from contracts import events as ev
from contracts.cache_entry import CacheLayer
from contracts.errors import ErrorCode
from contracts.lineage import Lineage
from contracts.outcome import Emit, Fail, Outcome, Reject, Wait
from contracts.policy.cache_key import CacheKey
from contracts.ports import Lease
from contracts.result import Origin, Status
from stages.context_build.single_flight import SingleFlight, shareable
from tests import lives
from tests.fakes import FakeCache, FakeCounts, FakeLeases, FakeResults

KEY = CacheKey(key="a.b", ttl_s=60)
BUILT = ev.ContextBuilt(
    attempt=1,
    brief=lives.brief(cache_key="k", slot=KEY),
    trail=ev.Trail(warnings=("node: careful",)),
)
CLAMPED = ev.Clamped(requested="mature_implied", effective="sfw")  # type: ignore[arg-type]
OUTCOME = Emit(events=(CLAMPED, BUILT))
REAL = lives.success("leader")
FAILED = lives.stand_in("leader", ErrorCode.GEN_TIMEOUT)
CANCELLED = msgspec.structs.replace(
    FAILED, status=Status.CANCELLED, origin=Origin.NONE, content=None, content_hash=None, stand_in=None
)


class Flight:
    """One cache key, and the request ``me`` that came at :data:`lives.START_MS`."""

    def __init__(self, *, waited_ms: int = 1000) -> None:
        self.cache, self.leases, self.results = FakeCache(), FakeLeases(), FakeResults()
        self.count = FakeCounts()
        self.now_ms = lives.START_MS + waited_ms

    def led_by(self, leader: str, *, turn: int = 1) -> Flight:
        self.leases.store(KEY.key, Lease(leader=leader, turn=turn))
        return self

    def ended_with(self, result: ev.Result, *, after_ms: int = 500) -> Flight:
        self.results.store("leader", result, lives.START_MS + after_ms)
        return self

    def holding(self, result: ev.Result) -> Flight:
        entry = cache_entry.from_result(result, request_id="leader")
        assert entry is not None
        self.cache.entries[KEY.key] = msgspec.structs.replace(entry, created_at_ms=self.cache.created_at_ms)
        return self

    def resolve(self, outcome: Outcome = OUTCOME, request_id: str = "me") -> Any:
        flights = SingleFlight(
            cache=self.cache,
            leases=self.leases,
            results=self.results,
            count=self.count,
            clock=lambda: self.now_ms,
        )
        return lives.decided(flights.resolve(outcome, request_id=request_id))

    @property
    def lease(self) -> Lease:
        return self.leases.held[KEY.key][0]


def test_the_first_request_leads_until_its_deadline() -> None:
    flight = Flight()
    assert flight.resolve() is OUTCOME
    assert flight.lease == Lease(leader="me", turn=1)
    assert flight.leases.remaining_s == 59
    assert flight.count.counted == ["led"]


def test_a_redelivered_leader_generates_again() -> None:
    flight = Flight().led_by("me")
    assert flight.resolve() is OUTCOME
    assert flight.count.counted == []


@pytest.mark.parametrize(("waited_ms", "wait_s"), [(-5, 0.25), (0, 0.25), (5_000, 1.0), (60_000, 2.0)])
def test_a_follower_waits_longer_each_time(waited_ms: int, wait_s: float) -> None:
    wait = Flight(waited_ms=waited_ms).led_by("leader").resolve()
    assert isinstance(wait, Wait)
    assert (wait.seconds, wait.expected) == (wait_s, True)
    assert "leader" in wait.why


@pytest.mark.parametrize("result", [REAL, FAILED], ids=["real", "failed"])
def test_a_follower_with_a_result_of_its_own_is_done(result: ev.Result) -> None:
    flight = Flight().led_by("leader").ended_with(result)
    flight.results.store("me", FAILED, flight.now_ms)
    assert flight.resolve() == Emit()


def test_a_live_leader_answers_its_followers_and_a_lowered_rating_is_still_published() -> None:
    flight = Flight().led_by("leader").ended_with(REAL)
    clamped, result = flight.resolve().events
    assert clamped is CLAMPED
    assert (result.status, result.origin, result.request_id) == (Status.CACHED, Origin.CACHE, "me")
    assert (result.content, result.content_hash) == (REAL.content, REAL.content_hash)
    assert (result.meta.generated_for, result.meta.cache_key) == ("leader", "k")
    assert result.meta.warnings == ("node: careful",)
    assert result.meta.cost.tokens.completion == 0
    assert "leader" in result.reason
    assert flight.count.counted == ["followed"]


def test_a_leader_that_was_itself_answered_from_the_cache_passes_on_the_origin() -> None:
    entry = cache_entry.from_result(REAL, request_id="origin")
    assert entry is not None
    second = cache_entry.to_result(entry, request_id="leader", brief=BUILT.brief, trail=BUILT.trail)
    (_, result) = Flight().led_by("leader").ended_with(second).resolve().events
    assert result.meta.generated_for == "origin"


def test_after_a_failure_one_follower_takes_over() -> None:
    flight = Flight().led_by("leader").ended_with(FAILED)
    assert flight.resolve() is OUTCOME
    assert flight.lease == Lease(leader="me", turn=2)
    assert flight.count.counted == ["taken_over"]
    # The next follower waits for that one.
    assert isinstance(flight.resolve(request_id="other"), Wait)


def test_after_a_second_failure_all_fail_with_its_code() -> None:
    flight = Flight().led_by("leader", turn=2).ended_with(FAILED)
    for request_id in ("me", "other"):
        outcome = flight.resolve(request_id=request_id)
        assert isinstance(outcome, Fail)
        assert (outcome.code, outcome.trail) == (ErrorCode.GEN_TIMEOUT, BUILT.trail)
        assert "leader" in outcome.message
    assert flight.count.counted == []


@pytest.mark.parametrize("turn", [1, 2])
def test_a_cancelled_leader_is_replaced_and_costs_no_turn(turn: int) -> None:
    flight = Flight().led_by("leader", turn=turn).ended_with(CANCELLED)
    assert flight.resolve() is OUTCOME
    assert flight.lease == Lease(leader="me", turn=turn)


def test_a_leader_whose_lease_is_gone_is_replaced() -> None:
    flight = Flight().led_by("leader")
    # The broker removed it, and keeps the sequence.
    flight.leases.held[KEY.key] = (None, 1)  # type: ignore[assignment]
    assert flight.resolve() is OUTCOME
    assert flight.lease == Lease(leader="me", turn=1)


@pytest.mark.parametrize("result", [REAL, FAILED], ids=["real", "failed"])
def test_a_request_that_comes_after_a_flight_begins_another(result: ev.Result) -> None:
    flight = Flight().led_by("leader", turn=2).ended_with(result, after_ms=-1)
    assert flight.resolve() is OUTCOME
    assert flight.lease == Lease(leader="me", turn=1)
    assert flight.count.counted == ["led"]


def test_whoever_loses_the_race_for_a_lease_follows_the_winner() -> None:
    flight = Flight()
    flight.leases.before_acquire = lambda: flight.leases.store(KEY.key, Lease(leader="other", turn=1))
    outcome = flight.resolve()
    assert isinstance(outcome, Wait)
    assert "other" in outcome.why
    assert flight.lease.leader == "other"
    assert flight.count.counted == []


def test_a_race_that_is_lost_again_and_again_is_put_off() -> None:
    flight = Flight().ended_with(CANCELLED)
    # Each winner is cancelled at once, so that the lease is free for the next look.
    flight.leases.before_acquire = lambda: flight.leases.store(KEY.key, Lease(leader="leader", turn=1))
    outcome = flight.resolve()
    assert isinstance(outcome, Wait)
    assert (outcome.seconds, outcome.expected) == (0.25, True)


@pytest.mark.parametrize("layer", list(CacheLayer))
def test_an_entry_of_any_layer_answers_and_is_counted_there(layer: CacheLayer) -> None:
    flight = Flight().holding(REAL)
    flight.cache.layer = layer
    (_, result) = flight.resolve().events
    assert (result.status, result.meta.generated_for) == (Status.CACHED, "leader")
    assert flight.count.counted == [layer.value]
    assert flight.leases.held == {}


def test_an_entry_that_was_made_while_a_request_waited_counts_as_followed() -> None:
    flight = Flight()
    flight.cache.created_at_ms = lives.START_MS + 1
    flight.holding(REAL).resolve()
    assert flight.count.counted == ["followed"]


@pytest.mark.parametrize(
    "descent",
    [
        {"lineage": Lineage(replay_of="r")},
        {"lineage": Lineage(replay_of="r", shadow=True)},
        {"replay_of": "r"},
    ],
    ids=["replay", "shadow", "of an earlier release"],
)
def test_replays_and_shadows_never_read_the_cache(descent: dict[str, Any]) -> None:
    flight = Flight().holding(REAL)
    brief = msgspec.structs.replace(BUILT.brief, **descent)
    outcome = Emit(events=(msgspec.structs.replace(BUILT, brief=brief),))
    assert flight.resolve(outcome) is outcome
    assert flight.count.counted == []


@pytest.mark.parametrize(
    "outcome",
    [
        Emit(events=(msgspec.structs.replace(BUILT, brief=lives.brief()),)),
        Reject(code=ErrorCode.GEN_INVALID_REQUEST, message="no"),
    ],
    ids=["no key", "rejected"],
)
def test_a_request_without_a_key_takes_no_lease(outcome: Outcome) -> None:
    flight = Flight().holding(REAL)
    assert shareable(outcome) is None
    assert flight.resolve(outcome) is outcome
    assert flight.leases.held == {}


@pytest.mark.parametrize("status", list(Status))
def test_only_what_a_model_wrote_becomes_an_entry(status: Status) -> None:
    fake: Any = type(
        "Fake", (), {"status": status, "meta": REAL.meta, "content_hash": "c" * 64, "kind": "plot"}
    )()
    result = {Status.SUCCESS: REAL, Status.FAIL_FALLBACK: FAILED}.get(status, fake)
    if status is Status.CACHED:
        result = msgspec.structs.replace(REAL, status=Status.CACHED, origin=Origin.CACHE)
    made = cache_entry.from_result(result, request_id="r")
    assert (made is not None) == (status in {Status.SUCCESS, Status.CACHED})
