"""Can a stand-in ever be more explicit than its request may be?"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from contracts import events as ev
from contracts.content.registry import Registry
from contracts.errors import ErrorCode
from contracts.nodes.node import FILM_RATINGS, FallbackMode, Rating, canonical_rating
from contracts.outcome import Emit, Fail, Reject
from contracts.policy.rating import RatingInfo
from contracts.policy.social import World
from contracts.ports import Sample, StoredRequest
from contracts.result import Origin, Status
from infra.app.schema_checks import CheckedContents
from infra.stores import prompts, templates
from infra.stores.samples import SampleStore
from infra.stores.templates import TemplateStore
from infra.stores.worlds import WorldStore
from stages.context_build.handle import BriefPorts, build
from stages.context_build.layering import overrides
from stages.fallback.handle import handle as fallback
from stages.fallback.plan import planner
from tests import lives
from tests.fakes import FakeReplays
from tests.profiles import examples
from tests.unit.test_fallback import Log, Scenes

CONTENTS = CheckedContents(Registry())
PROMPTS = prompts.load()
TEMPLATES = templates.load()
PARAMS = ev.Params(temperature=0.8, top_p=0.95, max_tokens=1500, seed=0, timeout_s=180)
PLOT = {"a": "a document of any kind"}


def _world(name: str, most: Rating, ladder: tuple[Rating, ...]) -> World:
    rungs = [each for each in ladder if each.rank <= most.rank]
    levels: list[dict[str, Any]] = [{"name": "none", "band": "none", "rating": "sfw"}]
    levels += [
        {"name": f"level {index}", "band": "deep", "rating": each, "at_least": {"affinity": 10 * index}}
        for index, each in enumerate(rungs, start=1)
    ]
    return World.model_validate(
        {"name": name, "max_rating": most, "tiers": [{"name": "any"}], "levels": levels}
    )


_RATINGS = st.sampled_from(Rating)
_SAID = st.none() | st.sampled_from([*Rating, *FILM_RATINGS])
_WORLDS = st.fixed_dictionaries(
    {
        name: st.builds(_world, st.just(name), _RATINGS, st.lists(_RATINGS, max_size=4).map(tuple))
        for name in ("default", "isle")
    }
)
_SAMPLES = st.lists(
    st.builds(
        lambda rating, tags, number: Sample(
            name=f"s-{number}", kind="plot", content=PLOT, hash="h", rating=rating, tags=tuple(tags)
        ),
        _RATINGS,
        st.lists(st.sampled_from(["sea", "city"]), max_size=2),
        st.integers(0, 99),
    ),
    max_size=6,
).map(tuple)
_SOCIAL = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "affinity": st.integers(-100, 100),
        "max_rating": _SAID,
        "preferences": st.fixed_dictionaries({"reduce_intimacy": st.booleans()}),
    },
)


def _decided(body: bytes, samples: SampleStore, worlds: WorldStore) -> Any:
    return lives.decided(
        build(
            lives.received(body, kind="plot", sequence=3),
            BriefPorts(
                contents=CONTENTS,
                samples=samples,
                prompts=PROMPTS,
                templates=TEMPLATES,
                worlds=worlds,
                freeform=PARAMS,
                structuring=PARAMS,
                default_deadline_ms=9000,
            ),
        )
    )


async def _answered(
    event: Any, body: bytes, samples: SampleStore, worlds: WorldStore, library: TemplateStore = TEMPLATES
) -> ev.Result:
    outcome = await fallback(
        lives.received(event, sequence=9, kind="plot"),
        log=_Owner(body),
        samples=samples,
        contents=CONTENTS,
        plan_of=planner(templates=library, overrides=overrides, worlds=worlds, default_deadline_ms=9000),
        scene_log=Scenes(),
        replays=FakeReplays(),
    )
    assert isinstance(outcome, Emit)
    (result,) = outcome.events
    assert isinstance(result, ev.Result)
    return result


class _Owner(Log):
    def __init__(self, body: bytes) -> None:
        super().__init__("plot", body)
        assert isinstance(self.owner, StoredRequest)


@examples(300)
@given(
    offered=_SAMPLES,
    default=_RATINGS,
    worlds=_WORLDS,
    world=st.sampled_from([None, "isle", "atlantis"]),
    social=_SOCIAL,
    said=_SAID,
    ruled=_SAID,
    mode=st.sampled_from([FallbackMode.GOLDEN_SAMPLE, FallbackMode.DEFAULT_CONTENT]),
    enabled=st.booleans(),
    late=st.booleans(),
)
async def test_no_stand_in_is_above_what_node_world_and_user_allow(  # noqa: PLR0913, PLR0917 - all that matters
    offered, default, worlds, world, social, said, ruled, mode, enabled, late
) -> None:
    prepared = Sample(name="d.json", kind="plot", content=PLOT, hash="h", rating=default)
    samples, store = SampleStore(offered, {"d": prepared}), WorldStore(worlds)
    node: dict[str, Any] = {"constraints": {"rating": said}, "enabled": enabled}
    asked = {
        "prompt": "x",
        "node": node,
        "world": world,
        "social": social,
        "fallback": {"mode": mode, "default_content_id": "d"},
    }
    if ruled:
        asked["rules"] = f"CONSTRAINT rating={ruled}"
    body = json.dumps(asked).encode()
    decided = _decided(body, samples, store)
    # A world that nobody knows; its deadline may still be the first to answer.
    assert isinstance(decided, Reject) is (world == "atlantis")
    event: Any = ev.Deadline(request_seq=3, deadline_ms=5)
    if isinstance(decided, Fail):
        event = ev.Failed(attempt=1, code=decided.code, stage="context-build", message=decided.message)
    elif isinstance(decided, Emit) and not late:
        brief = decided.events[-1].brief
        event = ev.Failed(
            attempt=1, code=ErrorCode.GEN_RATING_VIOLATION, stage="validate-repair", message="x", brief=brief
        )
    result = await _answered(event, body, samples, store)

    limits = [Rating.SFW if world == "atlantis" else worlds[world or "default"].max_rating]
    limits += [canonical_rating(each) for each in (ruled or said, (social or {}).get("max_rating")) if each]
    most = min((Rating(each).rank for each in limits), default=0)
    assert result.meta.rating.effective.rank <= most
    assert result.meta.rating.clamped == (
        result.meta.rating.requested.rank > result.meta.rating.effective.rank
    )
    # With or without its brief, the answer is rated the same.
    if isinstance(decided, Emit):
        assert result.meta.rating == decided.events[-1].brief.rating
    fit = [each for each in (*offered, prepared) if each.rating.rank <= result.meta.rating.effective.rank]
    if result.stand_in is None:
        assert (result.status, result.origin) == (Status.PLACEHOLDER, Origin.PLACEHOLDER)
        assert [each for each in fit if each is not prepared] == []
        assert mode is FallbackMode.GOLDEN_SAMPLE or prepared not in fit
        assert result.meta.rating.effective.rank < min([each.rating.rank for each in offered], default=9)
    else:
        assert result.stand_in.name in {each.name for each in fit}


async def test_a_lost_template_leaves_sfw(tmp_path) -> None:
    file = tmp_path / "kiss.json"
    complete = {"generationType": "plot", "purpose": "gap_fill", "strategy": "once", "seedSource": "fixed"}
    file.write_text(json.dumps({"id": "kiss", **complete, "constraints": {"rating": "R"}}), "utf-8")
    library = templates.load(tmp_path)
    store = WorldStore({"default": _world("default", Rating.RESTRICTED, ())})
    explicit = Sample(name="r.json", kind="plot", content=PLOT, hash="h", rating=Rating.MATURE_IMPLIED)
    body = json.dumps({"prompt": "x", "template_id": "kiss"}).encode()

    async def rated() -> RatingInfo:
        late = ev.Deadline(request_seq=3, deadline_ms=5)
        return (await _answered(late, body, SampleStore((explicit,), {}), store, library)).meta.rating

    assert (await rated()).effective is Rating.MATURE_IMPLIED
    file.unlink()
    assert (await rated()).effective is Rating.SFW
