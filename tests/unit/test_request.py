"""Is a request taken as it is meant, and refused by the field at fault?"""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import request
from contracts.nodes.node import FallbackMode, Rating
from contracts.request import FallbackPlan, RequestError, plan_fallback, read
from tests.profiles import examples

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
        (b"", "", "the body is empty; the smallest request is {"),
        (b"{", "", "the body is not JSON: EOF while parsing an object at line 1 column 1"),
        (b"[]", "", "the body is [], not an object; the smallest request is {"),
        (b'{"prompt": 1}', "prompt", "1 is not a text; write a text"),
        (b"{}", "prompt", "is required"),
        (body(prompt=""), "prompt", "is empty; write something"),
        (body(prompt=" \n"), "prompt", "must not be blank"),
        (body(prompt="a" * 32_001), "prompt", "has 32001 characters; at most 32000 are accepted"),
        (b'{"promt": "x"}', "promt", "promt: unknown field; did you mean prompt?"),
        (body(params={"heat": 1}), "params.heat", "unknown field; known are temperature, top_p, max_tokens"),
        (body(deadline_ms=1, deadlineMs=2), "deadline_ms", "given in both spellings; keep one"),
        (body(params={"topP": 0.5, "top_p": 0.5}), "params.topP", "given in both spellings; keep one"),
        (b'{"Prompt": "x"}', "Prompt", "unknown field; did you mean prompt?"),
        (body(tags=["a"] * 33), "tags", "has 33 entries; at most 32 are accepted"),
        (body(params={"temperature": 2.1}), "params.temperature", "less than or equal to 2"),
        (body(params={"topP": 0}), "params.topP", "greater than 0"),
        (body(seed=-1), "seed", "greater than or equal to 0"),
        (body(deadline_ms=0), "deadline_ms", "greater than or equal to 1"),
        (body(tags=["a" * 65]), "tags.0", "has 65 characters; at most 64 are accepted"),
        (body(fallback={"mode": "default_content"}), "fallback", "default_content_id is required"),
        (body(fallback={"mode": "retry", "then": "retry"}), "fallback", "then cannot be retry"),
        (body(fallback={"mode": "panic"}), "fallback.mode", "'panic' is unknown; use one of golden_sample, "),
        (
            body(fallback={"mode": "retry", "then": "default_content"}),
            "fallback",
            "default_content_id is required",
        ),
        (
            body(fallback={"mode": "default_content", "default_content_id": "../secret"}),
            "fallback.default_content_id",
            "must match ^[A-Za-z0-9_-]{1,64}$",
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
            "given in both spellings; keep one of them",
        ),
        (body(rules=["x"]), "rules", "['x'] is not a text"),
        (
            body(rules="#" * (request.MAX_RULES + 1)),
            "rules",
            "has 16385 characters; at most 16384 are accepted",
        ),
        (body(template_id="../etc"), "template_id", "must match ^[A-Za-z0-9_-]{1,64}$"),
        (
            body(node={"constraints": {"avoidElements": ["a\nb"]}}),
            "node.constraints.avoidElements.0",
            "NOD005 ",
        ),
        (body(player_context={"player": 1}), "player_context.player", "unknown field"),
        (body(playerContext={"playerId": ""}), "playerContext.playerId", "is empty"),
        (
            body(player_context={"choices": dict.fromkeys(map(str, range(request.MAX_CHOICES + 1)), 1)}),
            "player_context.choices",
            "has 257 entries; at most 256 are accepted",
        ),
        (body(player_context={"choices": nested(33)}), "player_context.choices", "more than 32 levels"),
        (body(seed=True), "seed", "true is not a whole number"),
        (body(deadline_ms="12"), "deadline_ms", "'12' is not a whole number"),
        (body(params={"topP": "0.5"}), "params.topP", "'0.5' is not a number"),
        (body(schema={"type": "object"}), "schema", "is for kind custom only; kind layout has its own"),
        (b'{"prompt": "a", "prompt": "b"}', "prompt", "appears twice; keep one of them"),
        (
            b'{"prompt": "a", "node": {"style": {"pacing": "slow", "pacing": "slow"}}}',
            "node.style.pacing",
            "appears twice",
        ),
        (b'{"prompt": "a", "x": [{"y": 1}, {"y": 1, "y": 1}]}', "x.1.y", "appears twice"),
        (
            body(prompt_config={"familyId": "a", "family": "b"}),
            "prompt_config.familyId",
            "given in both spellings",
        ),
        (body(temperature=1), "temperature", "unknown field; did you mean params.temperature?"),
        (body(pacing="slow", style=1), "pacing", "unknown field; did you mean node.style.pacing?"),
        (body(node={"type": "layout"}), "node.type", "did you mean 'generation_type'?"),
        (body(deadlineMs=1, node={"type": "layout"}), "node.type", "did you mean 'generationType'?"),
        (body(node={"type": "layout", "seedSource": "x"}), "node.type", "did you mean 'generationType'?"),
        (body(node={"pacing": "slow"}), "node.pacing", "did you mean 'style.pacing'?"),
        (b'{"generationType": "layout", "style": {}}', "", "this looks like a node: put it under node"),
        (b'{"id": "n", "template_id": "t"}', "", "this looks like a node: put it under node"),
        (body(tags=[1] * 3000), "tags", "has 3000 entries; at most 32 are accepted"),
        (
            body(node={"constraints": {"avoidElements": [1] * 3000}}),
            "node.constraints.avoidElements",
            "has 3000 entries; at most 32 are accepted",
        ),
        (body(node={f"x{n}": 1 for n in range(101)}), "node", "has 101 entries; it knows 13 fields"),
        (body(**{"a\u202eb\x9b": 1}), "a\\u202eb\\x9b", "unknown field; known are prompt, schema, seed"),
    ],
)
def test_a_refusal_names_the_field_and_the_fix(sent, path, said) -> None:
    with pytest.raises(RequestError) as told:
        read(sent, "layout")
    assert told.value.path == path
    assert said in str(told.value)


