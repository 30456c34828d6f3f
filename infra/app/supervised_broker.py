"""Supervised broker: the embedded one, kept answering and storing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from infra.app.process_plan import BROKER, Running, SupervisorError
from infra.app.supervised import STEADY_S, pause
from infra.host.heartbeat import Silence
from infra.nats import embedded, server_config
from infra.nats.embedded import Embedded
from infra.nats.server_config import BrokerError
from infra.telemetry.process_events import (
    BrokerBack,
    BrokerEnded,
    BrokerFull,
    BrokerKilled,
    BrokerMoved,
    BrokerNotStarted,
    BrokerRestarted,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from infra.app.supervised import StartPatience
    from infra.nats.health import Health
    from infra.settings.settings import Settings
    from infra.telemetry.dispatch import Telemetry

#: Longest pause before the broker is started again, seconds.
_BACKOFF_CAP_S: Final = 2.0
#: Seconds between two restarts of a broker that cannot store.
RETRY_S: Final = 10.0


class SupervisedBroker:
    """A broker of the pipeline's own.

    Args:
        settings: its folder, port and durability.
        groups: stages that one process hosts.
        patience: how long to wait.
        stopping: set when the pipeline ends.
        changed: called when it went down or came back.
        telemetry: gets what happens.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        groups: Sequence[Sequence[str]],
        patience: StartPatience,
        stopping: asyncio.Event,
        changed: Callable[[], None],
        telemetry: Telemetry,
    ) -> None:
        self._settings = settings
        self._patience = patience
        self._stopping = stopping
        self._changed = changed
        wanted = settings.broker.port
        self._broker = Embedded(
            settings.data_dir,
            wanted or embedded.PORT,
            exact=wanted is not None,
            sync_interval=settings.broker.sync_interval,
            groups=groups if settings.broker.secured else None,
        )
        self._restarts = 0
        #: False while it starts: until then it need not answer.
        self._answers = False
        self._silence = Silence(step_s=patience.step_s)
        self._telemetry = telemetry

    @property
    def url(self) -> str:
        """Where clients connect."""
        return self._broker.url

    @property
    def keys(self) -> Path | None:
        """The folder with the roles' keys; ``None``: it asks for none."""
        return self._broker.keys

    @property
    def running(self) -> Running:
        """Its process as it is now."""
        up = self._broker.running
        return Running(
            name=BROKER, pid=self._broker.pid if up else None, stages=(), restarts=self._restarts, ready=up
        )

    async def start(self) -> None:
        """Start it for the first time.

        Raises:
            BrokerError: it does not start.
            SupervisorError: the system refuses.
        """
        try:
            await self._broker.start()
        except OSError as error:
            raise SupervisorError(f"the broker cannot be started: {error}") from error
        self._answers = True
        if self._broker.instead_of is not None:
            port = self._broker.instead_of
            self._telemetry.emit(BrokerMoved(port=port, url=self.url, problem=moved(port, self.url)))

    async def stop(self) -> None:
        """Stop it."""
        await self._broker.stop()

    async def keep(self) -> None:
        """Start it again whenever it ends, on the same port and data."""
        loop = asyncio.get_running_loop()
        failures = 0
        while not self._stopping.is_set():
            since = loop.time()
            status = await self._broker.wait()
            self._answers = False
            if self._stopping.is_set():
                return
            ended = loop.time()
            failures = 1 if ended - since >= STEADY_S else failures + 1
            self._telemetry.emit(BrokerEnded(status=status, file=str(self._broker.log)))
            self._changed()
            while not self._stopping.is_set() and not self._broker.running:
                # Without it nobody is answered: it is tried again sooner than stages are.
                await pause(self._stopping, failures, BROKER, cap_s=_BACKOFF_CAP_S)
                try:
                    await self._broker.start()
                except (BrokerError, OSError) as error:
                    failures += 1
                    self._telemetry.emit(BrokerNotStarted(problem=str(error)))
            self._silence.end()
            self._answers = True
            self._restarts += 1
            if not self._stopping.is_set():
                self._telemetry.emit(BrokerBack(url=self.url, seconds=round(loop.time() - ended, 1)))
            self._changed()

    def look(self, seconds: float) -> None:
        """Judge it, so many seconds after the last look; what has frozen is killed."""
        if not self._answers:
            return
        self._silence.turn(seconds)
        if not self._silence.passes(self._patience.silent_s):
            return
        self._answers = False
        self._telemetry.emit(BrokerKilled(pid=self._broker.pid, seconds=round(self._silence.lasted_s, 1)))
        self._broker.kill_soon()

    async def ask(self) -> None:
        """Ask it again and again how it is; if it cannot store, it is restarted once there is room.

        What it could not write once it never tries to write again.
        """
        loop = asyncio.get_running_loop()
        restarted_at, told = -RETRY_S, False
        ill: dict[str, float] = {}
        while True:
            await asyncio.sleep(self._patience.step_s)
            try:
                async with asyncio.timeout(self._patience.silent_s):
                    found = await self._broker.health()
                room = self._broker.room(found)
            except (OSError, TimeoutError):
                # Down or frozen: others notice.
                continue
            self._silence.end()
            now = loop.time()
            # Since when; a stream that is just being created looks ill for a moment, too.
            ill = {
                name: ill.get(name, now) for name in (*found.broken, *(["the store"] if found.full else []))
            }
            told = told and bool(ill)
            if not any(now - since >= self._patience.broken_s for since in ill.values()):
                continue
            if not told:
                self._tell(found)
                told = True
            if room and now - restarted_at >= RETRY_S:
                self._telemetry.emit(BrokerRestarted(free_bytes=room))
                restarted_at = now
                await self._broker.stop()

    def _tell(self, found: Health) -> None:
        self._telemetry.emit(
            BrokerFull(
                streams=found.broken,
                stored_bytes=found.stored,
                limit_bytes=found.limit,
                folder=str(server_config.folder_of(self._settings.data_dir)),
            )
        )


def moved(port: int, url: str) -> str:
    """What people must know when the broker had to take another port."""
    return f"port {port} is taken by another program; using {urlsplit(url).port}: clients must use {url}"
