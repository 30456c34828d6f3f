"""Catalogue of what happens to processes: stages, models, the embedded broker, and what runs beside them."""

from __future__ import annotations

import logging
from collections.abc import Hashable
from typing import ClassVar

from infra.telemetry.dispatch import TelemetryEvent


class ExperimentsUnreadable(TelemetryEvent, frozen=True, kw_only=True):
    """The files of the experiments have changed and cannot be used: the experiments stay as they were read before."""

    #: Which file, what is wrong, and what to do.
    problem: str

    LEVEL: ClassVar[int] = logging.WARNING
    SENTENCE: ClassVar[str] = "experiments stay as they were: {problem}"


class PipelineStopping(TelemetryEvent, frozen=True, kw_only=True):
    """The supervisor was asked to end, and stops the stages, then the broker."""

    #: Processes that are up.
    processes: int

    SENTENCE: ClassVar[str] = "pipeline stopping, {processes} processes end"


class StagesReady(TelemetryEvent, frozen=True, kw_only=True):
    """The stages of a process are bound to their consumers."""

    #: The process: its stages, joined by ``+``.
    stages: str
    #: Host and port of the broker.
    broker: str
    #: Host and port of its metrics and health; empty: there are none.
    metrics: str = ""

    def __str__(self) -> str:
        where = f", metrics at {self.metrics}" if self.metrics else ""
        return f"{self.stages} ready, connected to {self.broker}{where}"


class StagesStopping(TelemetryEvent, frozen=True, kw_only=True):
    """A process takes no more messages and ends what it has."""

    stages: str
    #: Messages that it is working on.
    in_hand: int

    def __str__(self) -> str:
        left = f", {self.in_hand} messages in hand" if self.in_hand else ""
        return f"{self.stages} stopping{left}"


class StagesStopped(TelemetryEvent, frozen=True, kw_only=True):
    """The stages of a process have ended."""

    stages: str
    #: Exit status; 0: as asked.
    status: int
    #: How long the stop took.
    seconds: float

    def __str__(self) -> str:
        how = "" if self.status == 0 else f" with status {self.status}"
        return f"{self.stages} stopped after {self.seconds:.1f} s{how}"


class ModelLoading(TelemetryEvent, frozen=True, kw_only=True):
    """The local model is being loaded; requests that come meanwhile wait for it."""

    provider: str
    model: str

    SENTENCE: ClassVar[str] = "model {model} is being loaded"


class ModelLoaded(TelemetryEvent, frozen=True, kw_only=True):
    """The local model is loaded."""

    provider: str
    model: str
    seconds: float

    SENTENCE: ClassVar[str] = "model {model} loaded in {seconds:.1f} s"


class ModelFailed(TelemetryEvent, frozen=True, kw_only=True):
    """The local model cannot be loaded; its requests fall back."""

    provider: str
    problem: str

    LEVEL: ClassVar[int] = logging.ERROR
    SENTENCE: ClassVar[str] = "the model of provider {provider} cannot be loaded: {problem}"


class WindowTooSmall(TelemetryEvent, frozen=True, kw_only=True):
    """The window of a model does not hold the prompts of a content kind; its requests fall back."""

    provider: str
    kind: str
    problem: str
    #: What to change.
    fix: str

    LEVEL: ClassVar[int] = logging.WARNING
    SENTENCE: ClassVar[str] = "provider {provider} cannot write {kind}: {problem}; {fix}"


class WorldsLeftOut(TelemetryEvent, frozen=True, kw_only=True):
    """The worlds cannot be read; a stage that can do without them works on."""

    stages: tuple[str, ...]
    problem: str

    LEVEL: ClassVar[int] = logging.WARNING

    def __str__(self) -> str:
        return f"{'+'.join(self.stages)} works without worlds: {self.problem}"


class ExporterFailed(TelemetryEvent, frozen=True, kw_only=True):
    """Nothing can listen where metrics and health should be; work goes on without them."""

    #: ``HOST:PORT``.
    address: str
    problem: str
    #: The setting to change.
    fix: str = "UNDERSTUDY_METRICS"

    LEVEL: ClassVar[int] = logging.WARNING
    SENTENCE: ClassVar[str] = "no metrics at {address} (set {fix} to a free address): {problem}"


