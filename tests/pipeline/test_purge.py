"""Does a purge leave nothing of a person anywhere, and everything of all others?"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from contracts import bucket_table, pipeline
from contracts.ownership import PurgeScope, ScopeKind
from contracts.result import Status
from infra.nats import log
from infra.nats.embedded import Embedded
from infra.nats.multiplexer import RequestMultiplexer
from infra.purge.purge import Purged, StillRunning, purge
from infra.settings.settings import Settings
from infra.stores import database
from infra.stores.access_tables import ACCESS_TOKENS, CHANGES
from infra.stores.access_tokens import StoredToken, add_token
from infra.stores.database import METADATA
from tests.broker.audit_fixtures import database_url, postgres
from tests.pipeline.conftest import Configure, Observer, Start, rows
from tests.pipeline.replays import letter_about, mark
from tests.pipeline.test_scenes import rules as plots

__all__ = ["database_url", "postgres"]

STREAMS = (
    pipeline.REQUESTS,
    pipeline.EVENTS,
    pipeline.DEAD,
    *(bucket.stream for bucket in bucket_table.BUCKETS),
)
NODE = {"id": "n1", "strategy": "per_player", "version": 1}


class Person:
    """Somebody, whose marker is in everything that is theirs."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.marker = f"zq{uuid.uuid4().hex}"
        self.player = f"player-{self.marker}"
        self.workspace = f"space-{self.marker}"

    def fields(self, **more: Any) -> dict[str, Any]:
        return {
            "prompt": f"a forest where {self.marker} lives",
            "workspace": self.workspace,
            "player_context": {"player_id": self.player, "choices": {self.marker: [self.marker]}},
            **more,
        }

    def id(self, what: str) -> str:
        return f"{self.name}-{what}"

    async def ask_once(self, client: Observer) -> None:
        """One request and its shadow."""
        done = await client.ask(self.id("one"), "layout", **self.fields())
        assert done.status is Status.SUCCESS
        body = msgspec.json.encode(
            self.fields(replay_of=self.id("one"), shadow=True, workspace=None, player_context=None)
        )
        await mark(client, f"sh-{self.name}", replay_of=self.id("one"), body=body)
        await client.publish(f"gen.requested.layout.sh-{self.name}", body)
        await client.result(f"sh-{self.name}")

    async def live(self, client: Observer) -> None:
        """Everything that a person can leave behind."""
        await self.ask_once(client)
        for what in ("cached", "again"):
            await client.ask(self.id(what), "layout", **self.fields(node=NODE))
        await client.ask(self.id("plot"), "plot", **self.fields(scenes=True))
        properties = {self.marker: {"type": "string"}}
        await client.ask(
            self.id("custom"), "custom", **self.fields(schema={"type": "object", "properties": properties})
        )
        refused = await client.ask(self.id("refused"), "layout", **self.fields(**{self.marker: 1}))
        assert refused.status is Status.REJECTED
        # Too large for a message: its letter refers to an object.
        await client.ask(self.id("large"), "layout", **self.fields(rules="x" * 600_000))
        await letter_about(client, self.id("one"), "layout")


def places(marker: str, *folders: Path) -> list[str]:
    """Files that have a marker anywhere in them."""
    needle = marker.encode()
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    return [str(file) for file in files if needle in file.read_bytes()]


async def stored(client: Observer, marker: str) -> set[tuple[str, int, str, bytes]]:
    """Every message with a marker in its body or subject."""
    wire = RequestMultiplexer()
    await wire.open(client.nc)
    found = {
        (stream, entry.sequence, entry.subject, entry.body)
        for stream in STREAMS
        async for entry in log.read(wire, stream, ">")
        if marker.encode() in entry.body or marker in entry.subject
    }
    await wire.close()
    return found


def kept_rows(settings: Settings, marker: str) -> list[str]:
    """Every row with a marker."""
    return sorted(
        f"{table.name}: {row}"
        for table in METADATA.sorted_tables
        for row in rows(settings, select(table))
        if marker in str(row)
    )


