"""A cluster of three that loses a server: no request is lost, and none is published twice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from contracts import pipeline
from infra.nats import topology
from infra.settings.settings import load
from tests.broker.conftest import connect
from tests.broker.servers import NODES, Cluster
from tests.broker.test_traps import Scene
from tests.broker.trapped import STAGE, ours


async def test_the_leaders_server_dies_while_requests_are_worked_on(tmp_path: Path) -> None:
    before = [f"before-{number}" for number in range(20)]
    after = [f"after-{number}" for number in range(20)]
    async with Cluster(tmp_path / "cluster") as cluster:
        settings = load(
            data_dir=tmp_path / "data", nats_url=cluster.url, ack_wait=2, broker={"replicas": NODES}
        )
        await topology.apply_at(cluster.url, settings)
        nc = await connect(cluster.url)
        info = await nc.jetstream().stream_info(pipeline.REQUESTS)
        leader = int(info.cluster.leader.removeprefix("node-"))
        await nc.close()
        # The test listens and publishes elsewhere; the worker finds another server by itself.
        other = (leader + 1) % NODES
        nc = await connect(cluster.urls[other])
        scene = Scene(nc, settings)
        scene.takes = 0.05
        await scene.open()
        async with ours(settings, scene.work, scene.tell, at_once=4):
            await scene.request(*before)
            await scene.until(lambda: scene.ended.total() >= 5)
            cluster.kill(leader)
            await scene.request_until_stored(*after)
            await scene.until(lambda: {*before, *after} <= set(scene.out))
            cluster.start(leader)
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
