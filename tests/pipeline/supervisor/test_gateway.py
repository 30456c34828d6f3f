"""The gateway as a process of `up`: where it listens is written down, and a killed one comes back at the same place."""

from __future__ import annotations

import asyncio
import os
import signal

import httpx2

from infra.app.process_plan import GATEWAY
from infra.host import runtime_file
from infra.settings.settings import Settings
from tests.pipeline.supervisor.conftest import Start, find_process, wait_for_restart
from tests.ports import free_port


async def test_a_killed_gateway_comes_back_where_clients_know_it(make: Start, settings: Settings) -> None:
    usual = free_port()
    served = settings.model_copy(
        update={"gateway": settings.gateway.model_copy(update={"enabled": True, "port": usual})}
    )
    taken = await asyncio.start_server(lambda *_: None, "127.0.0.1", usual)
    async with taken, make(settings=served) as supervised:
        url = supervised.http_url
        assert url is not None
        assert not url.endswith(f":{usual}")
        assert runtime_file.read(served).http_url == url  # type: ignore[union-attr]
        async with httpx2.AsyncClient(base_url=url) as http:
            assert (await http.get("/readyz")).status_code == 200

        before = find_process(supervised.processes, GATEWAY)
        os.kill(before.pid or 0, signal.SIGKILL)
        after = await wait_for_restart(supervised, GATEWAY)
        assert after.pid != before.pid
        assert supervised.http_url == url
        async with httpx2.AsyncClient(base_url=url) as http:
            assert (await http.get("/livez")).json() == {"ok": True, "problems": []}
    assert runtime_file.read(served) is None