async def remove(client: Observer, settings: Settings, kind: ScopeKind, value: str, **more: Any) -> Purged:
    wire = RequestMultiplexer()
    await wire.open(client.nc)
    engine = database.engine_of(settings.database)
    try:
        return await purge(wire, engine, PurgeScope(kind=kind, value=value), **more)
    finally:
        engine.dispose()
        await wire.close()


@pytest.mark.parametrize("scope", list(ScopeKind))
async def test_nothing_of_a_person_is_left(
    scope: ScopeKind,
    database_url: str,
    client: Observer,
    start: Start,
    configure: Configure,
    tmp_path: Path,
    _server: Embedded,  # noqa: PT019 - its files are searched
) -> None:
    mine, other = Person("mine"), Person("other")
    settings = configure(plots(beats=2), DATABASE_URL=database_url)
    async with start(settings) as application:
        await other.live(client)
        await (mine.ask_once(client) if scope is ScopeKind.ID else mine.live(client))
        await client.settled()
        engine = database.engine_of(settings.database)
        for each in (mine, other):
            token = StoredToken(
                token_id=each.name,
                secret_hash="",
                name=each.marker if scope is ScopeKind.WORKSPACE or each is other else "mine",
                role="client",
                workspace=each.workspace if scope is ScopeKind.WORKSPACE or each is other else None,
                created_ms=1,
            )
            add_token(engine, token)
        engine.dispose()
        theirs, their_rows = await stored(client, other.marker), kept_rows(settings, other.marker)
        assert await stored(client, mine.marker)
        assert their_rows
        value = {
            ScopeKind.ID: mine.id("one"),
            ScopeKind.PLAYER: mine.player,
            ScopeKind.WORKSPACE: mine.workspace,
        }[scope]
        counted = await remove(client, settings, scope, value, dry_run=True)
        assert await stored(client, mine.marker)
        done = await remove(client, settings, scope, value)
        assert done.removed == counted.removed
        assert done.running == 0
        assert await stored(client, mine.marker) == set()
        assert kept_rows(settings, mine.marker) == []
        assert await stored(client, other.marker) == theirs
        assert kept_rows(settings, other.marker) == their_rows
        assert len(application.adapters.responses) == 0
        assert len(application.adapters.cache.memory) == 0
        (change,) = rows(settings, select(CHANGES).where(CHANGES.c.action == "purge"))
        assert change["target"].startswith(f"{scope}:sha256:")
        left = {each["token_id"] for each in rows(settings, select(ACCESS_TOKENS))}
        assert left == ({"other"} if scope is ScopeKind.WORKSPACE else {"mine", "other"})
    assert places(mine.marker, _server.log.parent, tmp_path) == []
    assert places(other.marker, _server.log.parent)


async def test_what_runs_is_cancelled_first(client: Observer, start: Start, configure: Configure) -> None:
    mine, other = Person("mine"), Person("other")
    slow = {"match": {"request_id": mine.id("one")}, "do": "slow", "after_ms": 60_000}
    settings = configure([slow])
    async with start(settings):
        await client.publish(f"gen.requested.layout.{mine.id('one')}", msgspec.json.encode(mine.fields()))
        await client.until(lambda: bool(client.events("context_built", mine.id("one"))))
        await client.publish(f"gen.requested.layout.{other.id('one')}", msgspec.json.encode(other.fields()))
        done = await remove(client, settings, ScopeKind.PLAYER, mine.player)
        assert done.running == 1
        assert client.events("result", mine.id("one"))
        assert (await client.result(other.id("one"))).status is Status.SUCCESS
        assert await stored(client, mine.marker) == set()


async def test_without_stages_what_runs_is_refused(
    client: Observer, start: Start, configure: Configure
) -> None:
    mine = Person("mine")
    settings = configure()
    async with start(settings, ("audit",)):
        await client.publish(f"gen.requested.layout.{mine.id('one')}", msgspec.json.encode(mine.fields()))
        before = await stored(client, mine.marker)
        with pytest.raises(StillRunning, match="start the pipeline"):
            await remove(client, settings, ScopeKind.PLAYER, mine.player, answer_s=0.3)
        assert await stored(client, mine.marker) == before
