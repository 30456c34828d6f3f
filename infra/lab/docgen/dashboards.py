"""Dashboards: what infra/deploy/grafana/*.json show, as queries of the table of metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from infra.lab.docgen import promql
from infra.lab.docgen.grafana import Dashboard, Panel, Query
from infra.telemetry import metric_table as table

_FELL_BACK: Final = "cached_fallback|fail_fallback|placeholder|skipped"
_LIVE: Final = "success|cached"


def _one(title: str, text: str, expr: str, legend: str = "", **more: Any) -> Panel:
    return Panel(title=title, text=text, queries=(Query(expr=expr, legend=legend),), **more)


def _quantiles(
    title: str, text: str, spec: table.MetricSpec, *by: str, shares: Sequence[float] = (0.5, 0.95, 0.99)
) -> Panel:
    labels = " ".join(f"{{{{{label}}}}}" for label in by)
    queries = tuple(
        Query(expr=promql.quantile(share, spec, *by), legend=f"p{share * 100:g} {labels}".strip())
        for share in shares
    )
    return Panel(title=title, text=text, queries=queries, unit="s")


def _share(status: str) -> str:
    return f"{promql.rate(table.RESULTS, status=status)} / {promql.rate(table.RESULTS)}"


OVERVIEW: Final = Dashboard(
    uid="understudy-overview",
    title="Understudy: overview",
    rows=(
        (
            "Now",
            (
                _one(
                    "Requests",
                    "Accepted requests per second.",
                    promql.rate(table.REQUESTS),
                    unit="reqps",
                    type="stat",
                    width=4,
                ),
                _one(
                    "Model content",
                    "Share of results with generated or cached content.",
                    _share(_LIVE),
                    unit="percentunit",
                    type="stat",
                    width=4,
                ),
                _one(
                    "Stand-ins",
                    "Share of results with prepared content, a placeholder, or none on request.",
                    _share(_FELL_BACK),
                    unit="percentunit",
                    type="stat",
                    width=4,
                ),
                _one(
                    "p95",
                    "95 % of results come within this time.",
                    promql.quantile(0.95, table.REQUEST_SECONDS),
                    unit="s",
                    type="stat",
                    width=4,
                ),
                _one(
                    "Waiting",
                    "Messages that the broker has not delivered yet, over all stages.",
                    f"sum ({promql.value(table.QUEUE_WAITING, 'stream', 'stage')})",
                    type="stat",
                    width=4,
                ),
                _one(
                    "Processes not ready",
                    "Processes that are down, starting, or do not answer.",
                    f"count ({promql.pick(table.PROCESS_READY)} == 0) or vector(0)",
                    type="stat",
                    width=4,
                ),
            ),
        ),
        (
            "Requests and results",
            (
                _one(
                    "Requests by kind",
                    "Accepted requests.",
                    promql.rate(table.REQUESTS, "kind"),
                    "{{kind}}",
                    unit="reqps",
                ),
                _one(
                    "Results by status",
                    "How requests ended.",
                    promql.rate(table.RESULTS, "status"),
                    "{{status}}",
                    unit="reqps",
                    stacked=True,
                ),
                _one(
                    "Results by origin",
                    "Where the content came from.",
                    promql.rate(table.RESULTS, "origin"),
                    "{{origin}}",
                    unit="reqps",
                    stacked=True,
                ),
                _one(
                    "Errors by code",
                    "Errors behind the results.",
                    promql.rate(table.RESULTS, "code", code="!"),
                    "{{code}}",
                    unit="reqps",
                    stacked=True,
                ),
                _quantiles(
                    "Latency",
                    "From the broker's timestamp of the request to its result.",
                    table.REQUEST_SECONDS,
                ),
                _quantiles(
                    "Latency by status, p95",
                    "Stand-ins at the deadline take as long as it allows.",
                    table.REQUEST_SECONDS,
                    "status",
                    shares=(0.95,),
                ),
            ),
        ),
        (
            "Load",
            (
                _one(
                    "New requests refused",
                    "1 while the broker refuses new requests because of load.",
                    promql.value(table.ADMISSION_CLOSED),
                    "refused",
                ),
                _one(
                    "Ratings lowered",
                    "Requests that got a lower rating than requested.",
                    promql.rate(table.RATINGS_LOWERED),
                    "lowered",
                    unit="reqps",
                ),
                _one(
                    "Cache",
                    "Events of the result cache.",
                    promql.rate(table.CACHE_EVENTS, "event"),
                    "{{event}}",
                    unit="ops",
                ),
            ),
        ),
    ),
)

STAGES: Final = Dashboard(
    uid="understudy-stages",
    title="Understudy: stages and queues",
    rows=(
        (
            "Queues",
            (
                _one(
                    "Waiting",
                    "Messages that the broker has not delivered yet.",
                    promql.value(table.QUEUE_WAITING, "stream", "stage"),
                    "{{stage}} {{stream}}",
                ),
                _one(
                    "In work",
                    "Messages that processes are working on.",
                    promql.value(table.IN_HAND, "stage"),
                    "{{stage}}",
                ),
                _one(
                    "Parked",
                    "Messages delivered and not acknowledged that no process is working on.",
                    f"clamp_min({promql.value(table.QUEUE_UNACKNOWLEDGED, 'stream', 'stage')} - {promql.value(table.IN_HAND, 'stream', 'stage')}, 0)",
                    "{{stage}} {{stream}}",
                ),
                _one(
                    "Parked per second",
                    "Messages that stages put back for later.",
                    promql.rate(table.PARKED, "stage"),
                    "{{stage}}",
                    unit="ops",
                ),
                _one(
                    "Redelivered per second",
                    "Messages handled that had been delivered before.",
                    promql.rate(table.REDELIVERIES, "stage"),
                    "{{stage}}",
                    unit="ops",
                ),
                _one(
                    "Redelivered, open",
                    "Messages delivered more than once and not acknowledged.",
                    promql.value(table.QUEUE_REDELIVERED, "stream", "stage"),
                    "{{stage}} {{stream}}",
                ),
            ),
        ),
        (
            "Work",
            (
                _one(
                    "Messages",
                    "Messages handled.",
                    promql.rate(table.MESSAGES, "stage"),
                    "{{stage}}",
                    unit="ops",
                ),
                _one(
                    "Endings",
                    "How the work on messages ended.",
                    promql.rate(table.MESSAGES, "stage", "ending", ending="!emitted|recorded|scheduled"),
                    "{{stage}} {{ending}}",
                    unit="ops",
                ),
                _quantiles(
                    "Duration, p95",
                    "From the receipt of a message to its acknowledgement.",
                    table.STAGE_SECONDS,
                    "stage",
                    shares=(0.95,),
                ),
                _one(
                    "Dead letters",
                    "Dead letters stored.",
                    promql.rate(table.DEAD_LETTERS, "stage", "code"),
                    "{{stage}} {{code}}",
                    unit="ops",
                ),
                _one(
                    "Publishes repeated",
                    "Publishes that the broker did not take.",
                    promql.rate(table.PUBLISH_RETRIES, "stage"),
                    "{{stage}}",
                    unit="ops",
                ),
                _one(
                    "Defects",
                    "Errors that point to a defect, and failures of work beside the stages.",
                    f"{promql.rate(table.DEFECTS)} + {promql.rate(table.BACKGROUND_FAILURES)}",
                    "defects",
                    unit="ops",
                ),
            ),
        ),
        (
            "Processes and broker",
            (
                _one(
                    "Ready",
                    "1 while the supervisor gets an answer in time and the stages are bound.",
                    promql.pick(table.PROCESS_READY),
                    "{{process}}",
                ),
                _one(
                    "Restarts",
                    "Starts after the first one.",
                    promql.increase(table.PROCESS_RESTARTS, "process", over="1h"),
                    "{{process}}",
                ),
                _one(
                    "Connected to the broker",
                    "1 while a process is connected.",
                    promql.value(table.BROKER_CONNECTED, "process"),
                    "{{process}}",
                ),
                _quantiles(
                    "Event loop lag, p99", "Delay of timers.", table.LOOP_LAG, "process", shares=(0.99,)
                ),
                _one(
                    "CPU",
                    "Cores in use.",
                    "sum by (process) (rate(process_cpu_seconds_total[$__rate_interval]))",
                    "{{process}}",
                ),
                _one(
                    "Memory",
                    "Resident memory.",
                    "sum by (process) (process_resident_memory_bytes)",
                    "{{process}}",
                    unit="bytes",
                ),
                _one(
                    "Stream size",
                    "Share of the limit that a stream uses.",
                    f"{promql.value(table.STREAM_BYTES, 'stream')} / {promql.value(table.STREAM_LIMIT_BYTES, 'stream')}",
                    "{{stream}}",
                    unit="percentunit",
                ),
                _one(
                    "Stream messages",
                    "Messages in a stream.",
                    promql.value(table.STREAM_MESSAGES, "stream"),
                    "{{stream}}",
                ),
                _one(
                    "Without connection",
                    "Share of the time without a connection, by process.",
                    promql.share_unset(table.BROKER_CONNECTED, "process"),
                    "{{process}}",
                    unit="percentunit",
                ),
            ),
        ),
    ),
)

PROVIDERS: Final = Dashboard(
    uid="understudy-providers",
    title="Understudy: providers, tokens and cost",
    rows=(
        (
            "Calls",
            (
                _one(
                    "Calls",
                    "Provider calls.",
                    promql.rate(table.PROVIDER_CALLS, "provider", "model"),
                    "{{provider}} {{model}}",
                    unit="reqps",
                ),
                _one(
                    "Failed calls",
                    "Calls without a usable answer, by code.",
                    promql.rate(table.PROVIDER_CALLS, "provider", "code", code="!"),
                    "{{provider}} {{code}}",
                    unit="reqps",
                    stacked=True,
                ),
                _quantiles(
                    "Duration",
                    "Seconds of provider calls.",
                    table.PROVIDER_SECONDS,
                    "provider",
                    shares=(0.5, 0.95),
                ),
                _one(
                    "Circuit open",
                    "1 while a provider is not called after failures.",
                    f"max by (provider, model) ({promql.pick(promql.CIRCUIT_STATE, state='open')})",
                    "{{provider}} {{model}}",
                ),
                _one(
                    "Failures in a row",
                    "Consecutive failures of calls.",
                    f"max by (provider, model) ({promql.pick(promql.CIRCUIT_FAILURES)})",
                    "{{provider}} {{model}}",
                ),
            ),
        ),
        (
            "Tokens and cost",
            (
                _one(
                    "Tokens",
                    "Tokens per second.",
                    promql.rate(table.PROVIDER_TOKENS, "provider", "type"),
                    "{{provider}} {{type}}",
                    unit="cps",
                ),
                _one(
                    "Cost per hour",
                    "In the currency of the prices.",
                    f"3600 * {promql.rate(table.PROVIDER_COST, 'provider')}",
                    "{{provider}}",
                ),
                _one(
                    "Budgets",
                    "Used share of the fullest budget in each scope.",
                    promql.value(table.BUDGET_USED, "scope", "unit"),
                    "{{scope}} {{unit}}",
                    unit="percentunit",
                ),
            ),
        ),
    ),
)

EVERY: Final = (OVERVIEW, STAGES, PROVIDERS)
