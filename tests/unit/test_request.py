"""Is a request taken as it is meant, and refused by the field at fault?"""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import request
from contracts.node import FallbackMode, Rating
from contracts.request import FallbackPlan, RequestError, plan_fallback, read

FULL = {
    "prompt": "a forest with three coins",
    "seed": 7,
    "deadline_ms": 5000,
    "params": {"temperature": 0.5, "top_p": 0.9, "max_tokens": 100},
    "fallback": {"mode": "retry", "retries": 2, "timeout_ms": 50, "then": "skip"},
    "tags": ["forest"],
    "workspace": "demo",
    "world": "north",
}
CAMEL = {
    "prompt": "a forest with three coins",
    "seed": 7,
    "deadlineMs": 5000,
    "params": {"temperature": 0.5, "topP": 0.9, "maxTokens": 100},
    "fallback": {"mode": "retry", "retries": 2, "timeoutMs": 50, "then": "skip"},
    "tags": ["forest"],
    "workspace": "demo",
    "world": "north",
}


def body(**fields) -> bytes:
    return json.dumps({"prompt": "a forest", **fields}).encode()


def nested(levels: int) -> dict:
    schema: dict = {}
    for _ in range(levels - 1):
        schema = {"properties": schema}
    return schema


def test_the_smallest_request_is_a_prompt() -> None:
    assert read(b'{"prompt": "a forest with three coins"}', "layout").prompt == "a forest with three coins"


def test_both_spellings_are_the_same_request() -> None:
    snake, camel = read(json.dumps(FULL).encode(), "plot"), read(json.dumps(CAMEL).encode(), "plot")
    assert snake == camel
    assert snake.input_hash("plot") == camel.input_hash("plot")


@pytest.mark.parametrize(
    ("sent", "path", "said"),
    [
        (b"", "", "Invalid JSON"),
        (b"[]", "", "object"),
        (b'{"prompt": 1}', "prompt", "valid string"),
        (b"{}", "prompt", "Field required"),
        (body(prompt=""), "prompt", "at least 1 character"),
        (body(prompt=" \n"), "prompt", "must say what to generate"),
        (body(prompt="a" * 32_001), "prompt", "at most 32000 characters"),
        (body(promt="x"), "promt", "unknown field; leave it out or correct its spelling"),
        (body(params={"heat": 1}), "params.heat", "unknown field"),
        (body(deadline_ms=1, deadlineMs=2), "deadline_ms", "is the same field as deadlineMs; keep one"),
        (body(params={"topP": 0.5, "top_p": 0.5}), "params.top_p", "is the same field as topP; keep one"),
        (body(Prompt="x"), "Prompt", "unknown field"),
        (body(tags=["a"] * 33), "tags", "List should have at most 32 items, not 33"),
        (body(params={"temperature": 2.1}), "params.temperature", "less than or equal to 2"),
        (body(params={"topP": 0}), "params.topP", "greater than 0"),
        (body(seed=-1), "seed", "greater than or equal to 0"),
        (body(deadline_ms=0), "deadline_ms", "greater than or equal to 1"),
        (body(tags=["a"] * 33), "tags", "at most 32 items"),
        (body(tags=["a" * 65]), "tags.0", "at most 64 characters"),
        (body(fallback={"mode": "default_content"}), "fallback", "default_content_id is required"),
        (body(fallback={"mode": "retry", "then": "retry"}), "fallback", "another mode than retry"),
        (body(fallback={"mode": "panic"}), "fallback.mode", "'golden_sample'"),
        (
            body(fallback={"mode": "retry", "then": "default_content"}),
            "fallback",
            "default_content_id is required",
        ),
        (
            body(fallback={"mode": "default_content", "default_content_id": "../secret"}),
            "fallback.default_content_id",
            "match pattern",
        ),
        (body(node={"name": 1}), "node.name", "NOD002 there is no field 'name'"),
        (body(node={"id": 1}), "node.id", "NOD004 1 is not a text; write a text"),
        (body(node=[]), "node", "NOD001 [] is not a node"),
        (
            body(node={"strategy": "per_plyer"}),
            "node.strategy",
            "ENU001 'per_plyer' is unknown; did you mean",
        ),
        (
            body(node={"seedSource": "fixed", "seed_source": "fixed"}),
            "node.seedSource",
            "NOD003 this field is given in both spellings",
        ),
        (body(rules=["x"]), "rules", "Input should be a valid string"),
        (body(rules="#" * (request.MAX_RULES + 1)), "rules", "at most 16384 characters"),
        (body(template_id="../etc"), "template_id", "match pattern"),
        (
            body(node={"constraints": {"avoidElements": ["a\nb"]}}),
            "node.constraints.avoidElements.0",
            "NOD005 ",
        ),
        (body(player_context={"player": 1}), "player_context.player", "unknown field"),
        (body(playerContext={"playerId": ""}), "playerContext.playerId", "at least 1 character"),
        (
            body(player_context={"choices": dict.fromkeys(map(str, range(request.MAX_CHOICES + 1)), 1)}),
            "player_context.choices",
            "at most 256 items",
        ),
        (body(player_context={"choices": nested(33)}), "player_context.choices", "more than 32 levels"),
        (body(seed=True), "seed", "valid integer"),
        (body(deadline_ms="12"), "deadline_ms", "valid integer"),
        (body(params={"topP": "0.5"}), "params.topP", "valid number"),
        (body(schema={"type": "object"}), "schema", "is for kind custom only; kind layout has its own"),
    ],
)
def test_a_refusal_names_the_field_and_the_fix(sent, path, said) -> None:
    with pytest.raises(RequestError) as told:
        read(sent, "layout")
    assert told.value.path == path
    assert said in str(told.value)


