"""Handler of context-build: which of cache, single flight, scenes and lineage decides about an event."""

from __future__ import annotations

import json
from typing import Any

import pytest

from contracts import cache_entry, scenes
from contracts import events as ev
from contracts.content.registry import Registry
from contracts.outcome import Delegate, Emit, Wait
from contracts.ports import Ending, RequestProgress
from contracts.result import Origin, Status
from contracts.revisions import UNCONFIRMED
from infra.app.context_ports import brief_ports
from infra.app.schema_checks import CheckedContents
from infra.settings.settings import Settings, load
from stages.context_build.handle import handle
from stages.context_build.single_flight import SingleFlight
from tests import lives
from tests.fakes import FakeCache, FakeCounts, FakeLeases, FakeReplays, FakeResults, FakeSteps
from tests.unit.test_context_build import PROMPTS, SAMPLES, TEMPLATES, WORLDS

NODE = {"generationType": "layout", "strategy": "once", "seedSource": "fixed", "purpose": "ambient"}
PLOT = {"title": "t", "premise": "p", "beats": [{"name": "b", "purpose": "x", "tension": 5}] * 3}


class Handled:
    """The handler over fakes."""

    def __init__(self, settings: Settings, **replays: str) -> None:
        self.settings = settings
        self.cache, self.leases, self.count = FakeCache(), FakeLeases(), FakeCounts()
        self.progress: dict[str, RequestProgress] = {}
        self.replays = FakeReplays(**replays)

    async def seen(self, request_ids: Any) -> dict[str, RequestProgress]:
        return {each: self.progress.get(each, RequestProgress()) for each in request_ids}

    async def plotted(self, request_id: str) -> None:
        raise AssertionError(request_id)

    def __call__(self, event: Any, request_id: str = "me") -> Any:
        def clock() -> int:
            return lives.START_MS + 1000

        brief = brief_ports(
            self.settings,
            contents=CheckedContents(Registry()),
            samples=SAMPLES,
            prompts=PROMPTS,
            templates=TEMPLATES,
            worlds=WORLDS,
        )
        flights = SingleFlight(
            cache=self.cache, leases=self.leases, results=FakeResults(), count=self.count, clock=clock
        )
        return lives.decided(
            handle(
                lives.received(event, request_id, sequence=3),
                brief=brief,
                flights=flights,
                scene_log=self,
                scenes_in_flight=2,
                replays=self.replays,
                steps=FakeSteps(),
                clock=clock,
            )
        )


def settings(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in {"USE_LOCAL_MODEL": "true", **variables}.items():
        monkeypatch.setenv(name, value)
    return load()


@pytest.fixture
def handled(monkeypatch: pytest.MonkeyPatch) -> Handled:
    return Handled(settings(monkeypatch))


def body(**fields: Any) -> bytes:
    return json.dumps({"prompt": "a forest", "node": NODE, **fields}).encode()


def plotted(request_id: str, **known: Any) -> ev.Plotted:
    result = lives.success(request_id, kind="plot", content=PLOT)
    return ev.Plotted(attempt=1, brief=lives.brief(scenes={}, **known), result=result)


def test_the_first_request_leads_an_equal_one_waits_and_a_later_one_gets_the_entry(handled: Handled) -> None:
    (built,) = handled(body()).events
    assert isinstance(built, ev.ContextBuilt)
    assert isinstance(handled(body(), "equal"), Wait)
    key = built.brief.slot
    assert key is not None
    entry = cache_entry.from_result(lives.success("me"), request_id="me", node=key.node)
    assert entry is not None
    handled.cache.entries[key.key] = entry
    (result,) = handled(body(), "later").events
    assert (result.status, result.meta.generated_for) == (Status.CACHED, "me")
    assert handled.count.counted == ["led", "shared"]


@pytest.mark.parametrize(
    "variables",
    [{"USE_LOCAL_MODEL": "false"}, {"UNDERSTUDY_RESULT_CACHE__ENABLED": "false"}],
    ids=["no model", "no cache"],
)
def test_without_a_model_or_a_cache_no_lease_is_taken(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    handled = Handled(settings(monkeypatch, **variables))
    for request_id in ("me", "equal"):
        (built,) = handled(body(), request_id).events
        assert built.brief.slot is None
    assert (handled.leases.held, handled.count.counted) == ({}, [])


def test_a_rejected_request_takes_no_lease(handled: Handled) -> None:
    handled(body(seed="seven"))
    assert handled.leases.held == {}


def test_a_plot_requests_as_many_scenes_as_may_run(handled: Handled) -> None:
    outcome = handled(plotted("me"))
    assert isinstance(outcome, Delegate)
    assert len(outcome.orders) == 2


def ended(handled: Handled, request_id: str) -> Any:
    plot = plotted(request_id, replay_of="original")
    ending = RequestProgress(ending=Ending(status=Status.SUCCESS, origin=Origin.LIVE))
    handled.progress = dict.fromkeys(scenes.ids(plot), ending)
    return handled(plot, request_id)


def test_a_plot_whose_scenes_have_ended_revises_for_a_known_replay_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handled = Handled(settings(monkeypatch), **{"rp-1": "original"})
    known, unknown = ended(handled, "rp-1"), ended(handled, "rp-2")
    assert isinstance(known, Emit)
    assert [event.name for event in known.events] == ["result", "revised"]
    assert UNCONFIRMED not in known.events[0].meta.warnings  # type: ignore[union-attr]
    (result,) = unknown.events
    assert result.meta.warnings[-1] == UNCONFIRMED


def test_other_events_are_a_defect(handled: Handled) -> None:
    with pytest.raises(TypeError, match="context-build does not take failed"):
        handled(ev.Failed(attempt=1, code="GEN_TIMEOUT", stage="x", message="m"))  # type: ignore[arg-type]
