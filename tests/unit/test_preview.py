"""Preview: what would become of a request, by the functions of the stages."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from contracts import events as ev
from contracts.outcome import Emit
from contracts.request import RequestError
from infra.app import context_ports
from infra.app.preview import Preview, preview
from infra.authoring import preview_files
from infra.settings.settings import load
from tests.command_line import Ended, understudy

NOW_MS = 1_800_000_000_000
KINDS = ("layout", "plot", "scene", "dialogue", "transition", "custom")
MODEL_ON: Any = {"use_local_model": True, "narrative": {"providers": dict.fromkeys(KINDS, "scripted")}}
NODE: dict[str, Any] = {
    "generationType": "dialogue",
    "purpose": "adaptive",
    "strategy": "per_player",
    "seedSource": "player",
    "fallback": {"mode": "golden_sample"},
}
PLAYER = {"player_context": {"player_id": "p-7", "choices": {"lie": True}}}


def of(kind: str = "dialogue", *, settings: Any = None, **fields: Any) -> Preview:
    body = json.dumps({"prompt": "two guards at a door", **fields}).encode()
    return asyncio.run(preview(load(**(settings or {})), kind, body, now_ms=NOW_MS))


def test_everything_is_what_context_build_decides() -> None:
    fields = {"node": NODE, "tags": ["door"], "social": {"trust": 40}, **PLAYER}
    body = json.dumps({"prompt": "two guards at a door", **fields}).encode()
    outcome = context_ports.dry_run(load(**MODEL_ON), "dialogue", body, now_ms=NOW_MS)
    assert isinstance(outcome, Emit)
    built = outcome.events[-1]
    assert isinstance(built, ev.ContextBuilt)
    assert built.brief.slot is not None
    brief, found = built.brief, of(settings=MODEL_ON, **fields)
    assert (found.prompt, found.prompt_version, found.prompt_hash) == (
        brief.prompt, brief.prompt_version, brief.prompt_hash,
    )  # fmt: skip
    assert (found.seed, found.params, found.rating) == (brief.freeform.seed, brief.freeform, brief.rating)
    assert (found.cache_key, found.key, found.ttl_s) == (
        brief.cache_key, brief.slot.key, brief.slot.ttl_s
    )  # fmt: skip
    assert (found.seed_source, found.warnings) == ("player", built.trail.warnings)
    assert (found.verdict, found.providers) == ("model", ("scripted",))


def test_without_a_model_the_stand_in_is_the_answer() -> None:
    found = of("layout", tags=["forest"])
    stand_in = found.stand_in
    assert stand_in is not None
    assert (found.verdict, found.providers, found.error and found.error.stage) == (
        "stand_in", (), "freeform-gen"
    )  # fmt: skip
    assert (stand_in.status, stand_in.origin) == ("cached_fallback", "golden_sample")
    assert "USE_LOCAL_MODEL=false" in stand_in.reason
    assert stand_in.name in stand_in.candidates
    assert (stand_in.rating, stand_in.shared_tags) == ("sfw", ("forest",))
    assert stand_in.content["scene_name"]


def test_with_a_model_the_stand_in_is_that_of_the_deadline() -> None:
    found = of(settings=MODEL_ON, deadline_ms=7000)
    assert found.stand_in is not None
    assert (found.deadline_ms, found.stand_in.status) == (7000, "fail_fallback")
    assert found.stand_in.reason.startswith("GEN_TIMEOUT: no result within the deadline of 7000 ms")


@pytest.mark.parametrize(
    ("fallback", "status", "origin"),
    [
        ({"mode": "skip"}, "skipped", "none"),
        ({"mode": "placeholder"}, "placeholder", "placeholder"),
        ({"mode": "none"}, "failed", "none"),
        ({"mode": "retry", "retries": 2, "timeout_ms": 100, "then": "skip"}, "skipped", "none"),
        (
            {"mode": "default_content", "default_content_id": "transition_01"},
            "fail_fallback",
            "default_content",
        ),
    ],
)
def test_the_stand_in_follows_the_fallback_mode(fallback, status, origin) -> None:
    found = of("transition", settings=MODEL_ON, fallback=fallback).stand_in
    assert found is not None
    assert (found.status, found.origin, found.candidates) == (status, origin, ())


def test_a_disabled_node_is_answered_without_a_model() -> None:
    found = of(settings=MODEL_ON, node={**NODE, "enabled": False})
    assert found.error is not None
    assert (found.verdict, found.error.stage, found.prompt) == ("stand_in", "context-build", None)
    assert "`enabled: false` in its node" in found.error.message
    assert ("enabled", False, ("node",)) in [(each.field, each.value, each.set_by) for each in found.node]


def test_each_value_names_its_layers() -> None:
    found = of(
        "transition",
        template_id="romantic_to_action_transition_v1",
        node={"constraints": {"requiredElements": ["a lantern"]}},
        rules='IF player_choice.lie == true\nTHEN strategy = "once"\nINCLUDE "a lie"',
        fallback={"mode": "skip"},
        **PLAYER,
    )
    fields = {each.field: (each.value, each.set_by) for each in found.node}
    assert fields["style.mood_to"] == ("intense", ("template",))
    assert fields["strategy"] == ("once", ("rules, line 2",))
    assert fields["constraints.required_elements"] == (["a lantern", "a lie"], ("node", "rules, line 3"))
    assert fields["fallback.mode"] == ("skip", ("request",))
    assert fields["purpose"] == ("gap_fill", ("defaults",))


@pytest.mark.parametrize(
    ("fields", "source"),
    [
        ({"node": NODE, **PLAYER}, "player"),
        ({"node": NODE, "seed": 4, **PLAYER}, "request"),
        ({"node": NODE}, "request"),
        ({"node": {**NODE, "strategy": "always", "seedSource": "timestamp"}}, "timestamp"),
        ({}, "request"),
    ],
)
def test_the_seeds_source_is_named(fields, source) -> None:
    assert of(**fields).seed_source == source


def test_what_is_refused_at_intake_is_rejected() -> None:
    found = of(world="defalt")
    assert (found.verdict, found.stand_in, found.node) == ("rejected", None, ())
    assert found.error is not None
    assert "did you mean 'default'?" in found.error.message


def test_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(RequestError, match="kind: 'song' is unknown"):
        of("song")


@pytest.mark.parametrize(
    ("value", "is_node"),
    [
        ({"generationType": "layout"}, True),
        ({"generationType": "layout", "purpos": "x"}, True),
        ({"templateId": "x"}, True),
        ({"prompt": "x", "style": {}}, False),
        ({"promt": "x"}, False),
        ({"template_id": "x", "tags": ["a"]}, False),
        ({}, False),
        ([1], False),
    ],
)
def test_a_node_is_told_from_a_body(value, *, is_node: bool) -> None:
    assert preview_files.is_node(value) == is_node


def run(command: str, file: Path, *words: str) -> Ended:
    # No broker is there.
    environment = {"UNDERSTUDY_NATS_URL": "nats://127.0.0.1:9", "USE_LOCAL_MODEL": "false"}
    return understudy(command, str(file), *words, environment=environment)


@pytest.mark.parametrize(
    "text",
    [
        '{"generationType": "dialogue",\n "purpos": "adaptive", "strategy": "sometimes"}',
        "generationType: dialogue\nduration: {min: 9, max: 2}\n",
        '{"generationType": "dialogue",}',
    ],
)
@pytest.mark.parametrize("words", [(), ("--json",)])
def test_a_node_that_cannot_be_used_gets_the_errors_of_validate(tmp_path, text, words) -> None:
    file = tmp_path / "node"
    file.write_text(text, encoding="utf-8")
    wanted, found = run("validate", file, *words), run("preview", file, *words)
    assert (found.status, wanted.status) == (1, 1)
    if words:
        assert json.loads(found.out)["errors"] == json.loads(wanted.out)["errors"] != []
    else:
        errors = [[line for line in each.out.splitlines() if " error " in line] for each in (found, wanted)]
        assert errors[0] == errors[1] != []


def test_the_errors_of_a_bodys_node_have_their_place_in_the_body(tmp_path) -> None:
    file = tmp_path / "body.json"
    file.write_text('{"prompt": "x",\n "node": {"generationType": "dialogue",\n  "purpos": "adaptive"}}')
    found = run("preview", file)
    assert (found.status, found.err) == (1, "")
    assert f"{file}:3:3 error NOD002 node.purpos: there is no field 'purpos'" in found.out


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"promt": "x"}, 2, "promt: unknown field; did you mean prompt?"),
        ({"prompt": "x", "world": "defalt"}, 1, "did you mean 'default'?"),
        ([NODE, NODE], 2, "holds 2 nodes; a preview is of one"),
    ],
)
def test_other_faults_are_those_of_a_request(tmp_path, body, status, said) -> None:
    file = tmp_path / "body.json"
    file.write_text(json.dumps(body))
    found = run("preview", file)
    assert found.status == status
    assert said in found.out + found.err


def test_a_node_is_shown_with_its_prompt_and_stand_in(tmp_path) -> None:
    file = tmp_path / "node.json"
    file.write_text(json.dumps(NODE))
    found = run("preview", file, "--prompt", "two guards")
    assert (found.status, found.err.count("placeholder")) == (0, 0)
    for part in ("dialogue: no model is called", "seed_source", "two guards", "cached_fallback", "rated sfw"):
        assert part in found.out
    assert "the prompt is a placeholder" in run("preview", file).err
    shown = json.loads(run("preview", file, "--json").out)
    assert (shown["kind"], shown["verdict"], shown["stand_in"]["status"]) == (
        "dialogue", "stand_in", "cached_fallback"
    )  # fmt: skip
