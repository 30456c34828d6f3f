"""Does every ending have its label, and every stand-in its reason?"""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import events as ev
from contracts.content.registry import Registry
from contracts.errors import ErrorCode
from contracts.kinds import KINDS
from contracts.nodes.node import FallbackMode, Rating
from contracts.outcome import Emit, Schedule
from contracts.policy import fingerprint
from contracts.ports import Ending, RequestProgress, Sample, StoredRequest
from contracts.result import Origin, Status
from infra.app.schema_checks import CheckedContents
from infra.settings.settings import load
from infra.stores import samples, templates, worlds
from stages.context_build.layering import overrides
from stages.fallback.answer import choose
from stages.fallback.handle import handle
from stages.fallback.plan import planner
from tests import lives
from tests.fakes import FakeReplays

SHIPPED = samples.load(load().samples_dir)
CONTENTS = CheckedContents(Registry())
TEMPLATES = templates.load()
WORLDS = worlds.load(load().worlds_dir)
DISABLED, LATE = ErrorCode.GEN_PROVIDER_DISABLED, ErrorCode.GEN_TIMEOUT
SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


class Log:
    """Holds one request, or none."""

    def __init__(self, kind: str = "layout", body: bytes | None = b"{}") -> None:
        self.owner = body and StoredRequest(
            kind=kind, request_id="r-1", body=body, sequence=3, time_ms=lives.START_MS
        )

    async def first_request(self, request_id: str) -> Any:  # noqa: ARG002
        return self.owner


class Scenes:
    """Holds a plot that waits for its scenes, or none."""

    def __init__(
        self, plotted: ev.Plotted | None = None, seen: dict[str, RequestProgress] | None = None
    ) -> None:
        self.found = plotted
        self.known = seen or {}

    async def seen(self, request_ids: Any) -> Any:
        return {each: self.known.get(each, RequestProgress()) for each in request_ids}

    async def plotted(self, request_id: str) -> Any:  # noqa: ARG002
        return self.found


def body(fallback: dict[str, Any] | None = None, **fields: Any) -> bytes:
    return json.dumps(
        {"prompt": "a forest", **fields} | ({"fallback": fallback} if fallback else {})
    ).encode()


def failure(code: ErrorCode = LATE, stage: str = "freeform-gen", attempt: int = 1) -> ev.Failed:
    return ev.Failed(attempt=attempt, code=code, stage=stage, message="no luck", brief=lives.brief())


async def handled(
    event: Any,
    asked: bytes | None,
    kind: str = "layout",
    samples: Any = SHIPPED,
    library: Any = TEMPLATES,
    scene_log: Any = None,
    overrides: Any = overrides,
) -> Any:
    return await handle(
        lives.received(event, sequence=9, kind=kind),
        log=Log(kind, asked),
        scene_log=scene_log or Scenes(),
        samples=samples,
        contents=CONTENTS,
        plan_of=planner(templates=library, overrides=overrides, worlds=WORLDS, default_deadline_ms=9000),
        replays=FakeReplays(),
    )


async def ended(
    event: Any, asked: bytes, kind: str = "layout", samples: Any = SHIPPED, **more: Any
) -> ev.Result:
    outcome = await handled(event, asked, kind, samples, **more)
    assert isinstance(outcome, Emit)
    (result,) = outcome.events
    return result


@pytest.mark.parametrize(
    ("event", "fallback", "status", "origin"),
    [
        (failure(DISABLED), None, Status.CACHED_FALLBACK, Origin.GOLDEN_SAMPLE),
        (failure(), None, Status.FAIL_FALLBACK, Origin.GOLDEN_SAMPLE),
        (failure(), {"mode": "golden_sample"}, Status.FAIL_FALLBACK, Origin.GOLDEN_SAMPLE),
        (failure(), {"mode": "skip"}, Status.SKIPPED, Origin.NONE),
        (failure(), {"mode": "placeholder"}, Status.PLACEHOLDER, Origin.PLACEHOLDER),
        (failure(), {"mode": "none"}, Status.FAILED, Origin.NONE),
        (failure(stage="validate-repair"), {"mode": "none"}, Status.FAIL_VALIDATION, Origin.NONE),
        (failure(attempt=2), {"mode": "retry", "then": "skip"}, Status.SKIPPED, Origin.NONE),
        (
            failure(ErrorCode.GEN_BUDGET_EXCEEDED),
            {"mode": "retry"},
            Status.FAIL_FALLBACK,
            Origin.GOLDEN_SAMPLE,
        ),
        (failure(DISABLED), {"mode": "retry"}, Status.CACHED_FALLBACK, Origin.GOLDEN_SAMPLE),
        (ev.Deadline(request_seq=3, deadline_ms=50), None, Status.FAIL_FALLBACK, Origin.GOLDEN_SAMPLE),
        (ev.Cancelled(reason="the player left"), None, Status.CANCELLED, Origin.NONE),
    ],
)
async def test_an_ending_has_its_status_and_origin(event, fallback, status, origin) -> None:
    result = await ended(event, body(fallback))
    assert (result.status, result.origin) == (status, origin)
    assert result.reason


