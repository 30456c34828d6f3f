"""Plans of reruns: which body a shadow has, what is left out and why, and what it is expected to take."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from contracts import events as ev
from contracts import request
from contracts.errors import ErrorCode
from contracts.redaction import redact_text
from contracts.request_edits import EditError, parse_edits
from contracts.result import Cost, Meta
from contracts.usage import Tokens
from infra.cli.show_comparison import estimate_text
from infra.inspect.comparison import RequestOutcome
from infra.nats.multiplexer import RequestMultiplexer
from infra.providers.budget import NANOS, Tariff
from infra.replay import reruns
from infra.replay.rerun_estimate import RequestUsage, estimate, find_usage
from infra.replay.reruns import RerunError, RerunOptions, RerunPlan, make_shadow_id
from tests import lives


def outcome(request_id: str = "r-1", *, amount: float | None = 0.5, **body: Any) -> RequestOutcome:
    """A request that succeeded with seed 7 and 30 tokens."""
    cost = Cost(tokens=Tokens(prompt=10, completion=20), amount=amount)
    result = lives.success(request_id, meta=Meta(provider="scripted", model="script", seed=7, cost=cost))
    return RequestOutcome(
        request_id=request_id,
        kind="layout",
        body={"prompt": "a forest"} | body,
        result=result,
        content={"a": 1},
    )


def planned(*known: RequestOutcome, given: tuple[str, ...] = (), provider: str | None = None) -> RerunPlan:
    options = RerunOptions(edits=parse_edits(given), provider=provider)
    ids = [each.request_id for each in known]
    return asyncio.run(
        reruns.plan(RequestMultiplexer(), ids, {each.request_id: each for each in known}, options, job="j1")
    )


def test_a_shadow_asks_for_the_same_with_the_seed_that_the_original_had() -> None:
    (item,) = planned(outcome(params={"topP": 0.5}), given=("params.temperature=0.2",)).items
    assert item.request_id == "sh-j1-r-1"
    assert msgspec.json.decode(item.body) == {
        "prompt": "a forest",
        "params": {"topP": 0.5, "temperature": 0.2},
        "seed": 7,
        "replay_of": "r-1",
        "shadow": True,
    }
    assert request.read(item.body, "layout").lineage is not None


def test_a_seed_that_is_set_or_was_asked_for_is_kept() -> None:
    (item,) = planned(outcome(), given=("seed=9",)).items
    assert request.read(item.body, "layout").seed == 9
    (item,) = planned(outcome(seed=3)).items
    assert request.read(item.body, "layout").seed == 3


def test_the_descent_of_the_original_is_not_inherited() -> None:
    before = outcome(replayOf="r-0", patched_by="job-1", shadow=True, from_stage="structuring")
    (item,) = planned(before, provider="b").items
    said = request.read(item.body, "layout")
    assert (said.replay_of, said.patched_by, said.from_stage, said.provider) == ("r-1", None, None, "b")


def test_what_cannot_run_again_is_left_out_with_the_reason() -> None:
    hashed = outcome("r-2", prompt=redact_text("a forest"))
    unknown = msgspec.structs.replace(outcome("r-3"), body=None)
    found = planned(outcome("r-1"), hashed, unknown, given=("deadline_ms=0",))
    assert found.items == ()
    reasons = {each.original: each.reason for each in found.refused}
    assert "deadline_ms" in reasons["r-1"]
    assert "keeps no words" in reasons["r-2"]
    assert "neither the log nor the audit" in reasons["r-3"]


@pytest.mark.parametrize(
    ("given", "stage", "key"),
    [
        (("prompt=x",), "structuring", "prompt"),
        (("params.temperature=1",), "validate-repair", "params.temperature"),
        (("model=b",), "validate-repair", "model"),
    ],
)
def test_a_change_without_effect_is_refused(given: tuple[str, ...], stage: Any, key: str) -> None:
    with pytest.raises(EditError, match=f"^{key} has no effect from {stage} on"):
        reruns.check_options(RerunOptions(edits=parse_edits(given), from_stage=stage))
    reruns.check_options(RerunOptions(edits=parse_edits(("deadline_ms=9",)), from_stage=stage))


def test_ids_follow_from_job_and_original_and_leave_room_for_scenes() -> None:
    long = "x" * 64
    assert make_shadow_id("j1", "r-1") == "sh-j1-r-1"
    assert make_shadow_id("j1", long) == make_shadow_id("j1", long)
    assert len({make_shadow_id("j1", long), make_shadow_id("j2", long), make_shadow_id("j1", "y" * 64)}) == 3
    assert len(make_shadow_id("j" * 24, long)) <= 60


@pytest.mark.parametrize("job", ["", "a-b", "x" * 25, "ä"])
def test_a_job_is_part_of_ids(job: str) -> None:
    with pytest.raises(RerunError, match="letters and digits"):
        reruns.check_job(job)
    reruns.check_job(reruns.make_job_name(1_800_000_000.25))


def usage(prompt: int, completion: int, cost: float | None = None) -> RequestUsage:
    return RequestUsage(prompt_tokens=prompt, completion_tokens=completion, cost=cost)


def test_a_rerun_takes_what_its_originals_took_within_a_band() -> None:
    found = estimate(
        [("layout", usage(10, 30, 1.0)), ("layout", usage(20, 40, 3.0)), ("plot", usage(60, 40))]
    )
    assert (found.requests, found.unknown) == (3, 0)
    assert (found.tokens.low, found.tokens.likely, found.tokens.high) == (150.0, 200.0, 250.0)
    assert found.money is not None
    assert (found.money.low, found.money.high) == (3.0, 5.0)


def test_an_original_without_figures_takes_what_is_usual_for_its_kind() -> None:
    known = [("layout", usage(1, 1)), ("layout", usage(10, 10)), ("layout", usage(50, 50))]
    found = estimate([*known, ("layout", None), ("scene", None)])
    assert found.tokens.likely == 122 + 20
    assert found.unknown == 1


def test_scenes_that_an_estimate_leaves_out_are_said() -> None:
    found = estimate([("plot", usage(10, 30)), ("plot", usage(10, 30))], with_scenes=1)
    assert found.with_scenes == 1
    assert estimate_text(found).endswith("; the scenes of 1 plot come on top")


def test_another_provider_costs_its_own_price() -> None:
    tariff = Tariff(prompt=0.5 * NANOS, completion=2 * NANOS)
    found = estimate([("layout", usage(10, 3, cost=99.0))], tariff=tariff)
    assert found.money is not None
    assert found.money.likely == 11.0
    assert estimate([("layout", usage(1, 1, 9.0))], tariff=Tariff(prompt=None, completion=None)).money is None


def test_what_earlier_stages_took_is_not_taken_again() -> None:
    assert find_usage(outcome(), None) == usage(10, 20, 0.5)
    drafted = ev.Drafted(
        attempt=1,
        brief=lives.brief(),
        draft=lives.prose(),
        trail=ev.Trail(tokens=Tokens(prompt=6, completion=15), amount=0.25),
    )
    assert find_usage(outcome(), drafted) == usage(4, 5, 0.25)
    failed = msgspec.structs.replace(outcome(), result=lives.stand_in("r-1", ErrorCode.GEN_TIMEOUT))
    assert find_usage(failed, None) is None
