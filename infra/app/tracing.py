"""Tracing of one process: from the settings to the spans at a collector."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from understudy_client.connection import without_password
from understudy_client.protocol import TRACEPARENT, trace_id

from contracts import pipeline, subjects
from contracts.errors import Misconfigured, Unavailable
from infra.host import extras
from infra.telemetry.events import DefectFound
from infra.telemetry.process_events import SpanLinksLost, SpansDropped
from infra.telemetry.span_export import SpanExport, TraceSampler

if TYPE_CHECKING:
    from infra.app.application import Application
    from infra.settings.telemetry import TelemetrySettings
    from infra.telemetry.dispatch import TelemetryEvent
    from infra.telemetry.span_sender import SpanSender

#: Seconds that the last spans get at the end of the process.
FLUSH_S: Final = 2.0
#: Seconds that the collector has for one batch; shorter than the flush.
_SEND_S: Final = 1.5
#: Seconds for a look-up of related requests.
_FIND_S: Final = 1.0


class Tracing:
    """Sends the spans of an application's stages; does nothing without a collector.

    Args:
        application: the stages.
    """

    def __init__(self, application: Application) -> None:
        self._application = application
        self._export: SpanExport | None = None
        self._sender: SpanSender | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._total = 0

    def start(self) -> None:
        """Begin to send; in the process that runs the stages, after its start.

        Raises:
            Misconfigured: a collector is set, and the extra is not installed.
        """
        settings = self._application.settings.telemetry
        if settings.otlp_endpoint is None:
            return
        self._loop = asyncio.get_running_loop()
        self._export = self._build_export(settings)
        self._export.start()
        self._application.telemetry.subscribe(self._export)

    async def stop(self) -> None:
        """Send what is left, within :data:`FLUSH_S`."""
        if self._export is None:
            return
        # The loop goes on: links of the last spans are looked up in it.
        await asyncio.to_thread(self._export.stop, FLUSH_S)
        # A batch that is still on its way is given up.
        if self._sender is not None:
            self._sender.shutdown()
        lost = self._export.dropped + self._export.waiting - self._total
        if lost > 0:
            self._application.telemetry.emit(self._count_lost(lost))

    def _build_export(self, settings: TelemetrySettings) -> SpanExport:
        try:
            from infra.telemetry.span_sender import SpanSender  # noqa: PLC0415 - only if configured
            from infra.telemetry.spans import SpanBuilder  # noqa: PLC0415 - as above
        except ImportError as error:
            raise Misconfigured(
                f"telemetry.otlp_endpoint is set, but OpenTelemetry cannot be imported ({error}): "
                f"{extras.install_command('otel')}, or unset UNDERSTUDY_TELEMETRY__OTLP_ENDPOINT"
            ) from None
        sender = self._sender = SpanSender(endpoint=self.endpoint, timeout=_SEND_S)
        builder = SpanBuilder(
            version=extras.installed_version(),
            attributes={
                "service.instance.id": f"{os.uname().nodename}:{os.getpid()}",
                "understudy.stages": "+".join(self._application.stages),
            },
        )
        return SpanExport(
            sampler=TraceSampler(ratio=settings.sample_ratio, spans_per_second=settings.spans_per_second),
            build=builder.build,
            send=lambda spans: sender.send(builder.encode(spans)),
            find=self._find,
            on_dropped=lambda messages: self._emit(self._count_lost(messages)),
            on_defect=lambda error: self._emit(DefectFound(part="the export of spans", raised=error)),
        )

    @property
    def endpoint(self) -> str:
        """Where spans are posted: a URL without a path gets the usual one."""
        given = self._application.settings.telemetry.otlp_endpoint or ""
        return given if urlsplit(given).path.strip("/") else f"{given.rstrip('/')}/v1/traces"

    def _emit(self, event: TelemetryEvent) -> None:
        """Emit an event; in the thread."""
        # The loop may have ended meanwhile.
        with suppress(RuntimeError):
            self._running_loop.call_soon_threadsafe(self._application.telemetry.emit, event)

    @property
    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise RuntimeError("not started")
        return self._loop

    def _count_lost(self, messages: int) -> SpansDropped:
        self._total += messages
        return SpansDropped(endpoint=without_password(self.endpoint), messages=messages, total=self._total)

    def _find(self, ids: Sequence[str]) -> Mapping[str, str]:
        """The ``traceparent`` of requests' results, by id; of those that the log still has."""
        looking = asyncio.run_coroutine_threadsafe(self._look_up(ids), self._running_loop)
        try:
            return looking.result(_FIND_S)
        except Unavailable as error:
            problem = str(error)
        except TimeoutError:
            looking.cancel()
            problem = f"the log does not answer within {_FIND_S:g} s"
        except CancelledError:
            problem = "the process ends"
        self._emit(SpanLinksLost(requests=len(ids), problem=problem))
        return {}

    async def _look_up(self, ids: Sequence[str]) -> Mapping[str, str]:
        wanted = [subjects.any_kind(subjects.answer(each), each) for each in ids]
        entries = await self._application.adapters.lookup.last_of_each(pipeline.EVENTS, wanted)
        return {
            entry.subject.rpartition(".")[2]: entry.headers[TRACEPARENT]
            for entry in entries
            # Anybody may publish a result.
            if trace_id(entry.headers) is not None
        }
