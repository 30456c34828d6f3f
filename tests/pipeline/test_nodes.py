"""Is a node checked before anything is generated, and does its result say what was not followed?"""

from __future__ import annotations

from contracts.errors import ErrorCode
from contracts.result import Origin, Status
from tests.pipeline.conftest import Configure, Observer, Start

NODE = {
    "generationType": "transition",
    "purpose": "gap_fill",
    "style": {"moodFrom": "calm", "moodTo": "tense", "pacing": "slow", "transitionType": "gradual"},
    "duration": {"min": 1, "max": 30, "target": 1},
    "strategy": "per_playthrough",
    "seedSource": "playthrough",
    "fallback": {"mode": "default_content", "defaultContentId": "transition_01"},
}


async def test_a_nodes_errors_reject_its_warnings_travel_and_its_fallback_is_followed(
    client: Observer, configure: Configure, start: Start
) -> None:
    contradiction = {"requiredElements": ["phone_ring"], "avoidElements": ["phone"]}
    refuse = {"match": {"stage": "freeform-gen", "request_id": "away-1"}, "do": "refuse"}
    async with start(configure(rules=[refuse])):
        good = await client.ask("good-1", "transition", node=NODE)
        bad = await client.ask("bad-1", "transition", node=NODE | {"constraints": contradiction})
        away = await client.ask("away-1", "transition", node=NODE)
        off = await client.ask("off-1", "transition", node=NODE | {"enabled": False})
        await client.settled()

    assert good.status is Status.SUCCESS
    assert [line for line in good.meta.warnings if "DUR004 duration.target" in line]
    assert (bad.status, bad.attempts) == (Status.REJECTED, ())
    assert "node.constraints.requiredElements.0: CON001 'phone_ring' is required" in (bad.reason or "")
    assert (away.status, away.origin) == (Status.FAIL_FALLBACK, Origin.DEFAULT_CONTENT)
    assert [line for line in away.meta.warnings if "DUR004 duration.target" in line]
    assert (off.status, off.origin, off.attempts) == (Status.CACHED_FALLBACK, Origin.DEFAULT_CONTENT, ())
    assert off.error is not None
    assert off.error.code is ErrorCode.GEN_PROVIDER_DISABLED
    assert [line for line in off.meta.warnings if "ENA001" in line]