def told(sent: bytes, kind: str = "layout") -> str:
    with pytest.raises(RequestError) as refused:
        read(sent, kind)
    return str(refused.value)


def test_all_faults_are_told_at_once_in_our_words() -> None:
    assert told(b'{"prompt": 5, "seed": "a", "tags": "x"}') == (
        "prompt: 5 is not a text; write a text | seed: 'a' is not a whole number; write a whole number | "
        "tags: 'x' is not a list; write a list"
    )


def test_unknown_fields_are_told_first_and_the_one_that_was_meant_is_not_missed() -> None:
    assert told(b'{"seed": "a", "params": {"heat": 1}, "promt": "x"}') == (
        "params.heat: unknown field; known are temperature, top_p, max_tokens | "
        "promt: unknown field; did you mean prompt? | seed: 'a' is not a whole number; write a whole number"
    )


def test_a_nodes_faults_are_told_behind_those_of_the_request() -> None:
    assert told(body(seed="a", node={"strategy": "per_plyer", "version": 0})) == (
        "seed: 'a' is not a whole number; write a whole number | node.version: NOD005 0 is not allowed here: must be "
        "greater than or equal to 1; change it so that it fits | node.strategy: ENU001 'per_plyer' is unknown; did "
        "you mean 'per_player'? Known are once, per_playthrough, per_player, always"
    )


def test_a_heap_of_faults_is_cut() -> None:
    said = told(body(**{f"x{number}{'y' * 300}": 1 for number in range(40)}))
    assert said.count("unknown field") == request.MOST_ERRORS
    assert said.endswith("more")
    assert len(said) <= request.MAX_REFUSAL


LABELS = [
    ({"workspace": "w{}s"}, "workspace"),
    ({"world": "w{}s"}, "world"),
    ({"tags": ["w{}s"]}, "tags.0"),
    ({"replay_of": "w{}s"}, "replay_of"),
    ({"scene_of": "w{}s"}, "scene_of"),
    ({"template_id": "w{}s"}, "template_id"),
    ({"player_context": {"player_id": "w{}s"}}, "player_context.player_id"),
    ({"player_context": {"playthrough_id": "w{}s"}}, "player_context.playthrough_id"),
    ({"player_context": {"choices": {"w{}s": 1}}}, "player_context.choices"),
    ({"node": {"id": "w{}s"}}, "node.id"),
    ({"node": {"purpose": "w{}s"}}, "node.purpose"),
    ({"node": {"style": {"mood_to": "w{}s"}}}, "node.style.mood_to"),
    ({"node": {"constraints": {"required_elements": ["w{}s"]}}}, "node.constraints.required_elements.0"),
    ({"scene_from": "w{}s"}, "scene_from.id"),
    ({"scene_to": {"id": "a", "title": "w{}s"}}, "scene_to.title"),
    ({"social": {"preferences": {"avoid_elements": ["w{}s"]}}}, "social.preferences.avoid_elements.0"),
]


@pytest.mark.parametrize("bad", ["\0", "\n", "\x1b", "\x7f", "\x9b", "\u2028", "\u202e", "\u2066"], ids=ascii)
@pytest.mark.parametrize(("fields", "place"), LABELS, ids=lambda each: each if isinstance(each, str) else "")
def test_no_label_has_a_control_character(fields, place, bad) -> None:
    sent = json.dumps({"prompt": "a forest", **fields}).replace("{}s", f"{json.dumps(bad)[1:-1]}s")
    said = told(sent.encode())
    assert said.startswith(place)
    assert said.isprintable()


@pytest.mark.parametrize(
    ("fields", "place"), LABELS[:5], ids=lambda each: each if isinstance(each, str) else ""
)
@pytest.mark.parametrize("good", ["é", "木", "\u200d", "👩\u200d🚀", " ", "'", "%"])
def test_a_label_has_any_other_character(fields, place, good) -> None:
    read(json.dumps({"prompt": "a plot", **fields}).replace("{}s", f"{good}s").encode(), "plot")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=100),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from([*request.GenerationRequest.model_fields, "a", "\x9b"]), inner, max_size=5
        )
    ),
    max_leaves=12,
)


@examples(150)
@given(
    st.dictionaries(st.sampled_from([*request.GenerationRequest.model_fields, "x"]), JSON_VALUES, max_size=6)
)
def test_a_refusal_is_short_and_can_be_printed(fields) -> None:
    try:
        read(json.dumps(fields).encode(), "layout")
        said = ""
    except RequestError as refused:
        said = str(refused)
    assert said.isprintable()
    assert len(said) <= request.MAX_REFUSAL
    assert said.count(" | ") <= request.MOST_ERRORS


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
