"""docs/metrics.md: every metric with its type, labels and meaning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from infra.lab.docgen import markdown, promql
from infra.lab.docgen.alerts import ALERTS
from infra.lab.docgen.markdown import code, codes, table
from infra.telemetry import metric_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from infra.telemetry.metric_table import MetricSpec

_HEAD: Final = ("metric", "type", "labels", "meaning")


def page() -> str:
    """The page."""
    supervisor, gateway = metric_table.SUPERVISOR_METRICS, metric_table.GATEWAY_METRICS
    elsewhere = {*supervisor, *gateway} - set(metric_table.PROCESS_METRICS)
    return markdown.page(
        "# Metrics and alerts",
        markdown.notice("infra/telemetry/metric_table.py and infra/lab/docgen/alerts.py"),
        "[Telemetry](telemetry.md#metrics) says where they are answered. Names, types and labels are stable. Counters "
        "of stages, kinds, statuses and codes are exported with 0 from the start, those of a provider once it is "
        "known; a histogram of requests begins with the first result of its kind and status. Every label has a bounded number of values: what is not expected is counted as `other`. There are "
        "no labels for request ids, workspaces or nodes.",
        "The relay of `understudy up` adds the label `process` to every time series; so do the targets that it lists.",
        "## Processes of stages",
        table(_HEAD, _rows(each for each in promql.EVERY if each not in elsewhere)),
        "Besides, the `process_*` metrics of the Prometheus client library: CPU time, memory, open files, start time.",
        "Buckets of the histograms, in seconds:",
        table(
            ("histogram", "upper bounds"),
            [
                (code(each.name), ", ".join(f"{edge:g}" for edge in each.buckets))
                for each in promql.EVERY
                if each.buckets
            ],
        ),
        "## Gateway",
        table(_HEAD, _rows(gateway)),
        "Besides, the `process_*` metrics. A time series begins with the first request of its route and status.",
        "## Supervisor",
        table(_HEAD, _rows(supervisor)),
        "## Alerts",
        "`infra/deploy/prometheus/alerts.yml` has these rules.",
        table(
            ("alert", "severity", "after", "what to do"),
            [(code(each.name), each.severity, each.lasts, each.fix) for each in ALERTS],
        ),
    )


def _rows(specs: Iterable[MetricSpec]) -> list[tuple[str, ...]]:
    return [(code(each.name), each.type, codes(each.labels), each.help) for each in specs]
