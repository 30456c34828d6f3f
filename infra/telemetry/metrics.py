"""Metrics of one process: counts of what is emitted, with every expected counter at 0 from the start."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from contracts import pipeline, subjects
from contracts.errors import ErrorCode
from contracts.kinds import HELPER_TASKS, KINDS
from contracts.result import ORIGINS_OF, Origin, Status
from infra.host.extras import installed_version
from infra.telemetry import events as ev
from infra.telemetry import metric_table as table
from infra.telemetry.broker_events import (
    AdmissionClosed,
    AdmissionOpened,
    ConnectionLost,
    ConnectionRestored,
)
from infra.telemetry.events import MessageEnding
from infra.telemetry.metric_values import Bound, Counts, FirstSeen, MetricValues, one_of
from infra.telemetry.process_events import BackgroundFailed
from infra.telemetry.provider_events import ProviderCalled
from infra.telemetry.store_events import ForeignMessagesFound

if TYPE_CHECKING:
    from infra.telemetry.dispatch import TelemetryEvent
    from infra.telemetry.metric_table import MetricSpec

#: Providers and models with time series of their own; a chain has a few.
_PROVIDERS: Final = 32
_MODELS: Final = 64
_CODES: Final = tuple(map(str, ErrorCode))
#: What a message of DEAD is counted as.
_DEAD: Final = "dead"
#: Endings after which the message is delivered again.
_AGAIN: Final = frozenset({MessageEnding.PUT_OFF, MessageEnding.WAITS, MessageEnding.HANDED_BACK})
#: Events that are only counted: the counter, and the fields that are its labels.
_COUNTED: Final[Mapping[type[TelemetryEvent], tuple[MetricSpec, tuple[str, ...]]]] = {
    ev.DeadlineArmed: (table.REQUESTS, ("kind",)),
    ev.RatingLowered: (table.RATINGS_LOWERED, ()),
    ev.LetterWritten: (table.DEAD_LETTERS, ("stage", "code")),
    ev.LetterLost: (table.DEAD_LETTERS_LOST, ("stage",)),
    ev.PublishDelayed: (table.PUBLISH_RETRIES, ("stage",)),
    ev.DefectFound: (table.DEFECTS, ()),
    ForeignMessagesFound: (table.FOREIGN_MESSAGES, ("stream",)),
    BackgroundFailed: (table.BACKGROUND_FAILURES, ()),
    ConnectionLost: (table.CONNECTIONS_LOST, ()),
}
#: Those of them that are about a request: shadows are left out.
_OF_REQUESTS: Final = (ev.DeadlineArmed, ev.RatingLowered, ev.LetterWritten)
#: Statuses of results that a model's failure does not explain.
_WITHOUT_CODE: Final = frozenset({Status.SUCCESS, Status.CACHED})
_ONLY_CODE: Final = {
    Status.CACHED_FALLBACK: ErrorCode.GEN_PROVIDER_DISABLED,
    Status.CANCELLED: ErrorCode.GEN_CANCELLED,
    Status.REJECTED: ErrorCode.GEN_INVALID_REQUEST,
}
#: Statuses of the results of each stage that publishes results.
_STATUSES: Final[Mapping[str, tuple[Status, ...]]] = {
    "context-build": (Status.CACHED, Status.REJECTED),
    "validate-repair": (Status.SUCCESS,),
    "fallback": tuple(
        each for each in Status if each not in {Status.SUCCESS, Status.CACHED, Status.REJECTED}
    ),
}


def label_bounds() -> dict[str, Bound]:
    """The bound of every label of the table."""
    return {
        "stage": one_of(pipeline.STAGES, HELPER_TASKS),
        "kind": one_of(KINDS),
        "name": one_of(pipeline.ROW_OF, (_DEAD,)),
        "ending": one_of(tuple(MessageEnding)),
        "status": one_of(tuple(Status)),
        "origin": one_of(tuple(Origin)),
        "code": one_of((*_CODES, "")),
        "provider": FirstSeen(_PROVIDERS),
        "model": FirstSeen(_MODELS),
        "type": one_of(("prompt", "completion")),
        "stream": one_of((pipeline.REQUESTS, pipeline.EVENTS, pipeline.DEAD)),
        # Written by this program alone, from a closed set.
        "event": FirstSeen(32),
        "scope": FirstSeen(8),
        "unit": FirstSeen(8),
        "version": str,
        "python": str,
    }


class ProcessMetrics(MetricValues):
    """The metrics of a process of stages; a subscriber of what it emits.

    Args:
        stages: its stages; their counters are exported from the start.
    """

    def __init__(self, stages: Iterable[str] = ()) -> None:
        super().__init__(table.PROCESS_METRICS, label_bounds())
        self._requests = self.counts(table.REQUESTS)
        self._results = self.counts(table.RESULTS)
        self._request_seconds = self.durations(table.REQUEST_SECONDS)
        self._messages = self.counts(table.MESSAGES)
        self._stage_seconds = self.durations(table.STAGE_SECONDS)
        self._redeliveries = self.counts(table.REDELIVERIES)
        self._parked = self.counts(table.PARKED)
        self._provider_calls = self.counts(table.PROVIDER_CALLS)
        self._provider_seconds = self.durations(table.PROVIDER_SECONDS)
        #: What is done with each event that is counted; one look-up, since a request makes some twenty of them.
        self._counters: dict[type[TelemetryEvent], Callable[[Any], None]] = {
            ev.MessageHandled: self._message_handled,
            ev.ResultPublished: self._result_published,
            ProviderCalled: self._provider_called,
            ConnectionRestored: self._connection_restored,
            AdmissionClosed: partial(self._admission_set, 1),
            AdmissionOpened: partial(self._admission_set, 0),
            **{
                event: partial(self._counted, self.counts(spec), fields)
                for event, (spec, fields) in _COUNTED.items()
            },
        }
        self.counts(table.BUILD).set(1, (installed_version(), platform.python_version()))
        for stage in stages:
            self._show(stage)

    def takes(self, event: type[TelemetryEvent], level: int) -> bool:
        """Whether such events are counted."""
        del level
        return event in self._counters

    def __call__(self, event: TelemetryEvent) -> None:
        """Count an event, if it is one of those."""
        count = self._counters.get(type(event))
        if count is not None:
            count(event)

    def show_provider(self, provider: str, model: str, stages: Iterable[str]) -> None:
        """Export the counters of a provider from now on."""
        for stage in stages:
            for code in ("", *_CODES):
                self.counts(table.PROVIDER_CALLS).show((provider, model, stage, code))
        self.durations(table.PROVIDER_SECONDS).show((provider, model))
        self.counts(table.PROVIDER_COST).show((provider, model))
        for type_ in ("prompt", "completion"):
            self.counts(table.PROVIDER_TOKENS).show((provider, model, type_))

    def _show(self, stage: str) -> None:
        for labels in _message_labels(stage):
            self._messages.show(labels)
        for labels in _result_labels(stage):
            self._results.show(labels)
        for counts in (
            self._redeliveries,
            self._parked,
            *map(self.counts, (table.DEAD_LETTERS_LOST, table.PUBLISH_RETRIES)),
        ):
            counts.show((stage,))
        for code in _CODES:
            self.counts(table.DEAD_LETTERS).show((stage, code))
        self._stage_seconds.show((stage,))
        for kind in KINDS if stage in pipeline.DEADLINE_KEEPERS else ():
            self._requests.show((kind,))
        for stream in (
            (pipeline.REQUESTS, pipeline.EVENTS, pipeline.DEAD) if stage in pipeline.RECORDERS else ()
        ):
            self.counts(table.FOREIGN_MESSAGES).show((stream,))

    @staticmethod
    def _counted(counts: Counts, fields: tuple[str, ...], event: TelemetryEvent) -> None:
        if isinstance(event, _OF_REQUESTS) and subjects.is_shadow(event.request_id):
            return
        labels = tuple([str(getattr(event, field)) for field in fields])
        counts.add(labels, event.count if isinstance(event, ForeignMessagesFound) else 1)

    def _connection_restored(self, event: ConnectionRestored) -> None:
        self.counts(table.DISCONNECTED_SECONDS).add((), event.seconds)

    def _admission_set(self, closed: int, _: AdmissionClosed | AdmissionOpened) -> None:
        self.counts(table.ADMISSION_CLOSED).set(closed)

    def _message_handled(self, event: ev.MessageHandled) -> None:
        stage, ending = event.stage, event.ending
        # The second token of a dead letter's subject is a stage.
        name = _DEAD if event.stream == pipeline.DEAD else event.name
        self._messages.add((stage, name, ending))
        if event.deliveries > 1:
            self._redeliveries.add((stage,))
        if ending in _AGAIN:
            if ending is not MessageEnding.HANDED_BACK:
                self._parked.add((stage,))
            return
        self._stage_seconds.observe(event.duration_ms / 1000, (stage,))

    def _result_published(self, event: ev.ResultPublished) -> None:
        if event.shadow:
            return
        self._results.add((event.stage, event.kind, event.status, event.origin, event.code))
        if event.latency_ms is not None:
            self._request_seconds.observe(event.latency_ms / 1000, (event.kind, event.status))

    def _provider_called(self, event: ProviderCalled) -> None:
        who = (event.provider, event.model)
        self._provider_calls.add((*who, event.stage, event.code))
        self._provider_seconds.observe(event.duration_ms / 1000, who)
        tokens = self.counts(table.PROVIDER_TOKENS)
        if event.prompt_tokens:
            tokens.add((*who, "prompt"), event.prompt_tokens)
        if event.completion_tokens:
            tokens.add((*who, "completion"), event.completion_tokens)
        if event.cost:
            self.counts(table.PROVIDER_COST).add(who, event.cost)


def _message_labels(stage: str) -> Iterator[tuple[str, ...]]:
    names = [name for name, row in pipeline.ROW_OF.items() if stage in row.consumed_by]
    for name in [*names, _DEAD] if stage in pipeline.RECORDERS else names:
        yield from ((stage, name, ending) for ending in MessageEnding)


def _result_labels(stage: str) -> Iterator[tuple[str, ...]]:
    for status in _STATUSES.get(stage, ()):
        for origin in ORIGINS_OF[status]:
            for code in _codes_of(status):
                yield from ((stage, kind, status, origin, code) for kind in KINDS)


def _codes_of(status: Status) -> tuple[str, ...]:
    """The codes that results of a status usually have; others are exported when they occur."""
    if status in _WITHOUT_CODE:
        return ("",)
    if status in _ONLY_CODE:
        return (_ONLY_CODE[status],)
    failures = tuple(code for code in _CODES if code not in _ONLY_CODE.values())
    return failures if status is Status.FAIL_FALLBACK else ("", ErrorCode.GEN_PROVIDER_DISABLED, *failures)
