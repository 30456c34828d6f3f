"""Do a template, rules and a player's choices reach a result that honours them, and does `why` name the rule?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from contracts.result import Origin, Status
from infra.app.pipeline_client import PipelineClient
from infra.inspect import timeline
from infra.nats import log
from infra.stores import templates
from tests.pipeline.conftest import Configure, Observer, Start
from tests.unit.test_layering import ACCEPTED, FIRST, RULES

PROSE = (
    "The phone rings: a phone ring that ends the evening. The kiss callback is a hand on her lips; she runs."
)
DOCUMENT = {
    "mood_from": "romantic",
    "mood_to": "determined",
    "pacing": "fast",
    "transition_type": "gradual",
    "duration_s": 30,
    "elements": ["phone_ring", "kiss_callback"],
    "beats": [{"purpose": "Go.", "text": "She runs."}],
    "text": PROSE,
}


def answer(stage: str, text: str, request_id: str = "*") -> dict[str, Any]:
    return {"match": {"stage": stage, "request_id": request_id}, "do": "answer", "text": text}


async def test_the_first_template_and_the_rule_example_run_to_a_result_that_honours_them(
    client: Observer, configure: Configure, start: Start
) -> None:
    violent = PROSE + " Then comes violence."
    script = [
        answer("freeform-gen", violent, "avoided-1"),
        answer("freeform-gen", PROSE),
        answer("structuring", json.dumps(DOCUMENT)),
    ]
    asked = {"template_id": FIRST, "rules": RULES, "player_context": ACCEPTED, "deadline_ms": 30_000}
    settings = configure(rules=script)
    async with start(settings):
        good = await client.ask("good-1", "transition", **asked)
        avoided = await client.ask("avoided-1", "transition", **asked)
        wrong = await client.ask("wrong-1", "transition", **asked | {"rules": "PACING fast\nAVOID phone"})
        unknown = await client.ask("unknown-1", "transition", **asked | {"template_id": "romantic_to_acton"})
        await client.settled()

        async with PipelineClient(settings) as reader:
            told = timeline.build("good-1", await log.of_request(reader.wire, "good-1"))

    assert (good.status, good.origin, good.content["mood_to"]) == (
        Status.SUCCESS,
        Origin.SCRIPTED,
        "determined",
    )
    (built,) = client.events("context_built", "good-1")
    assert "mood to: determined\npacing: fast\n" in built.json()["brief"]["prompt"]
    assert "duration in seconds: 20-40, target 30\n" in built.json()["brief"]["prompt"]
    # The template's strategy counts.
    assert [line for line in good.meta.warnings if line.startswith("strategy per_playthrough needs")]
    assert good.meta.cache_key is None

    assert told is not None
    by = {(each.field, each.by, each.line): each.value for each in told.decided}
    assert by["style.mood_to", "rules", 2] == "determined"
    assert by["duration.target", "rules", 6] == 30
    assert by["style.mood_from", "template", None] == "romantic"

    # What a rule or template avoids is checked, and the template's fallback answers.
    assert (avoided.status, avoided.origin) == (Status.FAIL_FALLBACK, Origin.DEFAULT_CONTENT)
    assert avoided.stand_in is not None
    assert avoided.stand_in.name == "transition_01.json"
    assert "element 'violence' must not appear" in (avoided.reason or "")

    assert (wrong.status, wrong.attempts) == (Status.REJECTED, ())
    assert "rules line 2, constraints.requiredElements.0: CON001" in (wrong.reason or "")
    assert unknown.status is Status.REJECTED
    assert f"template_id: there is no template 'romantic_to_acton'; did you mean {FIRST!r}?" in (
        unknown.reason or ""
    )


async def test_a_template_that_is_lost_while_stages_run_is_a_golden_sample_with_that_reason(
    client: Observer, configure: Configure, start: Start, tmp_path: Path
) -> None:
    folder = tmp_path / "templates"
    folder.mkdir()
    file = folder / f"{FIRST}.json"
    file.write_bytes((templates.FOLDER / file.name).read_bytes())
    async with start(configure(rules=[], TEMPLATES_DIR=str(folder))):
        file.unlink()
        lost = await client.ask("lost-1", "transition", template_id=FIRST)
        await client.settled()
    assert (lost.status, lost.origin) == (Status.FAIL_FALLBACK, Origin.GOLDEN_SAMPLE)
    assert f"template {FIRST!r} is missing: its file existed at the start; restore it; golden sample" in (
        lost.reason or ""
    )
