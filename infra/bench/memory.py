"""Does memory stay flat while requests pass?"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from infra.bench.load import Load
from infra.bench.pipeline import Say, scripted
from infra.nats.connection import dial
from infra.supervisor import Supervisor

#: Seconds of rest before a measurement: the window of duplicates (120 s) and the last deadline are over,
#: and Go, which collects every 120 s when nothing happens, has given back what that set free.
_REST_S = 400
_DEADLINE_MS = 60_000


def resident(pid: int | None = None) -> int:
    """Resident bytes of a process (Linux); without its id, of this one."""
    status = Path(f"/proc/{pid or 'self'}/status").read_text(encoding="ascii")
    line = next(one for one in status.splitlines() if one.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


async def run(*, first: int, last: int, say: Say) -> dict[str, Any]:
    """Resident memory per process after ``first`` and after ``last`` requests.

    Returns:
        per process the bytes at both points and their ratio; the broker's growth per message stored in
        between, bytes: at rest, and while its window of duplicates is full.
    """
    with tempfile.TemporaryDirectory(prefix="understudy-bench-") as folder:
        settings = scripted(Path(folder), sync_interval="2m")
        async with (
            Supervisor(settings, split=True) as supervisor,
            Load(supervisor.nats_url, deadline_ms=_DEADLINE_MS) as load,
        ):

            def sizes() -> dict[str, int]:
                return {each.name: resident(each.pid) for each in supervisor.processes if each.pid}

            points: list[tuple[dict[str, int], int, int]] = []
            done = 0
            for target in (first, last):
                while done < target:
                    size = min(2_000, target - done)
                    await load.burst([f"m-{number}" for number in range(done, done + size)])
                    load.answered.clear()
                    done += size
                    say(f"{done} of {last} requests")
                full = sizes()["broker"]
                say(f"{_REST_S} s of rest")
                await asyncio.sleep(_REST_S)
                points.append((sizes(), full, await _stored(supervisor.nats_url)))
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
        },
        "messages_stored": stored,
        "broker_bytes_per_message": round((after["broker"] - before["broker"]) / stored, 1),
        "broker_bytes_per_message_under_load": round((full_after - full_before) / stored, 1),
    }


async def _stored(url: str) -> int:
    client = await dial(url, name="understudy-bench")
    try:
        jetstream = client.jetstream(timeout=10)
        return sum([(await jetstream.stream_info(name)).state.messages for name in ("REQUESTS", "EVENTS")])
    finally:
        await client.close()
