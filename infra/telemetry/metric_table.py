"""Table of metrics: name, type, labels and buckets of everything that a process or the supervisor exports.

The circuit breakers' metrics are in ``infra.providers.circuit_metrics``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec


class MetricType(StrEnum):
    """Type of a metric, as in the exposition format."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class MetricSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One metric."""

    #: As it is queried; a counter's name ends in ``_total``.
    name: str
    type: MetricType
    #: One sentence.
    help: str
    labels: tuple[str, ...] = ()
    #: Upper bounds of a histogram, without ``+Inf``.
    buckets: tuple[float, ...] = ()

    @property
    def family(self) -> str:
        """The name without a counter's suffix."""
        return self.name.removesuffix("_total") if self.type is MetricType.COUNTER else self.name

    @property
    def samples(self) -> tuple[str, ...]:
        """Names of its time series."""
        if self.type is MetricType.HISTOGRAM:
            return tuple(f"{self.name}_{part}" for part in ("bucket", "count", "sum"))
        return (self.name,)


def _counter(name: str, said: str, *labels: str) -> MetricSpec:
    return MetricSpec(name=name, type=MetricType.COUNTER, help=said, labels=labels)


def _gauge(name: str, said: str, *labels: str) -> MetricSpec:
    return MetricSpec(name=name, type=MetricType.GAUGE, help=said, labels=labels)


def _histogram(name: str, said: str, *labels: str, buckets: tuple[float, ...]) -> MetricSpec:
    return MetricSpec(name=name, type=MetricType.HISTOGRAM, help=said, labels=labels, buckets=buckets)


_WORK_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_REQUEST_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)
_HTTP_S: Final = (0.001, 0.0025, 0.005, *_REQUEST_S)
_CALL_S: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 120.0)
_LAG_S: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)

# -- requests and results ----------------------------------------------------------------------

REQUESTS: Final = _counter(
    "understudy_requests_total",
    "Requests taken in, without shadows: fallback armed their deadline; rejected ones, too.",
    "kind",
)
RESULTS: Final = _counter(
    "understudy_results_total",
    "Results published, without shadows; code is the error behind the result, empty if there is none.",
    "stage",
    "kind",
    "status",
    "origin",
    "code",
)
REQUEST_SECONDS: Final = _histogram(
    "understudy_request_duration_seconds",
    "Seconds from the broker's timestamp of a request to its result, without shadows.",
    "kind",
    "status",
    buckets=_REQUEST_S,
)
RATINGS_LOWERED: Final = _counter(
    "understudy_ratings_lowered_total", "Requests that got a lower rating than requested, without shadows."
)
ADMISSION_CLOSED: Final = _gauge(
    "understudy_admission_closed", "1 while the broker refuses new requests because of load, else 0."
)

# -- stages ------------------------------------------------------------------------------------

MESSAGES: Final = _counter(
    "understudy_messages_total", "Messages handled, by event and ending.", "stage", "name", "ending"
)
STAGE_SECONDS: Final = _histogram(
    "understudy_stage_duration_seconds",
    "Seconds from the receipt of a message to its acknowledgement; parked messages are not included.",
    "stage",
    buckets=_WORK_S,
)
REDELIVERIES: Final = _counter(
    "understudy_redeliveries_total", "Messages handled that had been delivered before.", "stage"
)
PARKED: Final = _counter(
    "understudy_parked_total", "Messages that a stage put back, to be delivered again later.", "stage"
)
IN_HAND: Final = _gauge(
    "understudy_messages_in_hand", "Messages that this process is working on.", "stream", "stage"
)
DEAD_LETTERS: Final = _counter(
    "understudy_dead_letters_total", "Dead letters stored, without those of shadows.", "stage", "code"
)
DEAD_LETTERS_LOST: Final = _counter(
    "understudy_dead_letters_lost_total", "Dead letters that could not be stored.", "stage"
)
PUBLISH_RETRIES: Final = _counter(
    "understudy_publish_retries_total",
    "Publishes that the broker did not take and that are repeated.",
    "stage",
)
FOREIGN_MESSAGES: Final = _counter(
    "understudy_foreign_messages_total",
    "Messages that audit found under subjects that their stream does not keep; nothing reads them.",
    "stream",
)
DEFECTS: Final = _counter("understudy_defects_total", "Errors that point to a defect in Understudy.")
BACKGROUND_FAILURES: Final = _counter(
    "understudy_background_failures_total", "Failures of work beside the stages."
)

# -- queues and streams ------------------------------------------------------------------------

QUEUE_WAITING: Final = _gauge(
    "understudy_queue_waiting",
    "Messages that the broker has not delivered to the stage yet.",
    "stream",
    "stage",
)
QUEUE_UNACKNOWLEDGED: Final = _gauge(
    "understudy_queue_unacknowledged",
    "Messages delivered and not acknowledged: in work, or parked until their next delivery.",
    "stream",
    "stage",
)
QUEUE_REDELIVERED: Final = _gauge(
    "understudy_queue_redelivered",
    "Messages delivered more than once and not acknowledged.",
    "stream",
    "stage",
)
STREAM_MESSAGES: Final = _gauge("understudy_stream_messages", "Messages in a stream.", "stream")
STREAM_BYTES: Final = _gauge("understudy_stream_bytes", "Bytes in a stream.", "stream")
STREAM_LIMIT_BYTES: Final = _gauge(
    "understudy_stream_limit_bytes", "Byte limit of a stream, or the size to which it is swept.", "stream"
)

