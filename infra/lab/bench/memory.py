"""Memory check: the resident size stays constant over many requests."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from infra.lab.bench.load import Load
from infra.lab.bench.trial import Say, scripted, starting

if TYPE_CHECKING:
    from nats.aio.client import Client

#: Seconds of rest before a measurement: the window of duplicates (120 s) and the last deadline are over,
#: and Go, which collects every 120 s when nothing happens, has given back what that set free.
_REST_S = 400
_DEADLINE_MS = 60_000


async def run(*, first: int, last: int, say: Say) -> dict[str, Any]:
    """Resident memory per process after ``first`` and after ``last`` requests.

    Returns:
        per process the bytes at both points and their ratio; the broker's growth per message stored in
        between, bytes: at rest, and while its window of duplicates is full.
    """
    async with (
        starting(partial(scripted, sync_interval="2m"), split=True) as trial,
        Load(trial.supervisor.reached, deadline_ms=_DEADLINE_MS) as load,
    ):
        points: list[tuple[dict[str, int], int, int]] = []
        done = 0
        for target in (first, last):
            while done < target:
                size = min(2_000, target - done)
                await load.burst([f"m-{number}" for number in range(done, done + size)])
                load.answered.clear()
                done += size
                say(f"{done} of {last} requests")
            full = trial.sampler.sizes()["broker"]
            say(f"{_REST_S} s of rest")
            await asyncio.sleep(_REST_S)
            points.append((trial.sampler.sizes(), full, await _stored(trial.client)))
    (before, full_before, stored_before), (after, full_after, stored_after) = points
    stored = stored_after - stored_before
    return {
        "requests": [first, last],
        "processes": {
            name: {
                "before": before[name],
                "after": after[name],
                "ratio": round(after[name] / before[name], 3),
            }
            for name in before
            if name in after
        },
        "messages_stored": stored,
        "broker_bytes_per_message": round((after["broker"] - before["broker"]) / stored, 1),
        "broker_bytes_per_message_under_load": round((full_after - full_before) / stored, 1),
    }


async def _stored(client: Client) -> int:
    jetstream = client.jetstream(timeout=10)
    return sum([(await jetstream.stream_info(name)).state.messages for name in ("REQUESTS", "EVENTS")])