@pytest.mark.parametrize(
    ("code", "status"), [(DISABLED, Status.CACHED_FALLBACK), (LATE, Status.FAIL_FALLBACK)]
)
async def test_default_content_stands_in_under_its_name(code, status) -> None:
    asked = body({"mode": "default_content", "default_content_id": "transition_01"})
    result = await ended(failure(code), asked, "transition")
    assert (result.status, result.origin) == (status, Origin.DEFAULT_CONTENT)
    assert result.stand_in.name == SHIPPED.default_content("transition_01").name
    assert "default content transition_01 stood in" in result.reason


async def test_a_jump_cut_names_the_scene_that_it_cuts_to() -> None:
    result = await ended(failure(), body({"mode": "skip"}, scene_to="quay"), "transition")
    assert result.reason.endswith("skipped: go on with scene quay")


async def test_moods_of_the_scenes_choose_the_stand_in_like_tags() -> None:
    calm = await ended(failure(), body(scene_to={"id": "quay", "mood": "Calm"}), "transition")
    assert calm.stand_in.name == "sample_transition_storm_to_calm.json"
    romantic = await ended(failure(), body(scene_from={"id": "roof", "mood": "romantic"}), "transition")
    assert romantic.stand_in.name == "sample_transition_romantic_to_action.json"


async def test_default_content_that_is_gone_is_a_golden_sample_and_says_so() -> None:
    asked = body({"mode": "default_content", "default_content_id": "lost"})
    result = await ended(failure(), asked, "transition")
    assert result.origin is Origin.GOLDEN_SAMPLE
    assert "default content 'lost' is missing" in result.reason


FIRST = "romantic_to_action_transition_v1"


@pytest.mark.parametrize(
    ("fields", "due_ms"),
    [
        ({"template_id": FIRST}, 4000),
        ({"node": {"templateId": FIRST}}, 4000),
        ({"template_id": FIRST, "rules": "fallback.timeoutMs = 70"}, 70),
        ({"template_id": FIRST, "rules": "IF brave THEN fallback.timeoutMs = 70"}, 4000),
        ({"rules": "fallback.timeoutMs = 70", "fallback": {"timeout_ms": 60}}, 60),
        ({"template_id": FIRST, "deadline_ms": 50}, 50),
        ({"template_id": "unheard_of", "rules": "IF"}, 9000),
    ],
)
async def test_template_and_rules_have_a_say_in_the_deadline(fields, due_ms) -> None:
    asked = body(**fields)
    timer = await handled(asked, asked, "transition")
    assert timer.at_ms == lives.START_MS + due_ms


async def test_the_fallback_of_template_and_rules_is_followed() -> None:
    result = await ended(failure(), body(template_id=FIRST), "transition")
    assert (result.origin, result.stand_in.name) == (Origin.DEFAULT_CONTENT, "transition_01.json")
    chosen = body(
        template_id=FIRST,
        rules="IF player_choice.brave THEN fallback = skip",
        player_context={"choices": {"brave": True}},
    )
    assert (await ended(failure(), chosen, "transition")).status is Status.SKIPPED


