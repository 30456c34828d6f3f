"""Monitor of a supervised pipeline: asks every process from outside whether it works, and relays its metrics."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, generate_latest

from infra.app import metrics_relay
from infra.host import target_file
from infra.telemetry import metric_table as table
from infra.telemetry.exporter import OFF, TEXT, HttpPages, defect_emitter, health_page
from infra.telemetry.loop_tick import LoopTick
from infra.telemetry.metric_values import MetricValues
from infra.telemetry.process_events import ExporterFailed, FileNotWritten

if TYPE_CHECKING:
    from infra.app.process_plan import Running
    from infra.app.supervised import SupervisedMember
    from infra.settings.settings import Settings
    from infra.telemetry.dispatch import Telemetry
    from infra.telemetry.exporter import Answer

#: Seconds between two questions to a process, and within which it must answer.
EVERY_S: Final = 1.0
#: Unanswered questions in a row after which a process counts as not ready.
MISSES: Final = 3
#: Page of the supervisor's metrics alone; ``/metrics`` has those of all processes.
OWN_PAGE: Final = "/metrics/supervisor"


class PipelineMonitor:
    """Health and metrics of all processes under one supervisor.

    Args:
        settings: the supervisor's.
        members: the processes of stages.
        processes: every process as it is now.
        telemetry: gets what happens.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        members: Sequence[SupervisedMember],
        processes: Callable[[], Sequence[Running]],
        telemetry: Telemetry,
    ) -> None:
        self._settings = settings
        self._members = members
        self._processes = processes
        self._telemetry = telemetry
        self._pages: HttpPages | None = None
        self._tick = LoopTick()
        self._metrics = MetricValues(table.SUPERVISOR_METRICS, {"process": str})
        self._metrics.before_scrape.append(self._refresh)
        self._registry = CollectorRegistry()
        self._registry.register(self._metrics)
        self._relaying = threading.Lock()
        #: When the last page was made, on the clock of ``time.monotonic``, and the page.
        self._relayed = float("-inf"), b""
        self._written: tuple[target_file.Target, ...] | None = None

    @property
    def url(self) -> str | None:
        """Where ``/metrics``, ``/livez`` and ``/readyz`` of the pipeline are; ``None``: nowhere."""
        return None if self._pages is None else f"http://{self._pages.address}"

    def start(self) -> None:
        """Answer at the address that the settings name."""
        address = self._settings.metrics
        if address == OFF:
            return
        pages: dict[str, Callable[[], Answer]] = {
            "/metrics": lambda: (HTTPStatus.OK, TEXT, self._relay()),
            OWN_PAGE: lambda: (HTTPStatus.OK, TEXT, generate_latest(self._registry)),
            "/livez": lambda: health_page(self._tick.problems),
            "/readyz": lambda: health_page(self.problems),
        }
        self._tick.start()
        try:
            self._pages = HttpPages(address, pages, on_defect=defect_emitter(self._telemetry))
        except (OSError, OverflowError) as error:
            self._telemetry.emit(ExporterFailed(address=address, problem=str(error)))

    def stop(self) -> None:
        """Answer no more, and remove the list of targets."""
        self._tick.stop()
        if self._pages is not None:
            self._pages.close()
        if self._written is not None:
            # Else the file is another pipeline's.
            target_file.clear(self._settings.data_dir)

    async def ask(self) -> None:
        """Ask every process once a second; what is written of them follows their addresses."""
        if self._settings.metrics == OFF:
            return
        while True:
            await asyncio.gather(asyncio.sleep(EVERY_S), *(self._ask(each) for each in self._members))
            self._write_targets()

    def problems(self) -> Sequence[str]:
        """What keeps the pipeline from working."""
        answering = {each.member.name: each.answers for each in self._members}
        found: list[str] = [*self._tick.problems()]
        for each in self._processes():
            if each.pid is None:
                found.append(f"{each.name} is down")
            elif not each.ready:
                found.append(f"{each.name} is starting")
            elif not answering.get(each.name, True):
                found.append(f"{each.name} is not ready, or does not answer within {EVERY_S:g} s")
        return found

    async def _ask(self, each: SupervisedMember) -> None:
        pid, address = each.pid, each.metrics_address
        status = None if pid is None or address is None else await _status(address)
        if each.pid != pid:
            # The answer is about a process that is gone.
            return
        if status == HTTPStatus.OK:
            each.misses, each.answers = 0, True
            return
        each.misses += 1
        if status is not None or each.misses >= MISSES:
            each.answers = False

    def _refresh(self) -> None:
        answering = {each.member.name: each.answers for each in self._members}
        for each in self._processes():
            name = (each.name,)
            self._metrics.counts(table.PROCESS_UP).set(each.pid is not None, name)
            self._metrics.counts(table.PROCESS_READY).set(each.ready and answering.get(each.name, True), name)
            self._metrics.counts(table.PROCESS_RESTARTS).set(each.restarts, name)

    def _relay(self) -> bytes:
        """The metrics of all processes; clients that come at once share a page."""
        with self._relaying:
            made_s, page = self._relayed
            if time.monotonic() - made_s >= EVERY_S:
                page = self._ask_all().encode()
                self._relayed = time.monotonic(), page
            return page

    def _ask_all(self) -> str:
        addresses = {
            each.member.name: each.metrics_address
            for each in self._members
            if each.metrics_address is not None and each.pid is not None
        }
        own = generate_latest(self._registry).decode()
        return metrics_relay.merge([("", own), *metrics_relay.fetch_all(addresses).items()])

    def _write_targets(self) -> None:
        if self._pages is None:
            return
        targets = (
            target_file.Target(
                targets=(self._pages.address,),
                labels={"__metrics_path__": OWN_PAGE, "component": "supervisor"},
            ),
            *(
                target_file.Target(targets=(each.metrics_address,), labels={"process": each.member.name})
                for each in self._members
                if each.metrics_address is not None and each.pid is not None
            ),
        )
        if targets == self._written:
            return
        try:
            target_file.write(self._settings.data_dir, targets)
        except OSError as error:
            if self._written is not None:
                self._telemetry.emit(FileNotWritten(file=target_file.FILE, problem=f"{error} (trying again)"))
            self._written = None
        else:
            self._written = targets


async def _status(address: str) -> int | None:
    """The status of a process's ``/readyz``; ``None`` if it does not answer in time."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(EVERY_S):
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                writer.write(b"GET /readyz HTTP/1.0\r\n\r\n")
                return int((await reader.readline()).split()[1])
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError, IndexError):
        return None
