"""A cluster of three that loses a server: no request is lost, and none is published twice."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from nats import errors as nats_errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js import errors as js_errors

from contracts import pipeline
from contracts.errors import Unavailable
from infra.nats import cluster as clusters
from infra.nats import topology
from infra.nats.cluster import NODES, LocalCluster
from infra.settings.settings import Settings, load
from tests.broker.conftest import connect
from tests.broker.servers import until_read
from tests.broker.test_traps import Scene
from tests.broker.trapped import STAGE, ours


async def test_the_leaders_server_dies_while_requests_are_worked_on(tmp_path: Path) -> None:
    before = [f"before-{number}" for number in range(20)]
    after = [f"after-{number}" for number in range(20)]
    async with LocalCluster(tmp_path / "cluster", sync_interval="2m") as cluster:
        settings = load(
            data_dir=tmp_path / "data", nats_url=cluster.url, ack_wait=2, broker={"replicas": NODES}
        )
        await topology.apply_at(cluster.url, settings)
        leader = await clusters.leader_of(cluster.url, pipeline.REQUESTS)
        # The test listens and publishes elsewhere; the worker finds another server by itself.
        other = (leader + 1) % NODES
        nc = await connect(cluster.urls[other])
        scene = Scene(nc, settings)
        scene.takes = 0.05
        await scene.open()
        async with ours(settings, scene.work, scene.tell, at_once=4):
            await scene.request(*before)
            await scene.until(lambda: scene.ended.total() >= 5)
            await cluster.kill(leader)
            await scene.request_until_stored(*after)
            await scene.until(lambda: {*before, *after} <= set(scene.out))
            await cluster.start(leader)
            await cluster.ready()
            await scene.settled()
        stored = await nc.jetstream().stream_info(pipeline.EVENTS, subjects_filter="gen.context_built.>")
        owed = await nc.jetstream().consumer_info(pipeline.REQUESTS, STAGE)
        await nc.close()
    assert Counter(stored.state.subjects) == Counter(
        f"gen.context_built.layout.{request_id}" for request_id in (*before, *after)
    )
    assert (owed.num_pending, owed.num_ack_pending) == (0, 0)
    assert scene.letters == Counter()


async def test_a_topology_of_one_copy_gets_three_and_then_survives_a_server(tmp_path: Path) -> None:
    async with LocalCluster(tmp_path / "cluster", sync_interval="2m") as cluster:
        single = load(data_dir=tmp_path / "data", nats_url=cluster.url)
        await topology.apply_at(cluster.url, single)
        nc = await connect(cluster.url)
        js = nc.jetstream()
        for number in range(10):
            await js.publish(f"gen.requested.layout.r-{number}", b'{"prompt": "a forest"}')
        pull = await js.pull_subscribe_bind(STAGE, pipeline.REQUESTS)
        for message in await pull.fetch(4, timeout=20):
            await message.ack_sync()

        three = load(data_dir=tmp_path / "data", nats_url=cluster.url, broker={"replicas": NODES})
        moved = await topology.apply(nc, three)
        assert {(each.field, each.actual, each.applied) for each in moved} == {("num_replicas", 1, True)}
        assert {each.name for each in moved} == set(topology.desired_topology(three).streams)
        await until_read(lambda: _all_copied(nc, three))
        assert await topology.check(nc, three) == ()
        await nc.close()

        leader = await clusters.leader_of(cluster.url, pipeline.REQUESTS)
        await cluster.kill(leader)
        nc = await connect(cluster.urls[(leader + 1) % NODES])
        stored = await until_read(lambda: _stream(nc, pipeline.REQUESTS))
        assert stored["state"]["messages"] == 10
        pull = await nc.jetstream().pull_subscribe_bind(STAGE, pipeline.REQUESTS)
        rest = await until_read(lambda: _fetched(pull))
        assert sorted(message.subject for message in rest) == [
            f"gen.requested.layout.r-{number}" for number in range(4, 10)
        ]
        await nc.close()


async def _all_copied(nc: Client, settings: Settings) -> bool | None:
    """Whether every stream and consumer has its copies, none of them behind."""
    wanted = topology.desired_topology(settings)
    info = await topology.read_info(nc, wanted.streams, wanted.consumers)
    groups = [found.get("cluster", {}) for found in (*info.streams.values(), *info.consumers.values())]
    whole = [
        group
        for group in groups
        if len(group.get("replicas") or ()) == NODES - 1
        and all(peer["current"] for peer in group["replicas"])
    ]
    return True if len(whole) == len(groups) == len(wanted.streams) + len(wanted.consumers) else None


async def _stream(nc: Client, name: str) -> dict[str, Any] | None:
    with suppress(Unavailable):
        return await topology.stream(nc, name)
    return None


async def _fetched(pull: JetStreamContext.PullSubscription) -> list[Msg] | None:
    with suppress(nats_errors.TimeoutError, js_errors.Error):
        return await pull.fetch(6, timeout=2)
    return None