# -- providers, cache, budgets -----------------------------------------------------------------

PROVIDER_CALLS: Final = _counter(
    "understudy_provider_calls_total",
    "Provider calls that were made; code is empty for an answer, GEN_CANCELLED for a call whose answer nobody awaited.",
    "provider",
    "model",
    "stage",
    "code",
)
PROVIDER_SECONDS: Final = _histogram(
    "understudy_provider_call_duration_seconds",
    "Seconds of provider calls.",
    "provider",
    "model",
    buckets=_CALL_S,
)
PROVIDER_TOKENS: Final = _counter(
    "understudy_provider_tokens_total",
    "Tokens that providers reported; type is prompt or completion.",
    "provider",
    "model",
    "type",
)
PROVIDER_COST: Final = _counter(
    "understudy_provider_cost_total",
    "Cost that providers reported, in the currency of their prices.",
    "provider",
    "model",
)
CACHE_EVENTS: Final = _counter(
    "understudy_cache_events_total",
    "Events of the result cache: hits in memory, shared and older; followed, led, taken_over, stored, drifted.",
    "event",
)
BUDGET_USED: Final = _gauge(
    "understudy_budget_used_ratio",
    "Spent and reserved share of the cap in the current window; of the fullest budget in the scope.",
    "scope",
    "unit",
)

# -- processes ---------------------------------------------------------------------------------

BROKER_CONNECTED: Final = _gauge(
    "understudy_broker_connected", "1 while this process is connected to the broker, else 0."
)
CONNECTIONS_LOST: Final = _counter(
    "understudy_broker_connections_lost_total", "Connections to the broker that were lost."
)
DISCONNECTED_SECONDS: Final = _counter(
    "understudy_broker_disconnected_seconds_total",
    "Seconds without a connection, counted when it is restored.",
)
READY: Final = _gauge("understudy_ready", "1 while /readyz of this process answers 200, else 0.")
LOOP_LAG: Final = _histogram(
    "understudy_event_loop_lag_seconds",
    "Delay of a timer of the event loop, four times a second.",
    buckets=_LAG_S,
)
BUILD: Final = _gauge("understudy_build_info", "1; the labels have the versions.", "version", "python")

# -- gateway -----------------------------------------------------------------------------------

HTTP_REQUESTS: Final = _counter(
    "understudy_http_requests_total",
    "HTTP requests that the gateway answered; route is the path's template, a path that does not exist has none.",
    "method",
    "route",
    "status",
)
HTTP_SECONDS: Final = _histogram(
    "understudy_http_request_seconds",
    "Seconds from an HTTP request to the end of its answer; it contains the wait for a result.",
    "route",
    buckets=_HTTP_S,
)
HTTP_WAITING: Final = _gauge(
    "understudy_http_waiting", "HTTP requests that wait for the broker or for a result."
)
HTTP_STREAMS: Final = _gauge("understudy_http_streams", "Clients that read a stream of events.")

# -- supervisor --------------------------------------------------------------------------------

PROCESS_UP: Final = _gauge("understudy_process_up", "1 while the process runs, else 0.", "process")
PROCESS_READY: Final = _gauge(
    "understudy_process_ready",
    "1 while the process is bound to its consumers and its /readyz answers the supervisor in time, else 0.",
    "process",
)
PROCESS_RESTARTS: Final = _counter(
    "understudy_process_restarts_total", "Starts of the process after its first one.", "process"
)

#: What a process of stages exports, beside its circuit breakers and the ``process_*`` metrics of the client library.
PROCESS_METRICS: Final = (
    REQUESTS,
    RESULTS,
    REQUEST_SECONDS,
    RATINGS_LOWERED,
    ADMISSION_CLOSED,
    MESSAGES,
    STAGE_SECONDS,
    REDELIVERIES,
    PARKED,
    IN_HAND,
    DEAD_LETTERS,
    DEAD_LETTERS_LOST,
    PUBLISH_RETRIES,
    FOREIGN_MESSAGES,
    DEFECTS,
    BACKGROUND_FAILURES,
    QUEUE_WAITING,
    QUEUE_UNACKNOWLEDGED,
    QUEUE_REDELIVERED,
    STREAM_MESSAGES,
    STREAM_BYTES,
    STREAM_LIMIT_BYTES,
    PROVIDER_CALLS,
    PROVIDER_SECONDS,
    PROVIDER_TOKENS,
    PROVIDER_COST,
    CACHE_EVENTS,
    BUDGET_USED,
    BROKER_CONNECTED,
    CONNECTIONS_LOST,
    DISCONNECTED_SECONDS,
    READY,
    LOOP_LAG,
    BUILD,
)
#: What the supervisor exports itself.
SUPERVISOR_METRICS: Final = (PROCESS_UP, PROCESS_READY, PROCESS_RESTARTS)
#: What the gateway exports, beside the ``process_*`` metrics of the client library.
GATEWAY_METRICS: Final = (
    HTTP_REQUESTS,
    HTTP_SECONDS,
    HTTP_WAITING,
    HTTP_STREAMS,
    DEFECTS,
    BROKER_CONNECTED,
    CONNECTIONS_LOST,
    DISCONNECTED_SECONDS,
    READY,
    LOOP_LAG,
    BUILD,
)
