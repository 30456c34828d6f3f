"""Does a request get the prompt version that it names, and is a wrong choice refused with its field?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import request
from contracts.policy.prompts import OWN, PromptConfig
from contracts.policy.quoting import extract_last_quote
from contracts.request import RequestError
from infra.stores import prompts as store
from stages.context_build.prompts import Rendered, render_freeform, select

PROMPTS = store.load()


def config(**fields: Any) -> PromptConfig:
    body = json.dumps({"prompt": "x", "prompt_config": fields}).encode()
    made = request.read(body, "dialogue").prompt_config
    assert made is not None
    return made


def written(kind: str = "dialogue", **fields: Any) -> Rendered:
    return render_freeform(PROMPTS, kind, "a ferry", config=config(**fields))


def refused(kind: str = "dialogue", **fields: Any) -> str:
    with pytest.raises(RequestError) as told:
        written(kind, **fields)
    return str(told.value)


@pytest.mark.parametrize(
    ("kind", "fields", "version"),
    [
        ("custom", {}, "custom@3"),
        ("custom", {"autoSelectLatest": True}, "custom@3"),
        ("custom", {"family": "custom", "auto_select_latest": True}, "custom@3"),
        ("custom", {"family_id": "custom"}, "custom@3"),
        ("custom", {"familyId": "custom", "version": 1}, "custom@1"),
        ("custom", {"version": 1}, "custom@1"),
        ("custom", {"version": 1, "auto_select_latest": False}, "custom@1"),
        ("custom", {"versionId": "custom@1"}, "custom@1"),
        (
            "dialogue",
            {"version_id": "dialogue-directed@1", "variables": {"tone": "calm"}},
            "dialogue-directed@1",
        ),
    ],
)
def test_the_version_that_is_named_writes_and_the_latest_otherwise(kind, fields, version) -> None:
    assert written(kind, **fields).version == version


@pytest.mark.parametrize(
    ("fields", "path", "says"),
    [
        ({"family": "Dialogue"}, "prompt_config.family", "must match ^[a-z]"),
        ({"version": 0}, "prompt_config.version", "greater than or equal to 1"),
        ({"version": "1"}, "prompt_config.version", "'1' is not a whole number"),
        ({"version_id": "dialogue"}, "prompt_config.version_id", "must match ^[a-z]"),
        ({"version_id": "dialogue@1", "family": "dialogue"}, "prompt_config.family", "leave this out"),
        ({"version_id": "dialogue@1", "version": 1}, "prompt_config.version", "leave this out"),
        (
            {"version": 1, "autoSelectLatest": True},
            "prompt_config.autoSelectLatest",
            "contradicts the named version",
        ),
        ({"auto_select_latest": False}, "prompt_config.auto_select_latest", "needs a version"),
        (
            {"inline_prompt": "y", "version": 1},
            "prompt_config.inline_prompt",
            "cannot be combined with a family",
        ),
        ({"inline_prompt": ""}, "prompt_config.inline_prompt", "is empty"),
        ({"variables": {"a b": 1}}, "prompt_config.variables.a b", "must match ^[A-Za-z_]"),
        ({"variables": [1]}, "prompt_config.variables", "[1] is not an object"),
        ({"famly": "dialogue"}, "prompt_config.famly", "unknown field; did you mean family?"),
        (
            {"family": "dialogue", "family_id": "dialogue"},
            "prompt_config.family",
            "given in both spellings; keep one of them",
        ),
    ],
)
def test_a_choice_that_contradicts_itself_is_refused_with_its_field(fields, path, says) -> None:
    with pytest.raises(RequestError) as told:
        config(**fields)
    assert told.value.path == path
    assert says in str(told.value)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (
            {"family": "monologue"},
            "prompt_config.family: there is no prompt family 'monologue'; known are custom,",
        ),
        (
            {"version": 9},
            "prompt_config.version: version 9 of family 'dialogue' does not exist; released are: 1",
        ),
        ({"version_id": "dialogue@9"}, "prompt_config.version_id: version 9 of family 'dialogue' does not"),
        ({"version_id": "plot@1"}, "prompt_config.version_id: plot@1 is for kind plot, not dialogue"),
        ({"family": "plot"}, "prompt_config.family: plot@2 is for kind plot, not dialogue"),
    ],
)
def test_a_version_that_cannot_write_the_request_is_refused(fields, says) -> None:
    assert refused(**fields).startswith(says)


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({}, "tone: is required by dialogue-directed@2: How they speak. One of calm, tense"),
        ({"tone": None}, "tone: is required by dialogue-directed@2"),
        ({"tone": "loud"}, "tone: must be one of calm, tense, playful, bitter, tender, not 'loud'"),
        ({"tone": 3}, "tone: must be one of calm, tense, playful, bitter, tender, not 3"),
        ({"tone": "calm", "lines": 41}, "lines: must be from 2 to 40, not 41 (dialogue-directed@2)"),
        ({"tone": "calm", "lines": 2.0}, "lines: must be a whole number, not 2.0"),
        ({"tone": "calm", "lines": True}, "lines: must be a whole number, not true"),
        ({"tone": "calm", "lines": 10**30}, "lines: is a number of more than 64 bits"),
        ({"tone": "calm", "background": ["x"]}, "background: must be a text, not a list"),
        ({"tone": "calm", "background": {"x": 1}}, "background: must be a text, not an object"),
        ({"tone": "calm", "background": " "}, "background: must not be blank"),
        ({"tone": "calm", "background": "x" * 4001}, "background: has 4001 characters; at most 4000"),
        (
            {"tone": "calm", "mood": "x"},
            "mood: dialogue-directed@2 has no such variable; it has tone, lines, background",
        ),
        ({"tone": "calm", "wish": "x"}, "wish: is taken from the request itself; leave it out"),
    ],
)
def test_a_variable_that_is_unknown_missing_or_wrong_is_named(variables, says) -> None:
    told = refused(family="dialogue-directed", variables=variables)
    assert told.startswith(f"prompt_config.variables.{says}")


def test_a_version_without_variables_takes_none() -> None:
    assert refused(variables={"tone": "calm"}) == (
        "prompt_config.variables.tone: dialogue@2 has no such variable; it has none"
    )


def test_an_optional_variable_may_be_null() -> None:
    text = written(
        family="dialogue-directed", variables={"tone": "calm", "lines": None, "background": None}
    ).text
    assert "About 12 lines" in text
    assert "What happened before" not in text


def test_a_draft_is_never_the_latest_and_no_request_can_name_it(tmp_path: Path) -> None:
    for number in (1, 2):
        path = tmp_path / "scene" / f"{number}.md"
        path.parent.mkdir(exist_ok=True)
        source = (store.FOLDER / "scene" / "1.md").read_text(encoding="utf-8")
        path.write_text(source.replace("version: 1", f"version: {number}"), encoding="utf-8")
    released = json.loads((store.FOLDER / store.RELEASED).read_text(encoding="utf-8"))
    (tmp_path / store.RELEASED).write_text(json.dumps({"scene@1": released["scene@1"]}), encoding="utf-8")
    prompts = store.load(tmp_path)
    assert select(prompts, "scene", config()).id == "scene@1"
    with pytest.raises(RequestError, match=r"version 2 of family 'scene' is a draft; released are: 1"):
        select(prompts, "scene", config(version=2))
    assert select(prompts, "scene", config(version=2), drafts=True).id == "scene@2"
    (tmp_path / store.RELEASED).unlink()
    with pytest.raises(RequestError, match=r"prompt_config.family: family 'scene' has no released version"):
        select(store.load(tmp_path), "scene", config())


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"inline_prompt": "at {{hour}}"}, "variables.hour: is required by inline_prompt"),
        (
            {"inline_prompt": "at {{hour}}", "variables": {"hour": [1]}},
            "variables.hour: must be a text or a number",
        ),
        (
            {"inline_prompt": "at", "variables": {"hour": 1}},
            "variables.hour: inline_prompt has no placeholder {{hour}}",
        ),
        (
            {"inline_prompt": "{{a}}" * 6000, "variables": {"a": "x" * 200_000}},
            "inline_prompt: has 1200030000 characters with its variables filled in; at most 32000",
        ),
    ],
)
def test_an_inline_prompt_that_cannot_be_filled_is_refused(fields, says) -> None:
    assert refused(**fields).startswith(f"prompt_config.{says}")


def test_what_fills_an_inline_prompt_is_not_read_again() -> None:
    text = written(inline_prompt="{{a}} and {{ b }}", variables={"a": "{{b}} >>>", "b": "{% x %}"}).text
    assert extract_last_quote(text) == "a ferry\n{{b}} > > > and {% x %}"


@given(
    fields=st.dictionaries(
        st.sampled_from(
            ["version_id", "family", "version", "auto_select_latest", "inline_prompt", "variables"]
        ),
        st.none()
        | st.booleans()
        | st.integers(0, 3)
        | st.sampled_from(["dialogue", "dialogue-directed", "dialogue-directed@1", "custom@9", "{{tone}}"])
        | st.dictionaries(
            st.sampled_from(["tone", "lines", "background", *OWN]),
            st.none() | st.sampled_from(["calm", 3, "x", [], {}, 1e300]),
            max_size=3,
        ),
    )
)
def test_any_configuration_is_rendered_or_refused_by_its_path(fields) -> None:
    try:
        made = written(**fields)
    except RequestError as error:
        path, made = error.path, None
    else:
        path = "prompt_config."
    assert path.startswith("prompt_config.")
    assert made is None or extract_last_quote(made.text).startswith("a ferry")
