"""Is content without sense written again, and labelled where that does not help?"""

from __future__ import annotations

import json

from contracts.errors import ErrorCode
from contracts.result import Origin, Status
from tests.pipeline.conftest import Configure, Observer, Start

SCHEMA = {
    "type": "object",
    "properties": {"amount": {"type": "integer"}, "currency": {"type": "string"}},
    "required": ["amount", "currency"],
}
DEBRIS = json.dumps({"amount": 26, "currency": ":26}{"})
GOOD = json.dumps({"amount": 26, "currency": "crowns"})


async def test_a_document_without_sense_is_written_again_and_then_stood_in_for(
    client: Observer, configure: Configure, start: Start
) -> None:
    rules = [
        {
            "match": {"stage": "structuring", "request_id": "once-*", "attempt": 2},
            "do": "answer",
            "text": GOOD,
        },
        {"match": {"stage": "structuring"}, "do": "answer", "text": DEBRIS},
    ]
    async with start(configure(rules=rules)):
        once = await client.ask("once-1", "custom", schema=SCHEMA, prompt="a price of 26 crowns")
        never = await client.ask("never-1", "custom", schema=SCHEMA, prompt="a price of 26 crowns")
        await client.settled()

    assert (once.status, once.content) == (Status.SUCCESS, json.loads(GOOD))
    assert len(once.attempts) == 4
    assert once.meta.quality_reasons == ()
    assert "punctuation in place of text" in once.meta.warnings[0]
    assert (never.status, never.origin) == (Status.PLACEHOLDER, Origin.PLACEHOLDER)
    assert never.error is not None
    assert (never.error.code, never.error.stage) == (ErrorCode.GEN_QUALITY, "validate-repair")
    assert "currency: punctuation in place of text: ':26}{'" in (never.reason or "")
    assert len(client.events("context_built", "never-1")) == 2
    assert {letter.code for letter in client.letters()} == {ErrorCode.GEN_QUALITY}