async def test_rules_that_cannot_be_read_leave_the_deadline_and_a_golden_sample() -> None:
    def broken(text: str, context: Any) -> Any:
        raise RecursionError(f"too deep: {text}")

    asked = body({"mode": "none"}, rules="PACING fast", deadline_ms=700)
    armed = await handled(asked, asked, overrides=broken)
    assert isinstance(armed, Schedule)
    assert armed.at_ms == lives.START_MS + 700
    late = await handled(ev.Deadline(request_seq=3, deadline_ms=700), asked, overrides=broken)
    (result,) = late.events
    assert (result.status, result.origin) == (Status.FAIL_FALLBACK, Origin.GOLDEN_SAMPLE)
    assert "its template and rules cannot be read: RecursionError('too deep: PACING fast')" in result.reason


async def test_a_template_that_is_lost_is_a_golden_sample_and_says_so() -> None:
    library = templates.TemplateStore({}, broken={FIRST: "its line 3"})
    result = await ended(failure(), body(template_id=FIRST), "transition", library=library)
    assert (result.status, result.origin) == (Status.FAIL_FALLBACK, Origin.GOLDEN_SAMPLE)
    assert f"template {FIRST!r} cannot be used: its line 3; golden sample" in result.reason


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "custom"])
async def test_a_golden_sample_is_the_file_named_in_the_reason(kind) -> None:
    result = await ended(failure(), body(), kind)
    sample = next(each for each in SHIPPED.of_kind(kind) if each.name == result.stand_in.name)
    assert result.content == sample.content
    assert result.stand_in.hash == result.content_hash == fingerprint.digest(sample.content)
    assert f"GEN_TIMEOUT: no luck; golden sample {sample.name} stood in" == result.reason


async def test_a_custom_request_gets_a_placeholder_of_its_schema_never_a_sample() -> None:
    result = await ended(failure(), body(schema=SCHEMA), "custom")
    assert (result.status, result.origin) == (Status.PLACEHOLDER, Origin.PLACEHOLDER)
    assert await CONTENTS.faults("custom", result.content, SCHEMA) == ()
    assert result.stand_in is None


async def test_a_deadline_of_another_request_with_this_id_answers_nothing() -> None:
    assert await handled(ev.Deadline(request_seq=4, deadline_ms=50), body()) == Emit()


async def test_cancelling_an_unknown_id_answers_nothing() -> None:
    assert await handled(ev.Cancelled(), None) == Emit()


async def test_a_request_that_cannot_be_read_is_rejected_with_its_fault() -> None:
    result = await ended(failure(), b'{"promt": 1}')
    assert (result.status, result.error.code) == (Status.REJECTED, ErrorCode.GEN_INVALID_REQUEST)
    assert "prompt" in result.reason


@pytest.mark.parametrize(("asked", "due_ms"), [(body(), 9000), (body(deadline_ms=50), 50), (b"{", 9000)])
async def test_a_new_request_arms_its_deadline(asked, due_ms) -> None:
    timer = await handled(asked, asked)
    assert timer == Schedule(
        event=ev.Deadline(request_seq=9, deadline_ms=due_ms), at_ms=lives.START_MS + due_ms
    )


async def test_mode_retry_schedules_the_next_attempt_after_its_wait() -> None:
    outcome = await handled(failure(), body({"mode": "retry", "retries": 2, "timeout_ms": 70}))
    assert isinstance(outcome, Schedule)
    assert outcome.at_ms == lives.START_MS + 70
    assert (outcome.event.attempt, outcome.event.brief) == (2, lives.brief())
    assert outcome.event.trail.warnings == ("attempt 1 failed: GEN_TIMEOUT",)


@pytest.mark.parametrize(("redrafts", "again"), [(0, False), (1, True)])
async def test_another_draft_for_quality_uses_up_no_retry(redrafts, again) -> None:
    failed = failure(ErrorCode.GEN_QUALITY, attempt=2)
    failed = msgspec.structs.replace(failed, trail=ev.Trail(redrafts=redrafts))
    outcome = await handled(failed, body({"mode": "retry", "retries": 1}))
    assert isinstance(outcome, Schedule) is again


@given(st.sampled_from(ErrorCode), st.sampled_from(FallbackMode), st.sampled_from(KINDS))
async def test_no_failure_ends_without_a_reason_or_as_the_models_own(code, mode, kind) -> None:
    fallback = {"mode": mode, "default_content_id": "transition_01"}
    asked = body(fallback, **({"schema": SCHEMA} if kind == "custom" else {}))
    result = await ended(failure(code, attempt=9), asked, kind)
    assert result.origin not in {Origin.LIVE, Origin.CACHE, Origin.SCRIPTED}
    assert result.status not in {Status.SUCCESS, Status.CACHED}
    assert result.reason
    assert result.error.code is code
    assert (result.content is None) == (result.origin is Origin.NONE)


