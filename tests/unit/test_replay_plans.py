"""Plans of replays: bodies, ids, hashes, verdicts and the cache; item k always carries item k's body."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic.alias_generators import to_camel

from contracts.errors import ErrorCode
from contracts.lineage import DESCENT, StartStage
from contracts.request_edits import parse_edits
from infra.app.replay_desk import compare
from infra.replay import patching, plans, runs
from infra.replay.estimates import (
    PLOT_WITH_SCENES,
    KindUsage,
    UsageBand,
    estimate,
    find_high_tokens,
    find_past_error,
    make_band,
)
from infra.replay.jobs import JobItem, JobLimits, JobState, ReplayEstimate, ReplayJob
from infra.replay.origins import ReplayOrigin
from infra.replay.patching import PatchError, PatchRefused
from infra.replay.plans import ItemState, PlannedItem, ReplayOptions, ReplayPlan, ReplayVerdict
from infra.replay.publishing import ReadyReplay


def origin(number: int, **changes: Any) -> ReplayOrigin:
    said: dict[str, Any] = {
        "stream": "REQUESTS",
        "sequence": number,
        "named": f"r-{number}",
        "replay_of": f"r-{number}",
        "kind": "layout",
        "body": json.dumps({"prompt": f"forest {number}"}).encode(),
        **changes,
    }
    return ReplayOrigin(**said)


def planned(
    origins: Sequence[ReplayOrigin],
    options: ReplayOptions | None = None,
    *,
    numbers: dict[tuple[int, str, int], int] | None = None,
    present: frozenset[str] = frozenset(),
    refused: frozenset[str] = frozenset(),
    keys: dict[str, str] | None = None,
    held: frozenset[str] = frozenset(),
) -> ReplayPlan:
    async def is_present(ids: Sequence[str]) -> set[str]:
        return set(ids) & present

    async def judge(items: Sequence[tuple[ReplayOrigin, str, bytes]]) -> list[ReplayVerdict]:
        return [
            ReplayVerdict(accepted=False, code=ErrorCode.GEN_INVALID_REQUEST, reason="no")
            if each.named in refused
            else ReplayVerdict(accepted=True, keys=(keys[str(each.named)],) if keys else ())
            for each, _, _ in items
        ]

    async def is_held(asked: Sequence[str]) -> set[str]:
        return set(asked) & held

    return asyncio.run(
        plans.build(
            origins,
            options or ReplayOptions(),
            numbers=numbers or {},
            present=is_present,
            judge=judge,
            held=is_held,
        )
    )


def as_job(plan: ReplayPlan) -> tuple[ReplayJob, list[JobItem]]:
    job = ReplayJob(
        job=7,
        state=JobState.RUNNING,
        plan_hash=plan.plan_hash,
        created_ms=1,
        source="a test",
        options=plan.options,
        limits=JobLimits(),
        estimate=ReplayEstimate(),
    )
    items = [
        JobItem(
            position=at,
            origin=msgspec.structs.replace(each.origin, body=b""),
            number=each.number,
            request_id=each.request_id,
            sha256=hashlib.sha256(
                plans.compose(each.origin, plan.options, patched_by=job.patched_by)
            ).hexdigest(),
            state=each.state,
        )
        for at, each in enumerate(plan.items)
    ]
    return job, items


@given(st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=12), st.randoms())
def test_item_k_carries_item_ks_body_or_none(prompts: list[str], random: Any) -> None:
    found = [
        origin(number, body=msgspec.json.encode({"prompt": text})) for number, text in enumerate(prompts, 1)
    ]
    job, items = as_job(planned(found))
    read = list(found)
    random.shuffle(read)
    for item, got in zip(items, read, strict=True):
        ready = runs.make_ready(item, got, job)
        same = msgspec.json.decode(got.body) == {"prompt": prompts[item.position]}
        if isinstance(ready, ReadyReplay):
            assert msgspec.json.decode(ready.body)["prompt"] == prompts[item.position]
            assert ready.request_id == f"rp-r{item.position + 1}-1"
            assert ready.replay_of == f"r-{item.position + 1}"
        else:
            assert not same or got.replay_of != item.origin.replay_of


def test_what_changed_since_the_plan_is_not_published() -> None:
    job, (item,) = as_job(planned([origin(1)]))
    changed = origin(1, body=b'{"prompt": "another"}')
    assert runs.make_ready(item, changed, job) == "its request is not the one that was planned"
    assert runs.make_ready(item, origin(1, refusal="gone"), job) == "gone"


def test_a_plans_hash_follows_its_requests_options_and_numbers() -> None:
    found = [origin(1), origin(2)]
    plan = planned(found)
    assert plan.plan_hash == planned(found).plan_hash
    others = [
        planned(found[:1]),
        planned(list(reversed(found))),
        planned(found, ReplayOptions(reuse=True)),
        planned(found, numbers={found[0].key: 2}),
        planned([found[0], origin(2, body=b'{"prompt": "another"}')]),
    ]
    assert len({plan.plan_hash, *(each.plan_hash for each in others)}) == 6


def test_ids_of_letters_and_requests_do_not_meet() -> None:
    letter = origin(5, stream="DEAD", letter=5)
    assert plans.make_replay_id(letter, 1) == "rp-5-1"
    assert plans.make_replay_id(origin(5), 1) == "rp-r5-1"


def test_what_was_replayed_before_is_left_out_or_gets_the_next_number() -> None:
    present = frozenset({"rp-r1-1", "rp-r1-2"})
    first, second = planned([origin(1), origin(2)], present=present).items
    assert (first.state, second.state) == (ItemState.PRESENT, ItemState.PLANNED)
    again = planned([origin(1), origin(2)], ReplayOptions(again=True), present=present)
    assert [each.request_id for each in again.items] == ["rp-r1-3", "rp-r2-1"]


def test_every_item_has_its_verdict() -> None:
    plan = planned(
        [origin(1), origin(2, refusal="gone"), origin(3), origin(4, body=b"[]")], refused=frozenset({"r-3"})
    )
    assert [each.state for each in plan.items] == ["planned", "refused", "refused", "refused"]
    assert [each.reason for each in plan.items[1:3]] == ["gone", "no"]
    assert plan.items[2].code == "GEN_INVALID_REQUEST"
    assert "JSON object" in (plan.items[3].reason or "")
    assert [each.origin.named for each in plan.generated] == ["r-1"]


def test_the_cache_answers_what_it_holds_and_equal_requests_share_one_generation() -> None:
    keys = {"r-1": "a", "r-2": "b", "r-3": "b", "r-4": "c"}
    found = [origin(number) for number in range(1, 5)]
    reused = planned(found, ReplayOptions(reuse=True), keys=keys, held=frozenset({"a"}))
    assert [each.cached for each in reused.items] == [True, False, True, False]
    anew = planned(found, keys=keys, held=frozenset({"a"}))
    assert not any(each.cached for each in anew.items)


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        (ReplayOptions(), {}),
        (ReplayOptions(reuse=True), {"reuse": True}),
        (ReplayOptions(from_stage="structuring", reuse=True), {"from_stage": "structuring"}),
        (
            ReplayOptions(patch=[{"op": "add", "path": "/seed", "value": 7}], reuse=True),
            {"seed": 7, "patched_by": "job-7"},
        ),
        (
            ReplayOptions(
                patch=[{"op": "add", "path": "/seed", "value": 7}],
                edits=parse_edits(["seed=8", "params.temperature=0.2", "model=other"]),
                provider="other",
                reuse=True,
            ),
            {"seed": 8, "params": {"temperature": 0.2}, "provider": "other", "patched_by": "job-7"},
        ),
    ],
)
def test_a_replay_says_how_it_descends(options: ReplayOptions, fields: dict[str, Any]) -> None:
    """What is edited or starts later is never answered by the cache."""
    stored = msgspec.json.decode(msgspec.json.encode(options), type=ReplayOptions)
    assert stored == options
    patched_by = "job-7" if options.changes else None
    body = plans.compose(origin(1, body=b'{"prompt": "p", "fromStage": "x"}'), options, patched_by=patched_by)
    assert msgspec.json.decode(body) == {"prompt": "p", "replay_of": "r-1", **fields}


@pytest.mark.parametrize("name", sorted(DESCENT | {to_camel(each) for each in DESCENT}))
def test_what_a_request_says_of_its_descent_is_not_repeated(name: str) -> None:
    """Otherwise a client could choose through a replay what only an operator chooses."""
    body = msgspec.json.encode({"prompt": "p", name: "claimed"})
    composed = msgspec.json.decode(plans.compose(origin(1, body=body), ReplayOptions()))
    assert composed == {"prompt": "p", "replay_of": "r-1"}


@pytest.mark.parametrize("name", sorted(DESCENT | {to_camel(each) for each in DESCENT}))
def test_a_patch_sets_no_descent_whatever_its_path(name: str) -> None:
    with pytest.raises(PatchError, match="replays set themselves"):
        patching.read(msgspec.json.encode([{"op": "add", "path": f"/{name}", "value": True}]))
    whole = [{"op": "replace", "path": "", "value": {"prompt": "x", name: True}}]
    with pytest.raises(PatchRefused, match=f"sets {name}, which replays set themselves"):
        plans.compose(origin(1), ReplayOptions(patch=patching.read(msgspec.json.encode(whole))))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not JSON"),
        ("[]", "array of operations"),
        ('[{"op": "replace", "path": "/seed"}]', "needs `value`"),
        ('[{"op": "mend", "path": "/seed"}]', "operation 1"),
        ('[{"op": "add", "path": "seed", "value": 1}]', "cannot be used"),
        ('[{"op": "add", "path": "/replay_of", "value": "r-9"}]', "replays set themselves"),
        ('[{"op": "copy", "from": "/replayOf", "path": "/seed"}]', "replays set themselves"),
    ],
)
def test_a_patch_that_cannot_be_used_says_why(text: str, says: str) -> None:
    with pytest.raises(PatchError, match=says):
        patching.read(text.encode())


@pytest.mark.parametrize(
    ("operations", "from_stage", "says"),
    [
        (["add /seed", "test /seed"], None, "before its first change"),
        (["test /prompt", "add /seed"], None, None),
        (["test /prompt", "add /world"], "structuring", None),
        (["test /prompt", "copy /prompt /theme"], "structuring", None),
        (["test /prompt", "add /params/temperature"], "structuring", "no effect from structuring"),
        (["test /prompt", "add /promptConfig"], "validate-repair", "no effect from validate-repair"),
        (["test /prompt", "move /seed /theme"], "structuring", "'/seed' has no effect"),
        (["test /prompt", "replace "], "structuring", "no effect"),
    ],
)
def test_a_patch_needs_a_test_for_many_and_an_effect_where_it_starts(
    operations: list[str], from_stage: StartStage | None, says: str | None
) -> None:
    built: list[dict[str, Any]] = []
    for each in operations:
        op, *places = each.split(" ")
        built.append({"op": op, "path": places[-1], "from": places[0], "value": 7})

    def check() -> None:
        patching.check_bulk(built)
        patching.check_effect(built, from_stage)

    if says is None:
        check()
    else:
        with pytest.raises(PatchError, match=says):
            check()


def test_plans_differ_by_requests_and_verdicts() -> None:
    """Requests without a record have no sequence to tell them apart."""
    found = [origin(0, named=f"r-{number}", refusal="gone") for number in (1, 2)] + [origin(3), origin(4)]
    plan = planned(found)
    _, old = as_job(plan)
    assert compare(old, plan) == []
    now = planned([*found[1:], origin(0, named="r-9", refusal="gone")], refused=frozenset({"r-4"}))
    assert compare(old, now) == [
        "- r-1: no longer selected",
        "+ r-9: new",
        "~ r-4: was planned, is refused: no",
    ]


def test_a_patch_applies_as_a_whole_or_not_at_all() -> None:
    fields = {"prompt": "p", "tags": ["a"]}
    operations = patching.read(
        b'[{"op": "add", "path": "/tags/0", "value": "b"}, {"op": "test", "path": "/prompt", "value": "q"}]'
    )
    with pytest.raises(PatchRefused, match=r"test at '/prompt' fails \(operation 2\)"):
        patching.apply(operations, fields)
    assert fields == {"prompt": "p", "tags": ["a"]}
    with pytest.raises(PatchRefused, match="remove at '/seed'"):
        patching.apply([{"op": "remove", "path": "/seed"}], fields)
    with pytest.raises(PatchRefused, match="no request body"):
        patching.apply([{"op": "replace", "path": "", "value": 7}], fields)


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=50))
def test_a_band_holds_what_is_likely(values: list[int]) -> None:
    found = make_band(values)
    assert found.low <= found.likely <= found.high
    assert min(values) * 0.9 <= found.low
    assert found.high <= max(values) * 1.1 + 1e-9


def test_an_estimate_counts_what_models_write() -> None:
    usage = {
        "layout": KindUsage(
            sample=3,
            tokens=UsageBand(low=90, likely=100, high=110),
            money=UsageBand(low=1, likely=2, high=3),
        )
    }
    items = [
        PlannedItem(origin=origin(1), number=1),
        PlannedItem(origin=origin(2), number=1),
        PlannedItem(origin=origin(3, kind="plot"), number=1, max_tokens=500),
    ]
    found = estimate(items, usage)
    assert (found.generated, found.unknown, found.most_tokens) == (3, 1, 500)
    assert found.tokens == UsageBand(low=180, likely=200, high=220)
    assert found.money == UsageBand(low=2, likely=4, high=6)
    later = estimate(items, usage, from_stage="validate-repair")
    assert later.tokens == UsageBand(high=220)
    assert estimate(items, {}).money is None


def test_scenes_are_part_of_an_estimate_or_said_to_be_unknown() -> None:
    usage = {"plot": KindUsage(sample=3, tokens=UsageBand(likely=100), money=None)}
    whole = usage | {PLOT_WITH_SCENES: KindUsage(sample=2, tokens=UsageBand(likely=900), money=None)}
    bodies = (b'{"prompt":"p"}', b'{"prompt":"p","scenes":false}', b'{"prompt":"p","scenes":true}')
    items = [
        PlannedItem(origin=origin(number, kind="plot"), number=1, body=body, max_tokens=10)
        for number, body in enumerate(bodies)
    ]
    known, unknown = estimate(items, whole), estimate(items, usage)
    assert (known.tokens.likely, known.unknown) == (100 + 100 + 900, 0)
    assert (unknown.tokens.likely, unknown.unknown) == (200, 1)
    assert find_high_tokens(unknown) == 10 * 41, "each beat may have a scene"


def test_a_request_of_an_unknown_kind_may_take_all_that_its_calls_may() -> None:
    usage = {"layout": KindUsage(sample=3, tokens=UsageBand(high=110), money=None)}
    items = [PlannedItem(origin=origin(1), number=1, max_tokens=500)]
    mixed = [*items, PlannedItem(origin=origin(2, kind="plot"), number=1, max_tokens=500)]
    found = [
        find_high_tokens(each)
        for each in (estimate(items, usage), estimate(mixed, usage), estimate(items, {}))
    ]
    assert found == [110, 500, 500]


def test_the_error_of_past_estimates_is_a_mean_share() -> None:
    assert find_past_error([]) is None
    assert find_past_error([(110, 100), (70, 100)]) == pytest.approx(0.2)
