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


def _rss(pid: int) -> int:
    """Resident bytes of a process (Linux)."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    line = next(one for one in status.splitlines() if one.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


async def run(*, first: int, last: int, say: Say) -> dict[str, Any]:
    """Resident memory per process after ``first`` and after ``last`` requests.

    Returns:
        per process the bytes at both points and their ratio, and the broker's growth per message
        stored in between, bytes.
    """
    with tempfile.TemporaryDirectory(prefix="understudy-bench-") as folder:
        settings = scripted(Path(folder), sync_interval="2m")
        async with Supervisor(settings, split=True) as supervisor, Load(supervisor.nats_url) as load:
            points: list[tuple[dict[str, int], int]] = []
            done = 0
            for target in (first, last):
                while done < target:
                    size = min(2_000, target - done)
                    await load.burst([f"m-{number}" for number in range(done, done + size)])
                    load.answered.clear()
                    done += size
                    say(f"{done} of {last} requests")
                await asyncio.sleep(5)
                points.append(
                    (
                        {each.name: _rss(each.pid) for each in supervisor.processes if each.pid},
                        await _stored(supervisor.nats_url),
                    )
                )
    (before, stored_before), (after, stored_after) = points
    processes = {
        name: {"before": before[name], "after": after[name], "ratio": round(after[name] / before[name], 3)}
        for name in before
    }
    grown = after["broker"] - before["broker"]
    return {
        "requests": [first, last],
        "processes": processes,
        "messages_stored": stored_after - stored_before,
        "broker_bytes_per_message": round(grown / (stored_after - stored_before), 1),
    }


async def _stored(url: str) -> int:
    client = await dial(url, name="understudy-bench")
    try:
        jetstream = client.jetstream(timeout=10)
        return sum([(await jetstream.stream_info(name)).state.messages for name in ("REQUESTS", "EVENTS")])
    finally:
        await client.close()
