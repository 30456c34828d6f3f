"""Are a plot's scenes asked for once each, so many at a time, and each with its share of the time?"""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import events as ev
from contracts import request, scenes
from contracts.content.plot import Plot
from contracts.outcome import Cancel, Delegate, Emit, Submit
from contracts.ports import Ending, RequestProgress, StoredRequest
from contracts.result import Origin, Status
from stages.context_build.scenes import decide, describe_scene, scene_request
from tests import lives
from tests.unit.test_context_build import handled

PLOT_ID = "p-1"
ENDED = Ending(status=Status.SUCCESS, origin=Origin.SCRIPTED)
#: The deadline of a plot, ms after it was stored.
DEADLINE_MS = 60_000


def document(beats: int) -> dict[str, Any]:
    told = [{"name": f"Beat {each}", "purpose": f"step {each}", "tension": 5} for each in range(1, beats + 1)]
    return {"premise": "A heist.", "structure_type": "five_act", "title": "Owed", "beats": told}


def plotted(beats: int = 3, **known: Any) -> ev.Plotted:
    result = lives.success(PLOT_ID, kind="plot", content=document(beats))
    brief = lives.brief(**{"scenes": {}, "deadline_at_ms": lives.START_MS + DEADLINE_MS} | known)
    return ev.Plotted(attempt=1, brief=brief, result=result)


def stored(request_id: str, body: bytes | None = None, kind: str = "scene") -> StoredRequest:
    return StoredRequest(
        kind=kind,
        request_id=request_id,
        body=body or json.dumps({"prompt": "x", "scene_of": PLOT_ID}).encode(),
        sequence=1,
        time_ms=lives.START_MS,
    )


def running(beat: int) -> dict[str, RequestProgress]:
    request_id = scenes.scene_id(PLOT_ID, beat)
    return {request_id: RequestProgress(owner=stored(request_id))}


def decided(
    plot: ev.Plotted, seen: dict[str, RequestProgress], *, after_ms: int = 0, in_flight: int = 2
) -> Emit | Delegate:
    outcome = decide(
        plot,
        seen,
        plotted_at_ms=lives.START_MS,
        now_ms=lives.START_MS + after_ms,
        in_flight=in_flight,
    )
    assert isinstance(outcome, Emit | Delegate)
    return outcome


def asked(outcome: Emit | Delegate) -> list[str]:
    return [each.request_id for each in outcome.orders] if isinstance(outcome, Delegate) else []


def built(request_id: str = PLOT_ID, kind: str = "plot", **fields: Any) -> Any:
    said = json.dumps({"prompt": "a heist", **fields}).encode()
    return handled(lives.received(said, request_id, kind=kind, sequence=3))


def shared(**fields: Any) -> Any:
    return built(scenes=True, **fields).events[-1].brief.scenes


# -- the request -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["scene", "layout", "custom"])
def test_other_kinds_have_no_scenes(kind: str) -> None:
    schema = {"schema": {"type": "object"}} if kind == "custom" else {}
    outcome = built(kind=kind, scenes=True, **schema)
    assert "scenes: is for kind plot only" in outcome.message


def test_the_id_of_a_plot_leaves_room_for_those_of_its_scenes() -> None:
    assert built("x" * 60, scenes=True).events
    assert "at most 60 characters, this one has 61" in built("x" * 61, scenes=True).message
    assert built("x" * 61).events


def test_the_most_beats_are_those_of_a_plot() -> None:
    (bound,) = [each for each in Plot.model_fields["beats"].metadata if hasattr(each, "max_length")]
    assert bound.max_length == scenes.MAX_BEATS


def test_a_request_without_scenes_is_what_it_was() -> None:
    one = request.read(b'{"prompt":"x"}', "plot")
    assert one.input_hash("plot") == request.read(b'{"prompt":"x","scenes":false}', "plot").input_hash("plot")
    assert built().events[0].brief.scenes is None


def test_whose_scene_it_is_does_not_change_what_is_asked_for() -> None:
    hashes = {
        request.read(json.dumps({"prompt": "x", "sceneOf": plot}).encode(), "scene").input_hash("scene")
        for plot in ("p-1", "p-2")
    }
    assert len(hashes) == 1


