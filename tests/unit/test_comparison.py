"""Comparisons: what differs between two requests, and between many pairs."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from contracts.errors import ErrorCode
from contracts.nodes.node import Rating
from contracts.policy.rating import RatingInfo
from contracts.result import Cost, Meta, Origin
from contracts.usage import Tokens
from infra.inspect.comparison import Comparison, RequestOutcome, compare, generalise, summarise
from tests.lives import stand_in, success

MATURE = RatingInfo(requested=Rating.MATURE_IMPLIED, effective=Rating.MATURE_IMPLIED)
FOREST: dict[str, Any] = {
    "scene_name": "Forest",
    "entities": [{"id": "coin1", "x": 1}, {"id": "coin2", "x": 2}],
}


def outcome(
    request_id: str,
    content: Any = FOREST,
    *,
    kind: str = "layout",
    body: dict[str, Any] | None = None,
    ms: int = 100,
    **meta: Any,
) -> RequestOutcome:
    """A request that the model answered."""
    said: dict[str, Any] = {
        "seed": 7,
        "quality_score": 0.5,
        "prompt_version": "layout@1",
        "provider": "a",
        "model": "m",
    } | meta
    said.setdefault("cost", Cost(tokens=Tokens(prompt=10, completion=20), amount=0.5))
    result = success(request_id, content=content, meta=Meta(**said), origin=Origin.LIVE, reason=None)
    return RequestOutcome(
        request_id=request_id,
        kind=kind,
        body={"prompt": "a forest", **(body or {})},
        result=result,
        content=content,
        latency_ms=ms,
    )


def changed(**fields: Any) -> dict[str, Any]:
    """The forest with other fields."""
    return {**FOREST, **fields}


def test_two_requests_are_compared_field_by_field() -> None:
    other = changed(scene_name="Wood", entities=[{"id": "coin2", "x": 2}, {"id": "coin1", "x": 9}])
    found = compare(
        outcome("r-1"),
        outcome(
            "sh-a-1",
            other,
            body={
                "seed": 7,
                "params": {"temperature": 0.2},
                "promptConfig": {"versionId": "layout@2"},
                "replay_of": "r-1",
            },
            ms=300,
            quality_score=0.75,
            prompt_version="layout@2",
        ),
    )
    assert [(each.op, each.path) for each in found.asked] == [
        ("add", "/params"),
        ("add", "/prompt_config"),
    ]
    assert [(each.op, each.path) for each in found.content] == [
        ("move", "/entities/0"),
        ("replace", "/entities/1/x"),
        ("replace", "/scene_name"),
    ]
    assert found.equal is False
    assert (found.a.quality, found.b.quality) == (0.5, 0.75)
    assert (found.a.prompt_version, found.b.prompt_version) == ("layout@1", "layout@2")
    assert (found.a.latency_ms, found.b.latency_ms) == (100, 300)
    assert found.a.valid


def test_another_seed_is_a_difference() -> None:
    found = compare(outcome("r-1"), outcome("sh-a-1", body={"seed": 8}, seed=8))
    assert [each.path for each in found.asked] == ["/seed"]


def test_a_stand_in_is_not_valid_and_a_missing_result_is_open() -> None:
    failed = RequestOutcome(
        request_id="r-1",
        kind="layout",
        body={"prompt": "x"},
        result=stand_in("r-1", ErrorCode.GEN_TIMEOUT),
        content={"scene_name": "Sample"},
    )
    waiting = RequestOutcome(request_id="r-2", kind="layout", body={"prompt": "x"}, result=None)
    found = compare(failed, waiting)
    assert (found.a.valid, found.a.error, found.a.status) == (False, "GEN_TIMEOUT", "fail_fallback")
    assert (found.b.status, found.equal) == (None, None)
    assert found.content == ()


def test_what_was_asked_is_not_compared_where_it_is_no_longer_known() -> None:
    unknown = msgspec.structs.replace(outcome("r-1"), body=None)
    assert compare(unknown, outcome("r-2")).asked == ()


@pytest.mark.parametrize(
    ("pointer", "general"),
    [("/a/0/b", "/a/*/b"), ("/a/10", "/a/*"), ("/a/0/1", "/a/*/*"), ("/a1/b", "/a1/b"), ("", "")],
)
def test_places_in_lists_are_one_field(pointer: str, general: str) -> None:
    assert generalise(pointer) == general


def pairs() -> list[Comparison]:
    """Four pairs: one equal, two that differ, one without a result."""
    two = changed(entities=[{"id": "coin1", "x": 5}, {"id": "coin2", "x": 6}])
    missing = RequestOutcome(request_id="sh-a-4", kind="layout", body={"prompt": "x"}, result=None)
    return [
        compare(outcome("r-1", ms=100), outcome("sh-a-1", ms=10)),
        compare(outcome("r-2", ms=200), outcome("sh-a-2", two, ms=20, quality_score=0.8)),
        compare(outcome("r-3", ms=300), outcome("sh-a-3", changed(scene_name="Wood"), ms=30)),
        compare(outcome("r-4", ms=400, rating=MATURE), missing),
    ]


def test_many_pairs_have_totals_and_fields_by_frequency() -> None:
    found = summarise(pairs())
    assert (found.pairs, found.comparable, found.equal) == (4, 3, 1)
    assert [(each.field, each.pairs, each.replaced) for each in found.fields] == [
        ("/entities/*/x", 1, 2),
        ("/scene_name", 1, 1),
    ]
    assert found.fields[0].share == 0.3333
    assert (found.a.open, found.b.open) == (0, 1)
    assert (found.a.valid, found.b.valid) == (4, 3)
    assert (found.b.quality, found.b.prompt_tokens, found.b.completion_tokens) == (0.6, 30, 60)
    assert (found.a.cost, found.b.cost) == (2.0, 1.5)
    assert (found.a.latency_p50_ms, found.a.latency_p95_ms) == (200, 400)
    assert found.b.statuses == {"success": 3}
    assert (found.a.ratings, found.b.ratings) == ({"sfw": 3, "mature_implied": 1}, {"sfw": 3})
    assert found.asked == {"/prompt": 1}


def test_the_order_of_the_pairs_does_not_matter() -> None:
    found = pairs()
    assert msgspec.json.encode(summarise(found[::-1])) == msgspec.json.encode(summarise(found))


def test_nothing_is_summarised_as_nothing() -> None:
    found = summarise([])
    assert (found.pairs, found.fields, found.a.cost, found.a.latency_p50_ms) == (0, (), None, None)


def test_a_field_is_counted_among_the_pairs_of_its_kind() -> None:
    wood = {"title": "Wood"}
    found = summarise(
        [
            *(compare(outcome(f"r-{n}"), outcome(f"sh-a-{n}", changed(title="Wood"))) for n in range(2)),
            compare(outcome("r-2"), outcome("sh-a-2")),
            compare(outcome("r-3", {"title": "Tree"}, kind="plot"), outcome("sh-a-3", wood, kind="plot")),
        ]
    )
    assert [(each.kind, each.field, each.pairs, each.share) for each in found.fields] == [
        ("layout", "/title", 2, 0.6667),
        ("plot", "/title", 1, 1.0),
    ]


def test_totals_count_errors_models_and_prompt_versions() -> None:
    failed = RequestOutcome(
        request_id="sh-a-1",
        kind="layout",
        body={"prompt": "x"},
        result=stand_in("sh-a-1", ErrorCode.GEN_TIMEOUT),
    )
    found = summarise(
        [
            compare(outcome("r-1"), failed),
            compare(outcome("r-2"), outcome("sh-a-2", model="n", prompt_version="layout@2")),
        ]
    )
    assert (found.a.errors, found.b.errors) == ({}, {"GEN_TIMEOUT": 1})
    assert (found.a.models, found.b.models["a/n"]) == ({"a/m": 2}, 1)
    assert (found.a.prompt_versions, found.b.prompt_versions["layout@2"]) == ({"layout@1": 2}, 1)
