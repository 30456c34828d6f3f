"""Foreground run of a local cluster: from the start of its servers to a signal; what ``understudy topology cluster`` does."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from understudy_client.tasks import end_tasks

from infra.nats.cluster import NODES, LocalCluster, name_of

#: Seconds before a server that ended is started again: time to see what the pipeline does without it.
_AGAIN_S: Final = 5.0
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


async def run(
    folder: Path,
    *,
    sync_interval: str,
    on_ready: Callable[[dict[str, Any]], None],
    on_end: Callable[[str, int], None],
) -> None:
    """Run a cluster of three until SIGTERM, SIGINT or SIGHUP; a server that ends is started again.

    Args:
        folder: for configurations, logs and stores.
        sync_interval: ``always`` or a Go duration.
        on_ready: gets ``{"ready": true, "nats_url": ..., "replicas": 3, "nodes": [{name, url, pid, folder}]}``.
        on_end: gets the name of a server that ended, and its exit status.

    Raises:
        BrokerError: there is no nats-server, or no leader is elected.
    """
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    for number in _SIGNALS:
        loop.add_signal_handler(number, asked.set)

    async def keep(cluster: LocalCluster, node: int) -> None:
        while True:
            on_end(name_of(node), await cluster.wait(node))
            await asyncio.sleep(_AGAIN_S)
            await cluster.start(node)

    async def life() -> None:
        async with LocalCluster(folder, sync_interval=sync_interval) as cluster:
            on_ready(_describe(cluster))
            async with asyncio.TaskGroup() as group:
                for node in range(NODES):
                    group.create_task(keep(cluster, node))

    living, asking = asyncio.create_task(life()), asyncio.create_task(asked.wait())
    try:
        await asyncio.wait((living, asking), return_when=asyncio.FIRST_COMPLETED)
        if living.done():
            living.result()
    finally:
        await end_tasks(living, asking)
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


def _describe(cluster: LocalCluster) -> dict[str, Any]:
    return {
        "ready": True,
        "nats_url": cluster.url,
        "replicas": NODES,
        "nodes": [
            {
                "name": name_of(node),
                "url": url,
                "pid": cluster.pids.get(node),
                "folder": str(cluster.folder_of(node)),
            }
            for node, url in enumerate(cluster.urls)
        ],
    }