# -- what a scene is asked for -----------------------------------------------------------------------------


def test_a_scene_takes_over_what_holds_for_the_plot() -> None:
    found = shared(
        tags=["heist"],
        workspace="w",
        world="academy",
        params={"topP": 0.5},
        playerContext={"playerId": "ann"},
        node={"constraints": {"rating": "PG-13", "avoidElements": ["gun"], "requiredElements": ["key"]}},
        fallback={"mode": "skip", "timeoutMs": 900},
        seed=7,
    )
    assert found == {
        "tags": ["heist"],
        "workspace": "w",
        "world": "academy",
        "params": {"top_p": 0.5},
        "player_context": {"player_id": "ann"},
        "node": {"constraints": {"rating": "romantic", "avoid_elements": ["gun"]}},
        "fallback": {"mode": "skip"},
    }


def test_a_scene_is_shared_as_its_plot_is() -> None:
    node = {"purpose": "original", "strategy": "per_player", "seedSource": "player", "version": 4}
    found = shared(node=node)["node"]
    assert found == {"purpose": "original", "strategy": "per_player", "seed_source": "player", "version": 4}


def test_a_default_content_for_the_plot_is_none_for_its_scenes() -> None:
    fallback = {"mode": "retry", "retries": 2, "timeoutMs": 50}
    assert shared(fallback=fallback)["fallback"] == {"mode": "retry", "retries": 2, "timeout_ms": 50}
    default = {"mode": "default_content", "default_content_id": "transition_01"}
    assert "fallback" not in shared(fallback=default)


@pytest.mark.parametrize(
    "node", [{"constraints": {"rating": "sfw"}}, {"purpose": "original", "strategy": "always"}]
)
def test_a_scene_can_be_asked_for(node: dict[str, Any]) -> None:
    plot = plotted(scenes=shared(fallback={"mode": "none"}, node=node))
    said = json.dumps(scene_request(plot, 2) | {"deadline_ms": 5}).encode()
    outcome = handled(lives.received(said, "p-1-s2", kind="scene", sequence=3))
    assert isinstance(outcome, Emit)


def test_a_scene_is_told_its_beat_and_its_place() -> None:
    plot = document(3)
    plot["beats"][1] |= {"summary": "They meet.", "characters": ["Ann", "Bo"], "location": "the quay"}
    plot["themes"] = ["debt"]
    assert describe_scene(plot, 2).splitlines() == [
        "Beat 2: step 2",
        "They meet.",
        "Characters: Ann, Bo",
        "Location: the quay",
        "Tension: 5 of 10",
        "It is beat 2 of 3 of the plot Owed: A heist.",
        "Themes: debt",
        "Before it: Beat 1: step 1",
        "After it: Beat 3: step 3",
    ]


def test_the_longest_wish_fits_into_a_request() -> None:
    beat = {
        "name": "n" * 120,
        "purpose": "p" * 600,
        "summary": "s" * 6000,
        "characters": ["c" * 120] * 16,
        "location": "l" * 120,
        "tension": 10,
    }
    plot = {"premise": "r" * 600, "title": "t" * 120, "themes": ["h" * 120] * 8, "beats": [beat] * 40}
    assert len(describe_scene(plot, 20)) < request.MAX_PROMPT


# -- what comes next ---------------------------------------------------------------------------------------


def test_the_first_scenes_are_asked_for_at_once_and_the_next_when_one_has_ended() -> None:
    plot = plotted(5)
    assert asked(decided(plot, {})) == ["p-1-s1", "p-1-s2"]
    assert asked(decided(plot, running(1) | running(2))) == []
    assert asked(decided(plot, {"p-1-s2": RequestProgress(ending=ENDED)} | running(1))) == ["p-1-s3"]