class BrokerUnread(TelemetryEvent, frozen=True, kw_only=True):
    """The broker does not say what is in its queues and streams; their metrics are missing until it does."""

    problem: str

    LEVEL: ClassVar[int] = logging.WARNING
    FOLDS_BY: ClassVar[tuple[str, ...]] = ("problem",)
    SENTENCE: ClassVar[str] = "no metrics of queues and streams: {problem}"


class SpansDropped(TelemetryEvent, frozen=True, kw_only=True):
    """Spans were not sent: the collector is away or slow; no stage waits for it."""

    #: URL of the collector.
    endpoint: str
    #: Messages whose spans are lost.
    messages: int
    #: The same since the start of the process.
    total: int

    LEVEL: ClassVar[int] = logging.WARNING
    FOLDS_BY: ClassVar[tuple[str, ...]] = ("endpoint",)
    SENTENCE: ClassVar[str] = (
        "the spans of {messages} messages are lost, {total} since the start: the collector at {endpoint} does not "
        "take them or is too slow"
    )


class SpanLinksLost(TelemetryEvent, frozen=True, kw_only=True):
    """Spans were sent without links to earlier requests: the log does not say which spans these had."""

    #: Earlier requests that were looked up together.
    requests: int
    problem: str

    LEVEL: ClassVar[int] = logging.WARNING
    FOLDS_BY: ClassVar[tuple[str, ...]] = ("problem",)
    SENTENCE: ClassVar[str] = "spans have no links to {requests} earlier requests: {problem}"


class BackgroundFailed(TelemetryEvent, frozen=True, kw_only=True):
    """Work beside the stages failed."""

    #: Its name.
    work: str
    #: It is begun again; else the process ends.
    restarted: bool
    raised: BaseException

    LEVEL: ClassVar[int] = logging.ERROR

    @property
    def folds_as(self) -> Hashable | None:
        return self.work, type(self.raised).__name__

    @property
    def error(self) -> BaseException | None:
        return self.raised

    def __str__(self) -> str:
        then = "it is started again" if self.restarted else "the process ends"
        return f"background work '{self.work}' failed, {then}: {type(self.raised).__name__}"


class StagesNotReady(TelemetryEvent, frozen=True, kw_only=True):
    """A process takes long to start."""

    stages: str
    #: What it does.
    doing: str
    #: Since it was started.
    seconds: float

    SENTENCE: ClassVar[str] = "{stages} not ready after {seconds:.0f} s: {doing}"


class StagesKilled(TelemetryEvent, frozen=True, kw_only=True):
    """The supervisor killed a process."""

    stages: str
    pid: int
    #: Why.
    problem: str
    #: How long that lasted.
    seconds: float

    LEVEL: ClassVar[int] = logging.ERROR
    SENTENCE: ClassVar[str] = "{stages} killed (process {pid}) after {seconds:.1f} s: {problem}"


class StagesEnded(TelemetryEvent, frozen=True, kw_only=True):
    """A process ended although nobody asked it to; it is started again."""

    stages: str
    #: Exit status; below 0: the signal that ended it.
    status: int
    problem: str = ""

    LEVEL: ClassVar[int] = logging.ERROR

    def __str__(self) -> str:
        how = f"by signal {-self.status}" if self.status < 0 else f"with status {self.status}"
        why = f": {self.problem}" if self.problem else ""
        return f"{self.stages} ended {how}, starting again{why}"


class StagesBack(TelemetryEvent, frozen=True, kw_only=True):
    """A process that had ended is ready again."""

    stages: str
    pid: int
    #: How often it was started again.
    restarts: int

    SENTENCE: ClassVar[str] = "{stages} back (process {pid}, restart {restarts})"


class StartRefused(TelemetryEvent, frozen=True, kw_only=True):
    """The system does not start a process now; it is tried again."""

    stages: str
    problem: str

    LEVEL: ClassVar[int] = logging.ERROR
    SENTENCE: ClassVar[str] = "{stages} cannot be started, trying again: {problem}"