def sample(name: str, rating: Rating = Rating.SFW, *tags: str) -> Sample:
    return Sample(name=name, kind="layout", content={"a": 1}, hash="h", rating=rating, tags=tags)


def test_a_sample_is_chosen_by_rating_before_tags() -> None:
    offered = (
        sample("mild", Rating.SFW, "forest", "coins"),
        sample("warm", Rating.ROMANTIC, "forest"),
        sample("warm-too", Rating.ROMANTIC, "forest", "coins"),
        sample("hot", Rating.RESTRICTED, "forest", "coins"),
    )

    def chosen(rating: Rating) -> str:
        found = choose(offered, max_rating=rating, tags=("forest", "coins"), key="k")
        assert found is not None
        return found.name

    assert chosen(Rating.SFW) == "mild"
    assert chosen(Rating.ROMANTIC) == chosen(Rating.MATURE_IMPLIED) == "warm-too"
    assert chosen(Rating.RESTRICTED) == "hot"


def test_samples_above_the_rating_never_stand_in() -> None:
    assert choose((sample("hot", Rating.RESTRICTED),), max_rating=Rating.SFW, tags=(), key="k") is None


def test_equal_requests_get_equal_stand_ins_and_others_are_spread() -> None:
    offered = tuple(sample(f"s-{number}") for number in range(4))

    def chosen(key: str) -> str:
        found = choose(offered, max_rating=Rating.SFW, tags=(), key=key)
        assert found is not None
        return found.name

    assert [chosen(f"k-{number}") for number in range(9)] == [chosen(f"k-{number}") for number in range(9)]
    assert {chosen(f"k-{number}") for number in range(50)} == {each.name for each in offered}


async def test_where_no_sample_fits_a_placeholder_says_so() -> None:
    hot = samples.SampleStore((sample("hot", Rating.RESTRICTED),), {})
    result = await ended(failure(), body(), "layout", hot)
    assert result.origin is Origin.PLACEHOLDER
    assert "no golden sample of kind layout fits" in result.reason


PLOT = {"beats": [{"name": "Opening"}, {"name": "Ending"}]}
PLOTTED = ev.Plotted(
    attempt=1, brief=lives.brief(scenes={}), result=lives.success("r-1", kind="plot", content=PLOT)
)
ENDED = RequestProgress(ending=Ending(status=Status.SUCCESS, origin=Origin.LIVE))


@pytest.mark.parametrize(
    "event", [ev.Deadline(request_seq=3, deadline_ms=9), failure(ErrorCode.GEN_POISON, "context-build")]
)
async def test_a_plot_that_waits_for_its_scenes_ends_with_those_there_are(event) -> None:
    known = Scenes(PLOTTED, {"r-1-s1": ENDED})
    result = await ended(event, body(scenes=True), "plot", scene_log=known)
    assert (result.status, result.content) == (Status.SUCCESS, PLOT)
    assert [(each.request_id, each.status) for each in result.scenes] == [
        ("r-1-s1", "success"),
        ("r-1-s2", "pending"),
    ]


@pytest.mark.parametrize(
    ("event", "status"),
    [
        (failure(), Status.FAIL_FALLBACK),
        (ev.Cancelled(), Status.CANCELLED),
    ],
)
async def test_what_fails_elsewhere_or_is_cancelled_does_not_end_as_the_plot(event, status) -> None:
    result = await ended(event, body(scenes=True), "plot", scene_log=Scenes(PLOTTED))
    assert (result.status, result.scenes) == (status, ())


async def test_a_deadline_of_another_request_does_not_end_the_plot() -> None:
    event = ev.Deadline(request_seq=99, deadline_ms=9)
    outcome = await handled(event, body(scenes=True), "plot", scene_log=Scenes(PLOTTED))
    assert outcome == Emit()


async def test_a_stand_in_for_a_plot_says_that_it_has_no_scenes() -> None:
    result = await ended(failure(), body(scenes=True), "plot")
    assert any("no scenes were requested" in line for line in result.meta.warnings)
