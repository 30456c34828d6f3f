"""What does a replay that succeeds do for the request that it repeats?"""

from __future__ import annotations

import msgspec
import pytest
from sqlalchemy import select

from contracts import events as ev
from contracts.result import Origin, Status
from infra.stores.database import GENERATIONS
from tests.pipeline.conftest import Configure, Observer, Start, rows

RULES = [
    {"match": {"request_id": "orig-*"}, "do": "refuse"},
    {"match": {"request_id": "*-9-*"}, "do": "refuse"},
]


async def test_a_replay_that_succeeds_revises_the_original(
    client: Observer, configure: Configure, start: Start
) -> None:
    settings = configure(rules=RULES)
    async with start(settings):
        original = await client.ask("orig-1", "scene")
        replay = await client.ask("rp-1-1", "scene", replay_of="orig-1")
        await client.ask("rp-1-1", "scene", replay_of="orig-1")
        await client.settled()

    assert original.status is Status.FAIL_FALLBACK
    assert (replay.status, replay.origin) == (Status.SUCCESS, Origin.SCRIPTED)
    assert replay.meta.replay_of == "orig-1"
    (revised,) = client.events("revised")
    assert revised.subject == "gen.revised.scene.orig-1"
    told = msgspec.json.decode(revised.body, type=ev.Revised)
    assert (told.request_id, told.revised_by) == ("orig-1", "rp-1-1")
    assert told.content == replay.content
    assert told.content_hash == replay.content_hash
    assert [one.subject for one in client.events("result")] == [
        "gen.result.scene.orig-1",
        "gen.result.scene.rp-1-1",
    ]
    lives = select(GENERATIONS).where(GENERATIONS.c.life_ms > 0)
    found = {row["request_id"]: row for row in rows(settings, lives)}
    assert found["orig-1"]["revised_by"] == "rp-1-1"
    assert found["orig-1"]["status"] == "fail_fallback"
    assert found["rp-1-1"]["replay_of"] == "orig-1"


@pytest.mark.parametrize("request_id", ["sh-1", "mine-1", "rp-9-1"], ids=["shadow", "plain", "failed"])
async def test_nothing_else_revises(
    client: Observer, configure: Configure, start: Start, request_id: str
) -> None:
    async with start(configure(rules=RULES)):
        await client.ask("orig-1")
        result = await client.ask(request_id, replay_of="orig-1")
        await client.settled()

    assert result.status is (Status.FAIL_FALLBACK if request_id == "rp-9-1" else Status.SUCCESS)
    assert result.meta.replay_of == "orig-1"
    assert client.events("revised") == []
    assert len(client.events("result")) == 2