class TopologyNotApplied(TelemetryEvent, frozen=True, kw_only=True):
    """Streams and consumers that are missing could not be created; it is tried again."""

    stages: str
    problem: str

    LEVEL: ClassVar[int] = logging.ERROR
    SENTENCE: ClassVar[str] = "the topology that {stages} needs cannot be applied, trying again: {problem}"


class TopologyDiffers(TelemetryEvent, frozen=True, kw_only=True):
    """The broker's topology differs, and the difference stays."""

    change: str

    LEVEL: ClassVar[int] = logging.WARNING
    SENTENCE: ClassVar[str] = "the broker's topology differs: {change}"


class TopologyApplied(TelemetryEvent, frozen=True, kw_only=True):
    """A part of the topology was created or changed."""

    change: str

    LEVEL: ClassVar[int] = logging.DEBUG
    SENTENCE: ClassVar[str] = "topology applied: {change}"


class FileNotWritten(TelemetryEvent, frozen=True, kw_only=True):
    """A file or standard output that others read cannot be written."""

    file: str
    problem: str

    LEVEL: ClassVar[int] = logging.ERROR
    SENTENCE: ClassVar[str] = "{file} cannot be written: {problem}"


class FolderExposed(TelemetryEvent, frozen=True, kw_only=True):
    """Others could read the data folder; it was made private, or could not be."""

    problem: str

    LEVEL: ClassVar[int] = logging.WARNING
    SENTENCE: ClassVar[str] = "{problem}"


class BrokerMoved(TelemetryEvent, frozen=True, kw_only=True):
    """The usual port is taken: the broker listens on another one."""

    #: The port that is taken.
    port: int
    #: Where clients connect.
    url: str
    problem: str

    LEVEL: ClassVar[int] = logging.WARNING
    SENTENCE: ClassVar[str] = "{problem}"


class BrokerEnded(TelemetryEvent, frozen=True, kw_only=True):
    """The embedded broker ended although nobody asked it to; it is started again on its port and data."""

    #: Exit status; below 0: the signal that ended it.
    status: int
    #: Its own log.
    file: str

    LEVEL: ClassVar[int] = logging.ERROR

    def __str__(self) -> str:
        how = f"by signal {-self.status}" if self.status < 0 else f"with status {self.status}"
        return f"broker ended {how}, starting again (its own log: {self.file})"


class BrokerBack(TelemetryEvent, frozen=True, kw_only=True):
    """The embedded broker runs again."""

    url: str
    #: How long there was none.
    seconds: float

    SENTENCE: ClassVar[str] = "broker back at {url} after {seconds:.1f} s"


class BrokerNotStarted(TelemetryEvent, frozen=True, kw_only=True):
    """The embedded broker cannot be started now; it is tried again."""

    problem: str

    LEVEL: ClassVar[int] = logging.ERROR
    FOLDS_BY: ClassVar[tuple[str, ...]] = ("problem",)
    SENTENCE: ClassVar[str] = "broker cannot be started, trying again: {problem}"


class BrokerKilled(TelemetryEvent, frozen=True, kw_only=True):
    """The supervisor killed a broker that had frozen."""

    pid: int
    #: How long it did not answer.
    seconds: float

    LEVEL: ClassVar[int] = logging.ERROR
    SENTENCE: ClassVar[str] = "broker killed (process {pid}): it did not answer for {seconds:.1f} s"


class BrokerFull(TelemetryEvent, frozen=True, kw_only=True):
    """The broker cannot store; it is restarted once there is room."""

    #: Streams that store nothing.
    streams: tuple[str, ...]
    stored_bytes: int
    limit_bytes: int
    #: Where it stores.
    folder: str

    LEVEL: ClassVar[int] = logging.ERROR
    SENTENCE: ClassVar[str] = (
        "broker cannot store, make room on the disk of {folder}: {stored_bytes:,} of "
        "{limit_bytes:,} bytes are used"
    )


class BrokerRestarted(TelemetryEvent, frozen=True, kw_only=True):
    """There is room again: the broker is restarted, since it does not try again what it once could not write."""

    free_bytes: int

    LEVEL: ClassVar[int] = logging.WARNING
    SENTENCE: ClassVar[str] = "broker is restarted to store again: {free_bytes:,} bytes are free now"
