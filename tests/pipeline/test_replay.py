"""What does a replay that succeeds do for the request that it repeats?"""

from __future__ import annotations

import msgspec
import pytest
from sqlalchemy import select

from contracts import events as ev
from contracts.result import Origin, Status
from contracts.revisions import UNCONFIRMED
from infra.nats.multiplexer import RequestMultiplexer
from infra.nats.submissions import Submission
from infra.replay import marks, publishing
from infra.stores.database import GENERATIONS
from tests.pipeline.conftest import Configure, Observer, Start, rows
from tests.pipeline.replays import TIME, letter_about, prepare, replay

RULES = [
    {"match": {"request_id": "orig-*"}, "do": "refuse"},
    {"match": {"request_id": "rp-999-*"}, "do": "refuse"},
]


async def fail(client: Observer, request_id: str, kind: str = "scene") -> tuple[ev.Result, int]:
    """A request that failed, and the letter about it."""
    result = await client.ask(request_id, kind)
    return result, await letter_about(client, request_id, kind)


async def test_a_replay_that_succeeds_revises_the_original(
    client: Observer, configure: Configure, start: Start
) -> None:
    settings = configure(rules=RULES)
    async with start(settings):
        original, letter = await fail(client, "orig-1")
        planned = await replay(client, letter)
        replayed = await client.result(planned.request_id)
        await client.settled()

    assert planned.request_id == f"rp-{letter}-1"
    assert original.status is Status.FAIL_FALLBACK
    assert (replayed.status, replayed.origin) == (Status.SUCCESS, Origin.SCRIPTED)
    assert replayed.meta.replay_of == "orig-1"
    assert UNCONFIRMED not in replayed.meta.warnings
    (revised,) = client.events("revised")
    assert revised.subject == "gen.revised.scene.orig-1"
    told = msgspec.json.decode(revised.body, type=ev.Revised)
    assert (told.request_id, told.revised_by) == ("orig-1", planned.request_id)
    assert told.content == replayed.content
    assert told.content_hash == replayed.content_hash
    assert [one.subject for one in client.events("result")] == [
        "gen.result.scene.orig-1",
        f"gen.result.scene.{planned.request_id}",
    ]
    lives = select(GENERATIONS).where(GENERATIONS.c.life_ms > 0)
    found = {row["request_id"]: row for row in rows(settings, lives)}
    assert found["orig-1"]["revised_by"] == planned.request_id
    assert found["orig-1"]["status"] == "fail_fallback"
    assert found[planned.request_id]["replay_of"] == "orig-1"


@pytest.mark.parametrize("claimed", ["of-another", "first", "without"])
async def test_nobody_revises_a_strangers_request(
    client: Observer, configure: Configure, start: Start, claimed: str
) -> None:
    """With a mark of another body, before the tool, and without any."""
    async with start(configure(rules=RULES)):
        _, letter = await fail(client, "orig-1")
        forged = f"rp-{letter}-1"
        if claimed == "of-another":
            wire = RequestMultiplexer()
            await wire.open(client.nc)
            ready = await prepare(wire, letter)
            await marks.leave(
                wire, [marks.build(ready.request_id, letter=letter, replay_of="orig-1", body=ready.body)]
            )
            await wire.close()
        result = await client.ask(
            forged if claimed != "without" else "rp-x", "scene", prompt="a lie", replay_of="orig-1"
        )
        if claimed == "first":
            wire = RequestMultiplexer()
            await wire.open(client.nc)
            said = await publishing.publish(wire, [await prepare(wire, letter)], time=TIME)
            await wire.close()
            assert said == [Submission.TAKEN]
        await client.settled()

    assert result.status is Status.SUCCESS
    assert UNCONFIRMED in result.meta.warnings
    assert client.events("revised") == []
    assert len(client.events("result")) == 2


@pytest.mark.parametrize("request_id", ["sh-1", "plain", "rp-999-1"])
async def test_nothing_else_revises(
    client: Observer, configure: Configure, start: Start, request_id: str
) -> None:
    async with start(configure(rules=RULES)):
        await client.ask("orig-1")
        result = await client.ask(request_id, replay_of="orig-1", shadow=request_id == "sh-1")
        await client.settled()

    # Only an operator starts a shadow.
    statuses = {"sh-1": Status.REJECTED, "rp-999-1": Status.FAIL_FALLBACK, "plain": Status.SUCCESS}
    assert result.status is statuses[request_id]
    assert result.meta.replay_of == (None if request_id == "sh-1" else "orig-1")
    assert client.events("revised") == []
    assert len(client.events("result") + client.events("shadowed")) == 2
    assert len(client.events("shadowed")) == (request_id == "sh-1")
