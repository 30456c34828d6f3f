"""Does a data folder of an older version open, with nothing accepted lost?"""

from __future__ import annotations

import json
from typing import Any

from nats.aio.client import Client

from contracts import pipeline
from infra.nats import topology
from infra.settings.settings import Settings


async def _api(nc: Client, subject: str, body: Any = None) -> dict[str, Any]:
    payload = b"" if body is None else json.dumps(body).encode()
    answer = json.loads((await nc.request(f"$JS.API.{subject}", payload)).data)
    assert "error" not in answer, answer
    return answer


async def _subjects(nc: Client, stream: str, pattern: str) -> list[str]:
    info = await _api(nc, f"STREAM.INFO.{stream}", {"subjects_filter": pattern})
    return sorted(info["state"].get("subjects") or {})


async def _version_1(nc: Client, settings: Settings) -> None:
    """REQUESTS and EVENTS with the subjects of version 1, and the fallback's consumer on EVENTS."""
    wanted = topology.desired_topology(settings)
    for name, subjects in (
        (pipeline.REQUESTS, ["gen.requested.>"]),
        (pipeline.EVENTS, [*pipeline.stream_subjects(pipeline.EVENTS), "gen.cancelled.>"]),
    ):
        config = {**wanted.streams[name], "subjects": subjects, "duplicate_window": 120 * 10**9}
        await _api(nc, f"STREAM.CREATE.{name}", config)
    config = {**wanted.consumers[pipeline.EVENTS, "fallback"], "filter_subjects": ["gen.cancelled.>"]}
    await _api(
        nc, "CONSUMER.CREATE.EVENTS.fallback", {"stream_name": "EVENTS", "config": config, "action": "create"}
    )


async def test_subjects_move_and_what_waits_comes_along(nc: Client, settings: Settings) -> None:
    await _version_1(nc, settings)
    js = nc.jetstream()
    await js.publish("gen.requested.layout.old", b"{}")
    await js.publish("gen.requested.dialog.typo", b"{}")
    await js.publish("gen.cancelled.layout.done", b"{}")
    done = await (await js.pull_subscribe_bind(durable="fallback", stream="EVENTS")).fetch(1)
    await done[0].ack_sync()
    await js.publish("gen.cancelled.layout.waits", b'{"reason": "not wanted"}', headers={"Status": "503"})
    await topology.apply(nc, settings)
    assert await topology.check(nc, settings) == ()
    assert await _subjects(nc, pipeline.REQUESTS, "gen.>") == [
        "gen.cancelled.layout.waits",
        "gen.requested.dialog.typo",
        "gen.requested.layout.old",
    ]
    assert (await js.publish("gen.cancelled.plot.new", b"{}")).stream == pipeline.REQUESTS


async def test_a_crash_halfway_loses_nothing(nc: Client, settings: Settings) -> None:
    await _version_1(nc, settings)
    js = nc.jetstream()
    await js.publish("gen.cancelled.layout.waits", b"{}")
    events = (await _api(nc, "STREAM.INFO.EVENTS"))["config"]
    events["subjects"].remove("gen.cancelled.>")
    await _api(nc, "STREAM.UPDATE.EVENTS", events)
    await topology.apply(nc, settings)
    assert await _subjects(nc, pipeline.REQUESTS, "gen.>") == ["gen.cancelled.layout.waits"]
    assert await topology.check(nc, settings) == ()