def test_a_body_that_is_too_large_is_refused_before_it_is_read() -> None:
    with pytest.raises(RequestError, match=f"has {request.MAX_BODY + 1} bytes; at most {request.MAX_BODY}"):
        read(b" " * (request.MAX_BODY + 1), "layout")


def test_custom_needs_a_schema() -> None:
    with pytest.raises(RequestError, match="schema: is required for kind custom"):
        read(body(), "custom")


def test_nesting_is_bounded() -> None:
    assert read(body(schema=nested(140)), "custom").schema_
    with pytest.raises(RequestError, match="recursion limit exceeded"):
        read(body(schema=nested(300)), "custom")
    with pytest.raises(RequestError, match="more than 32 levels deep"):
        read(body(player_context={"choices": nested(request.MAX_DEPTH + 1)}), "layout")


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_break_the_reader(sent) -> None:
    try:
        asked = read(sent, "layout")
    except RequestError:
        return
    assert asked.prompt.strip()


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "a desert"},
        {"seed": 8},
        {"params": {"temperature": 0.6}},
        {"fallback": {"mode": "skip"}},
        {"tags": ["desert"]},
        {"workspace": "other"},
        {"world": "south"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_wish_has_another_hash(change) -> None:
    asked = read(json.dumps(FULL).encode(), "plot")
    assert read(json.dumps(FULL | change).encode(), "plot").input_hash("plot") != asked.input_hash("plot")


def test_a_nodes_constraints_have_the_hash_that_they_always_had() -> None:
    node = {"constraints": {"requiredElements": ["lamp"]}}
    assert read(body(node=node), "plot").input_hash("plot") == (
        "089af3854f8d77528379775f43525716fbe49b6b90e5e4de7a39e844c16c91df"
    )


def test_the_kind_is_part_of_the_hash_and_the_deadline_is_not() -> None:
    asked = read(body(), "plot")
    assert asked.input_hash("plot") != asked.input_hash("scene")
    assert read(body(deadline_ms=1, replay_of="r-1"), "plot").input_hash("plot") == asked.input_hash("plot")


@pytest.mark.parametrize(
    ("fields", "plan"),
    [
        ({}, FallbackPlan(deadline_ms=9)),
        ({"deadline_ms": 5}, FallbackPlan(deadline_ms=5)),
        (
            {"fallback": {"mode": "skip", "timeout_ms": 7}},
            FallbackPlan(mode=FallbackMode.SKIP, deadline_ms=7),
        ),
        ({"deadline_ms": 5, "fallback": {"timeout_ms": 7}}, FallbackPlan(deadline_ms=5)),
        (
            # In mode retry the time-out is the wait between attempts, not the deadline.
            {"fallback": {"mode": "retry", "retries": 3, "timeout_ms": 7, "then": "none"}},
            FallbackPlan(
                mode=FallbackMode.RETRY, retries=3, retry_wait_ms=7, then=FallbackMode.NONE, deadline_ms=9
            ),
        ),
        (
            {"node": {"fallback": {"mode": "skip", "timeoutMs": 7}}},
            FallbackPlan(mode=FallbackMode.SKIP, deadline_ms=7),
        ),
        (
            {"node": {"fallback": {"mode": "skip", "timeoutMs": 7}}, "fallback": {"timeout_ms": 5}},
            FallbackPlan(mode=FallbackMode.SKIP, deadline_ms=5),
        ),
        # What cannot be done promises nothing; context-build refuses it.
        ({"node": {"fallback": {"mode": "default_content"}}}, FallbackPlan(deadline_ms=9)),
        (
            {"fallback": {"mode": "default_content", "default_content_id": "transition_01"}},
            FallbackPlan(
                mode=FallbackMode.DEFAULT_CONTENT, default_content_id="transition_01", deadline_ms=9
            ),
        ),
    ],
)
def test_a_plan_is_what_the_request_says(fields, plan) -> None:
    assert plan_fallback(read(body(**fields), "layout"), default_deadline_ms=9) == plan


def test_what_cannot_be_read_means_a_golden_sample_for_everybody() -> None:
    plan = plan_fallback(None, default_deadline_ms=9)
    assert (plan.mode, plan.max_rating, plan.deadline_ms) == (FallbackMode.GOLDEN_SAMPLE, Rating.SFW, 9)


def test_a_whole_number_may_be_written_with_a_point() -> None:
    asked = read(body(seed=7.0, deadline_ms=12.0, params={"max_tokens": 5.0}), "layout")
    assert (asked.seed, asked.deadline_ms, asked.params.max_tokens) == (7, 12, 5)
