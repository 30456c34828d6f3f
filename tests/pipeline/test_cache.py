"""Result cache in the pipeline: hits, purges, counts, replays and a restart of everything."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner
from understudy_client import Result
from understudy_client.connection import flushed

from contracts import events as ev
from contracts.result import Origin, Status
from infra.app.pipeline_client import PipelineClient
from infra.cli.app import app
from infra.nats import topology
from infra.nats.embedded import Embedded
from infra.nats.multiplexer import RequestMultiplexer
from infra.settings.settings import load
from infra.stores import cache_listing
from infra.stores.cache_listing import CacheFilter, ListedEntry
from tests.pipeline.conftest import PATIENCE_S, Configure, Observer, Start, running
from tests.pipeline.replays import letter_about, mark
from tests.pipeline.replays import replay as replayed

STAGES = ("context-build", "freeform-gen", "structuring", "validate-repair", "fallback")
NODE: dict[str, Any] = {
    "id": "n1",
    "generationType": "transition",
    "purpose": "gap_fill",
    "style": {"moodFrom": "calm", "moodTo": "tense", "pacing": "slow", "transitionType": "gradual"},
    "duration": {"min": 10, "max": 30, "target": 20},
    "strategy": "per_playthrough",
    "seedSource": "playthrough",
    "fallback": {"mode": "golden_sample"},
}
PLAYER = {"playerId": "ada", "playthroughId": "p-1"}


async def ask(
    client: Observer, request_id: str, *, player: dict[str, Any] | None = None, **fields: Any
) -> ev.Result:
    node = NODE | fields.pop("node", {})
    return await client.ask(request_id, "transition", node=node, player_context=player or PLAYER, **fields)


async def shadowed(client: Observer, request_id: str, original: str, *, marked: bool) -> ev.Result:
    """The result of a shadow, which an operator started, or which only says so."""
    said = {
        "prompt": "a forest",
        "node": NODE,
        "player_context": PLAYER,
        "replay_of": original,
        "shadow": True,
    }
    body = msgspec.json.encode(said)
    if marked:
        await mark(client, request_id, replay_of=original, body=body)
    await client.publish(f"gen.requested.transition.{request_id}", body)
    return await client.result(request_id)


async def entries(client: Observer, wanted: CacheFilter | None = None) -> list[ListedEntry]:
    wire = RequestMultiplexer()
    await wire.open(client.nc)
    try:
        return [item async for item in cache_listing.items(wire, wanted or CacheFilter())]
    finally:
        await wire.close()


async def command(*words: str) -> Any:
    """What the command line prints as JSON."""
    done = await asyncio.to_thread(CliRunner().invoke, app, [*words, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


async def test_the_same_playthrough_gets_the_same_and_a_raised_version_something_else(
    client: Observer, configure: Configure, start: Start
) -> None:
    async with start(configure(rules=[]), STAGES):
        first = await ask(client, "first")
        again = await ask(client, "again")
        other = await ask(client, "other", player=PLAYER | {"playthroughId": "p-2"})
        raised = await ask(client, "raised", node={"version": 2})
        found = await entries(client)

    assert (first.status, first.origin) == (Status.SUCCESS, Origin.SCRIPTED)
    assert first.meta.cache_key == "transition|gap_fill|||per_playthrough|pt:p-1|1"
    assert (again.status, again.origin, again.attempts) == (Status.CACHED, Origin.CACHE, ())
    assert again.meta.generated_for == "first"
    assert (again.meta.cache_key, again.meta.seed) == (first.meta.cache_key, first.meta.seed)
    assert (again.content, again.content_hash) == (first.content, first.content_hash)
    assert [other.status, raised.status] == [Status.SUCCESS] * 2
    assert len({one.meta.seed for one in (first, other, raised)}) == 3
    assert len({one.content_hash for one in (first, other, raised)}) == 3
    assert len(client.events("drafted")) == 3
    lives_s = [
        round((item.entry.expires_at_ms - item.entry.created_at_ms) / 1000) for item in found if item.entry
    ]
    assert lives_s == [90 * 86_400] * 3


async def test_stand_ins_are_never_kept_and_a_replay_that_succeeds_is(
    client: Observer, configure: Configure, start: Start
) -> None:
    refuse = {"match": {"request_id": "orig-*"}, "do": "refuse"}
    async with start(configure(rules=[refuse]), STAGES):
        original = await ask(client, "orig-1")
        nothing = await entries(client)
        shadow = await shadowed(client, "sh-1", "orig-1", marked=True)
        nothing += await entries(client)
        claimed = await shadowed(client, "sh-2", "orig-1", marked=False)
        letter = await letter_about(client, "orig-1", "transition")
        first = (await replayed(client, letter)).request_id
        replay = await client.result(first)
        later = await ask(client, "orig-2")
        again = await client.result((await replayed(client, letter, number=2)).request_id)

    assert (shadow.status, claimed.status) == (Status.SUCCESS, Status.REJECTED)
    assert (original.status, nothing) == (Status.FAIL_FALLBACK, [])
    assert replay.status is Status.SUCCESS
    assert len(client.events("revised")) == 2
    assert (later.status, later.meta.generated_for) == (Status.CACHED, first)
    assert later.content == replay.content
    # A replay wants to see what comes of it today.
    assert again.status is Status.SUCCESS


async def test_what_is_purged_is_generated_again_also_where_it_is_in_memory(
    client: Observer, configure: Configure, start: Start
) -> None:
    async with start(configure(rules=[]), STAGES):
        await ask(client, "first")
        await ask(client, "other", node={"id": "n2", "version": 2})
        hit = await ask(client, "hit")
        dry = await command("cache", "purge", "--node", "n1", "--dry-run")
        listed = await command("cache", "ls")
        gone = await command("cache", "purge", "transition|gap_fill|||per_playthrough|pt:p-1|1")
        (left,) = await command("cache", "ls")
        again = await ask(client, "again")
        kept = await ask(client, "kept", node={"id": "n2", "version": 2})
        shown = await command("cache", "show", left["key"])
        rest = await command("cache", "purge", "--version", "2")
        await flushed(client.nc)

    assert hit.status is Status.CACHED
    assert [one["node"] for one in listed] == ["n1", "n2"]
    assert (dry["removed"], dry["keys"]) == (0, [listed[0]["key"]])
    assert gone == {"removed": 1, "keys": [listed[0]["key"]]}
    assert left["cache_key"] == "transition|gap_fill|||per_playthrough|pt:p-1|2"
    assert (again.status, again.meta.cost.tokens == hit.meta.cost.tokens) == (Status.SUCCESS, False)
    assert kept.status is Status.CACHED
    assert shown["entry"]["content"] == kept.content
    assert rest["removed"] == 1


async def test_requests_are_counted_by_where_their_content_came_from(
    client: Observer, configure: Configure, start: Start
) -> None:
    settings = configure(rules=[])
    async with start(settings, STAGES):
        await ask(client, "first")
        await ask(client, "memory")
    async with start(settings, STAGES):
        await ask(client, "shared")
    counted = await command("cache", "stats")

    assert (counted["entries"], counted["by_strategy"]) == (1, {"per_playthrough": 1})
    names = ("led", "stored", "memory", "shared", "followed")
    assert [counted["counts"][name] for name in names] == [1, 1, 1, 1, 0]
    assert counted["hit_rate"] == pytest.approx(2 / 3)


async def test_what_is_kept_survives_a_restart_of_everything(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    configure(rules=[])
    body = msgspec.json.encode({"prompt": "a bridge", "node": NODE, "player_context": PLAYER})
    answers: list[Result] = []
    for request_id in ("before", "after"):
        async with Embedded(tmp_path / "own", sync_interval="always") as broker:
            monkeypatch.setenv("UNDERSTUDY_NATS_URL", broker.url)
            settings = load()
            await topology.apply_at(broker.url, settings)
            async with running(settings, STAGES), PipelineClient(broker.url) as asking:
                answers.append(
                    await asking.ask("transition", body=body, request_id=request_id, timeout_s=PATIENCE_S)
                )

    before, after = answers
    assert (before.status, after.status) == (Status.SUCCESS, Status.CACHED)
    assert (after.content, after.meta.generated_for) == (before.content, "before")
