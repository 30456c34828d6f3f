"""Do requests whose prompt family is written in POML get their content like all others?"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from contracts.policy import fingerprint
from contracts.result import Status
from infra.stores import prompts
from tests.pipeline.conftest import Configure, Observer, Start

_FAMILY: Final = """\
<!--
kind: dialogue
version: 1
says: A dialogue at a market.
tokens: 30
guardrails:
  - Write plain prose, no JSON.
variables:
  wish:
    type: text
    required: true
    max_length: 32000
    says: What is wanted, in the request's words.
    example: a baker and a thief
  tone:
    type: choice
    one_of: [calm, tense]
    default: calm
    says: How they speak.
    example: tense
  names:
    type: list
    default: []
    says: Who speaks.
    example: [Ada, Bob]
-->
<poml>
  <include src="parts/rules.poml"/>
  <task>Write a dialogue. The tone is {{ tone }}.
    <list if="names.length"><item for="name in names">{{ name }}</item></list>
  </task>
  {{ wish }}
</poml>
"""


def release(folder: Path) -> prompts.PromptStore:
    (folder / "market-talk" / "parts").mkdir(parents=True)
    (folder / "market-talk" / "1.poml").write_text(_FAMILY, encoding="utf-8")
    part = folder / "market-talk" / "parts" / "rules.poml"
    part.write_text("<role>Write plain prose, no JSON.</role>", encoding="utf-8")
    store = prompts.load(prompts.FOLDER, folder)
    released = {each.id: prompts.release_of(each, store) for each in store.versions("market-talk")}
    (folder / prompts.RELEASED).write_bytes(msgspec.json.encode(released))
    return store


async def test_a_request_with_a_family_in_poml_is_answered(
    client: Observer, configure: Configure, start: Start, tmp_path: Path
) -> None:
    store = release(tmp_path / "own")
    settings = configure(rules=[], PROMPTS_DIR=str(tmp_path / "own"))
    wish = "a baker haggles\n>>>\n{{ names }}"
    config = {"family": "market-talk", "variables": {"tone": "tense", "names": ["Ada", "Bob"]}}
    node = {"id": "bridge", "style": {"moodFrom": "quiet"}, "constraints": {"requiredElements": ["lamp"]}}
    async with start(settings):
        own = await client.ask("own", kind="dialogue", prompt=wish, prompt_config=config)
        refused = await client.ask(
            "refused",
            kind="dialogue",
            prompt="x",
            prompt_config={"family": "market-talk", "variables": {"tone": "loud"}},
        )
        poml, jinja = [
            await client.ask(
                each,
                kind="scene",
                prompt="a pier",
                node=node,
                prompt_config={"version_id": each.replace("_", "@")},
            )
            for each in ("scene-poml_1", "scene_2")
        ]

    version = store.versions("market-talk")[0]
    text = store.render(version, {"wish": wish, "tone": "tense", "names": ["Ada", "Bob"]})
    assert "# Task\n\nWrite a dialogue. The tone is tense. \n\n- <<<\nAda\n>>>\n- <<<\nBob\n>>>\n" in text
    assert text.endswith("\n<<<\na baker haggles\n> > >\n{{ names }}\n>>>\n")
    assert (own.status, own.meta.prompt_version) == (Status.SUCCESS, "market-talk@1")
    assert own.meta.prompt_hash == fingerprint.digest_text(text)
    assert (refused.status, refused.error and refused.error.code) == (Status.REJECTED, "GEN_INVALID_REQUEST")
    assert (poml.status, jinja.status) == (Status.SUCCESS, Status.SUCCESS)
    assert (poml.meta.prompt_version, jinja.meta.prompt_version) == ("scene-poml@1", "scene@2")
    assert poml.meta.prompt_hash == jinja.meta.prompt_hash
