"""PromQL expressions made from the table of metrics, so that none names a metric or a label that does not exist."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from infra.providers.circuit_metrics import Circuits
from infra.telemetry import metric_table as table
from infra.telemetry.metric_table import MetricSpec, MetricType

#: Window of rates in dashboards: Grafana knows the scrape interval.
GRAFANA: Final = "$__rate_interval"
#: Metrics whose values several copies of a stage export alike; elsewhere each process has its own.
_SHARED: Final = frozenset(
    {
        table.QUEUE_WAITING,
        table.QUEUE_UNACKNOWLEDGED,
        table.QUEUE_REDELIVERED,
        table.STREAM_MESSAGES,
        table.STREAM_BYTES,
        table.STREAM_LIMIT_BYTES,
        table.BUDGET_USED,
        table.ADMISSION_CLOSED,
    }
)
#: Metrics of the circuit breakers, which are defined beside these.
CIRCUIT_STATE, CIRCUIT_FAILURES = (
    MetricSpec(name=family.name, type=MetricType.GAUGE, help=family.documentation, labels=labels)
    for family, labels in zip(
        Circuits(()).describe(),
        (("provider", "model", "task", "state"), ("provider", "model", "task")),
        strict=True,
    )
)
#: Every metric of Understudy.
EVERY: Final = (
    *table.PROCESS_METRICS,
    CIRCUIT_STATE,
    CIRCUIT_FAILURES,
    *(each for each in table.GATEWAY_METRICS if each not in table.PROCESS_METRICS),
    *table.SUPERVISOR_METRICS,
)


def pick(spec: MetricSpec, suffix: str = "", /, **where: str) -> str:
    """A metric, filtered by labels.

    Args:
        spec: the metric.
        suffix: of a histogram's time series.
        **where: label and value; a value with a bar or a dot-star is a regular expression, and one that begins
            with ``!`` is excluded.

    Raises:
        ValueError: the metric has no such label.
    """
    require_labels(spec, where)
    found = ",".join(f"{label}{_matcher(value)}" for label, value in where.items())
    return f"{spec.name}{suffix}" + (f"{{{found}}}" if found else "")


def rate(spec: MetricSpec, *by: str, over: str = GRAFANA, **where: str) -> str:
    """The sum of rates per second, by labels."""
    require_labels(spec, dict.fromkeys(by, ""))
    return f"sum{_by(by)} (rate({pick(spec, **where)}[{over}]))"


def increase(spec: MetricSpec, *by: str, over: str, **where: str) -> str:
    """The sum of increases, by labels."""
    require_labels(spec, dict.fromkeys(by, ""))
    return f"sum{_by(by)} (increase({pick(spec, **where)}[{over}]))"


def quantile(share: float, spec: MetricSpec, *by: str, over: str = GRAFANA, **where: str) -> str:
    """A quantile of a histogram, by labels."""
    require_labels(spec, dict.fromkeys(by, ""))
    buckets = pick(spec, "_bucket", **where)
    return f"histogram_quantile({share:g}, sum{_by(('le', *by))} (rate({buckets}[{over}])))"


def value(spec: MetricSpec, *by: str, **where: str) -> str:
    """A gauge over all processes, by labels: the sum, or the largest where copies export the same value."""
    require_labels(spec, dict.fromkeys(by, ""))
    return f"{'max' if spec in _SHARED else 'sum'}{_by(by)} ({pick(spec, **where)})"


def share_unset(spec: MetricSpec, *by: str, over: str = GRAFANA) -> str:
    """The share of the time that a gauge of 0 or 1 was 0, by labels."""
    require_labels(spec, dict.fromkeys(by, ""))
    return f"1 - min{_by(by)} (avg_over_time({pick(spec)}[{over}]))"


def require_labels(spec: MetricSpec, labels: Mapping[str, str]) -> None:
    """Refuse labels that a metric does not have; every time series has ``process``.

    Raises:
        ValueError: naming the label.
    """
    unknown = set(labels) - {*spec.labels, "process"}
    if unknown:
        raise ValueError(f"{spec.name} has no label {', '.join(sorted(unknown))}")


def _by(labels: tuple[str, ...]) -> str:
    return f" by ({', '.join(labels)})" if labels else ""


def _matcher(value: str) -> str:
    excluded, text = value.startswith("!"), value.removeprefix("!")
    operator = ("!~" if excluded else "=~") if "|" in text or ".*" in text else ("!=" if excluded else "=")
    return f'{operator}"{text}"'
