"""Foreground run of the pipeline: from the start of the supervisor to a signal; what ``understudy up`` does."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from understudy_client.connection import without_password
from understudy_client.tasks import end_tasks

from infra.app.process_plan import stage_command
from infra.app.supervisor import Supervisor
from infra.telemetry.process_events import FileNotWritten

if TYPE_CHECKING:
    from infra.settings.settings import Settings


async def up(
    settings: Settings,
    *,
    split: bool = False,
    copies: Mapping[str, int] | None = None,
    on_ready: Callable[[dict[str, Any]], None] | None = None,
    command: Callable[[Sequence[str]], Sequence[str]] = stage_command,
) -> None:
    """Run the pipeline until SIGTERM, SIGINT or SIGHUP; in the main thread.

    Args:
        settings: handed to every stage through its environment.
        split: one process per stage.
        copies: how often a stage runs in all.
        on_ready: gets ``{"ready": true, "nats_url": ..., "nats_nkey": ..., "http_url": ..., "metrics_url": ..., "pids":
            {name: pid}}`` once all are bound; ``nats_nkey`` is the path of the operator's key.
        command: what runs stages; for tests.

    Raises:
        UnderstudyError: as :meth:`~infra.app.supervisor.Supervisor.start`.
    """
    supervisor = Supervisor(settings, split=split, copies=copies, command=command)
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    signals = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    for number in signals:
        loop.add_signal_handler(number, asked.set)

    async def life() -> None:
        await supervisor.start()
        if on_ready is not None:
            ready = {
                "ready": True,
                "nats_url": without_password(supervisor.nats_url),
                "nats_nkey": supervisor.operator_key and str(supervisor.operator_key),
                "http_url": supervisor.http_url,
                "metrics_url": supervisor.metrics_url,
                "pids": supervisor.pids,
            }
            try:
                on_ready(ready)
            except OSError as error:
                # A full disk behind standard output is no reason to stop answering.
                supervisor.telemetry.emit(FileNotWritten(file="the ready line", problem=str(error)))
        await supervisor.wait()

    living, asking = asyncio.create_task(life()), asyncio.create_task(asked.wait())
    try:
        await asyncio.wait((living, asking), return_when=asyncio.FIRST_COMPLETED)
        if living.done():
            living.result()
    finally:
        await end_tasks(living, asking)
        await supervisor.stop()
        for number in signals:
            loop.remove_signal_handler(number)