def test_each_gets_a_fair_share_of_the_time() -> None:
    plot = plotted(5)
    first = decided(plot, {}, in_flight=2)
    assert isinstance(first, Delegate)
    shares = [json.loads(each.body)["deadline_ms"] for each in first.orders if isinstance(each, Submit)]
    # Three rounds of two at most, and a second for the plot's own result.
    assert shares == [59_000 // 3] * 2


def test_without_time_no_scene_is_asked_for() -> None:
    (result,) = decided(plotted(2), {}, after_ms=DEADLINE_MS).events  # pyright: ignore[reportAttributeAccessIssue]
    assert {(each.status, each.reason) for each in result.scenes} == {
        ("pending", "not requested before the plot ended")
    }


def test_a_plot_ends_when_all_its_scenes_have() -> None:
    seen = {scenes.scene_id(PLOT_ID, beat): RequestProgress(ending=ENDED) for beat in (1, 2, 3)}
    outcome = decided(plotted(), seen)
    assert isinstance(outcome, Emit)
    (result,) = outcome.events
    assert isinstance(result, ev.Result)
    assert [each.status for each in result.scenes] == ["success"] * 3


def test_a_replayed_plot_is_told_to_the_originals_subscribers() -> None:
    plot = plotted(0, replay_of="p-0")
    plot = msgspec.structs.replace(
        plot, result=msgspec.structs.replace(plot.result, request_id="rp-3-1", content=document(1))
    )
    seen = {"rp-3-1-s1": RequestProgress(ending=ENDED)}
    outcome = decided(plot, seen)
    assert isinstance(outcome, Emit)
    result, revised = outcome.events
    assert isinstance(result, ev.Result)
    assert isinstance(revised, ev.Revised)
    assert (revised.request_id, revised.revised_by, revised.scenes) == ("p-0", "rp-3-1", result.scenes)


def test_a_cancelled_plot_calls_off_what_runs() -> None:
    over = RequestProgress(ending=Ending(status=Status.CANCELLED, origin=Origin.NONE, reason="no"))
    outcome = decided(plotted(4), {PLOT_ID: over} | running(2))
    assert outcome == Delegate(
        orders=(
            Cancel(
                kind="scene",
                request_id="p-1-s2",
                event=ev.Cancelled(reason="its plot p-1 was cancelled"),
            ),
        )
    )


@pytest.mark.parametrize(
    "owner",
    [
        stored("p-1-s1", kind="layout"),
        stored("p-1-s1", b'{"prompt":"x"}'),
        stored("p-1-s1", b'{"prompt":"x","scene_of":"p-2"}'),
        stored("p-1-s1", b"\xff"),
    ],
    ids=["kind", "nobody's", "another's", "junk"],
)
@pytest.mark.parametrize("ending", [None, ENDED])
def test_what_belongs_to_somebody_else_is_no_scene(owner: StoredRequest, ending: Ending | None) -> None:
    seen = {"p-1-s1": RequestProgress(owner=owner, ending=ending)}
    assert asked(decided(plotted(2), seen)) == ["p-1-s2"]
    assert scenes.listing(plotted(2), seen)[0].status == "rejected"


@given(
    beats=st.integers(1, 12),
    in_flight=st.integers(1, 5),
    moves=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5), st.integers(0, 11)), max_size=60),
)
def test_whoever_looks_and_however_late_the_bound_holds_and_all_are_asked_for(
    beats: int, in_flight: int, moves: list[tuple[int, int, int]]
) -> None:
    """Workers act on what they saw some steps ago, and die between two requests; the broker takes each once."""
    plot = plotted(beats)
    log: dict[str, RequestProgress] = {}
    past = [dict(log)]

    def act(seen: dict[str, RequestProgress], dies_after: int = 99) -> Emit | Delegate:
        outcome = decided(plot, seen, in_flight=in_flight)
        for request_id in asked(outcome)[:dies_after]:
            log.setdefault(request_id, RequestProgress(owner=stored(request_id)))
        assert sum(each.ending is None for each in log.values()) <= in_flight
        return outcome

    def end(which: int) -> None:
        open_ = [name for name, each in log.items() if each.ending is None]
        if open_:
            name = open_[which % len(open_)]
            log[name] = RequestProgress(owner=log[name].owner, ending=ENDED)
            past.append(dict(log))

    for age, dies_after, which in moves:
        act(past[max(0, len(past) - 1 - age)], dies_after)
        end(which)
    while isinstance(outcome := act(dict(log)), Delegate):
        end(0)
    (result,) = outcome.events
    assert isinstance(result, ev.Result)
    assert [each.request_id for each in result.scenes] == list(log)
    assert {each.status for each in result.scenes} == {"success"}
