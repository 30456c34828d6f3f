"""docs/benchmarks.md: the figures of `understudy bench proof`, from docs/benchmarks.json."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from infra.lab.bench.outcomes import PROMISED_S
from infra.lab.bench.proof.costs import COST_LIMIT
from infra.lab.bench.proof.sections import SECTIONS
from infra.lab.docgen.markdown import code, notice, page, table

FIGURES: Final = Path(__file__).resolve().parents[3] / "docs" / "benchmarks.json"

Figures = Mapping[str, Any]

_INTRODUCTION: Final = f"""
# Benchmarks

How often the promise was broken, by kind of fault, and what the pipeline costs. `understudy bench proof --output
docs/benchmarks.json` measures everything again (about an hour and a half on two cores; root for a full disk and a node
that is cut off); `understudy bench proof SECTION` measures a part. Broker, stages, load and clients share one machine, so
the figures are lower bounds. Each section names its machine, date and commit.

Lost: accepted, and no result. Doubled: a second result. Unlabelled: a result whose label, hash or stand-in does not match
its content. Late: stored more than {PROMISED_S:g} s after the deadline, without the time in which no broker or no fallback ran.
"""


def render() -> str:
    """The page."""
    found: Figures = msgspec.json.decode(FIGURES.read_bytes()) if FIGURES.is_file() else {}
    parts = [notice("`docs/benchmarks.json`"), _INTRODUCTION]
    for name, section in SECTIONS.items():
        if name in found:
            one = found[name]
            parts += [f"## {section.says}", _RENDER[name](one["figures"]), _source(name, one)]
    missing = [name for name in SECTIONS if name not in found]
    if missing:
        parts.append(f"Not measured yet: {', '.join(map(code, missing))}.")
    return page(*parts)


def _source(name: str, one: Figures) -> str:
    return (
        f"{code(f'understudy bench proof {name}')}, {one['date']}, commit {one['commit']}, load average "
        f"{one['load_average']:g} at the start. {one['machine']}."
    )


def _campaign(found: Figures) -> str:
    plan, after = found["plan"], found["after"]
    said = [
        (
            f"**{found['faults']} faults, {found['accepted']:,} accepted requests: {found['lost']} lost, {found['doubled']} doubled, "
            f"{found['unlabelled']} unlabelled, {found['late']} late.**"
        ),
        (
            f"{plan['rate']:g} requests per second for {found['seconds'] / 60:.0f} minutes, deadline {plan['deadline_ms'] / 1000:g} s, seed "
            f"{plan['seed']}; for three requests in ten the model fails, is late, or writes broken JSON; a client cancels one every two seconds. "
            f"Results beyond the deadline: p50 {found['late_s']['p50']:.2f} s, p99 {found['late_s']['p99']:.2f} s, worst {found['late_s']['max']:.2f} s "
            f"(negative: before it). {found['without_service_s']:g} s without a broker or a fallback. Audit: "
            f"{'one row for each request' if not after['rows_wrong'] else str(after['rows_wrong']) + ' rows wrong'}; dead letters: "
            f"{', '.join(f'{count} {name}' for name, count in after['letters'].items()) or 'none'}."
        ),
    ]
    rows = [
        (
            each["kind"],
            each["target"],
            str(each["faults"]),
            f"{each['requests']:,}",
            *(str(each[name]) for name in ("lost", "doubled", "unlabelled", "late")),
            "" if each["worst_s"] is None else f"{each['worst_s']:.2f}",
        )
        for each in found["by_fault"]
    ]
    head = (
        "fault",
        "target",
        "times",
        "requests",
        "lost",
        "doubled",
        "unlabelled",
        "late",
        "worst, s beyond the deadline",
    )
    endings = ", ".join(f"{name} {count:,}" for name, count in found["endings"].items())
    return page(
        *said,
        "Requests are counted with the last fault that began before their result, up to 15 s after its end:",
        table(head, rows),
        f"Endings: {endings}.",
        *(f"Left out: {each}." for each in after["left_out"]),
    )


def _scale(found: Figures) -> str:
    names = [name for name in found["points"][0]["cpu_ms"] if name != "total"]
    rows = [
        (
            f"{each['events']:,}",
            f"{each['requests_per_s']:.0f}",
            f"{each['p50_ms']:.1f}",
            f"{each['p99_ms']:.1f}",
            f"{each['cpu_ms']['total']:.2f}",
            *(f"{each['cpu_ms'][name]:.2f}" for name in names),
            f"{each['memory_mib'].get('broker', 0):.0f}",
            f"{sum(each['memory_mib'].values()):.0f}",
        )
        for each in found["points"]
    ]
    head = (
        "stored events", "requests/s", "p50 ms", "p99 ms", "CPU ms/request", *names, "broker MiB", "all MiB",
    )  # fmt: skip
    return page(
        f"A request costs **{found['ratio']:.2f}** times as much at the most stored events as in a pipeline beside it with "
        f"the fewest (bar: {COST_LIMIT:g}; {len(found['pairs'])} pairs of bursts in turn: "
        f"{', '.join(f'{each:.2f}' for each in sorted(found['pairs']))}). In the table, medians of three bursts; the columns "
        "after the sum are CPU milliseconds by process.",
        table(head, rows),
    )


def _pipeline(found: Figures) -> str:
    rows: list[tuple[str, ...]] = []
    for mode, figures in found["modes"].items():
        for name, label in (("ours", "Understudy"), ("handwritten", "hand-written loop")):
            one = figures[name]
            rows.append(
                (
                    mode,
                    label,
                    f"{one['requests_per_s']:.0f}",
                    f"{one['p50_ms']:.1f}",
                    f"{one['p99_ms']:.1f}",
                    f"{one['cpu_ms_per_request']['total']:.2f}",
                )
            )
    fallback = found["fallback_ms"]
    return page(
        "The hand-written loop does the same durable work with nats-py: a consumer, a model call, a row, a result. "
        f"Throughput is {found['throughput_ratio']:.2f} of its, latency {found['latency_ratio']:.2f}, CPU {found['cpu_ratio']:.2f} "
        f"(the worse of two modes of the broker's fsync). From a failure to the stand-in: p50 {fallback['p50']:.1f} ms, p99 "
        f"{fallback['p99']:.1f} ms.",
        table(("fsync", "", "requests/s", "p50 ms", "p99 ms", "CPU ms/request"), rows),
    )


def _stages(found: Figures) -> str:
    rows = [(stage, f"{one['p50_ms']:.2f}", f"{one['p99_ms']:.2f}") for stage, one in found["stages"].items()]
    return page(
        f"{found['requests']} requests one after another, a model that answers at once, every write fsynced: "
        "time between the broker's timestamps.",
        table(("stage", "p50 ms", "p99 ms"), rows),
    )


def _workers(found: Figures) -> str:
    return (
        f"A model call of {found['call_ms']} ms, {found['calls_at_once']} at once in each worker: one worker "
        f"{found['one_per_s']:g} requests/s, two {found['two_per_s']:g}: **{found['ratio']:.2f} times as many**."
    )


def _overload(found: Figures) -> str:
    rows: list[tuple[str, ...]] = []
    for mode in found["modes"]:
        for step in mode["steps"]:
            one = step["tally"]
            late = one["late_s"]
            rows.append(
                (
                    mode["model"],
                    step["name"],
                    f"{one['offered_per_s']:.0f}",
                    f"{one['accepted_per_s']:.0f}",
                    f"{one['refused_share']:.0%}",
                    f"{one['in_time_share']:.2%}",
                    *("" if late[name] is None else f"{late[name]:.2f}" for name in ("p50", "p99", "max")),
                )
            )
    head = (
        "model", "load", "asked/s", "accepted/s", "refused", "in time", "p50 s", "p99 s", "worst s",
    )  # fmt: skip
    return page(
        "Multiples of what can be served, then 5,000 requests as fast as the broker takes them. What is above the capacity is "
        "refused at the door; what is accepted is answered. Seconds are beyond the deadline of 2 s; slow: a model that serves "
        "50 requests/s; none: stand-ins only.",
        table(head, rows),
    )


def _gateway(found: Figures) -> str:
    bare, saturated, held = found["bare"], found["saturated"], found["held"]
    rows = [
        (
            label,
            f"{saturated[name]['requests_per_s']:.0f}",
            *(f"{part[name][each]:.1f}" for part in (saturated, held) for each in ("p50_ms", "p99_ms")),
        )
        for name, label in (("nats", "NATS"), ("http", "HTTP"))
    ]
    return page(
        f"{found['in_flight']} requests in flight: *saturated*, as fast as there are answers, where latency follows from throughput; "
        f"*held*, at a quarter of that rate with a model that takes {found['held_ms'] / 1000:.1f} s, where nothing queues. HTTP has "
        f"{found['throughput_ratio']:.2f} of the throughput, and adds {found['added_p50_ms']:.1f} ms (p50) and "
        f"{found['added_p99_ms']:.1f} ms (p99) to a held request. A bare FastAPI endpoint answers {bare['requests_per_s']:,.0f}/s here.",
        table(
            ("clients", "requests/s", "saturated p50 ms", "saturated p99 ms", "held p50 ms", "held p99 ms"),
            rows,
        ),
    )


def _replay(found: Figures) -> str:
    return "\n".join(
        f"fsync {each['sync']}: {each['letters']:,} letters planned and stored in {each['plan_s']:.1f} s, published at "
        f"{each['per_s']:,}/s; with a rate of {each['rate']:g}/s: {each['rate_reached']:g}/s."
        for each in found["modes"]
    )


def _readers(found: Figures) -> str:
    return (
        f"The audit, which wakes up to {found['audit_backlog']:,} events, writes {found['audit_events_per_s']:,} events/s to SQLite; "
        f"reading the log, as tail and rebuild do: {found['log_events_per_s']:,} events/s."
    )


_RENDER: Final[Mapping[str, Callable[[Figures], str]]] = {
    "faults": _campaign,
    "full-disk": _campaign,
    "cluster": _campaign,
    "scale": _scale,
    "pipeline": _pipeline,
    "stages": _stages,
    "workers": _workers,
    "overload": _overload,
    "gateway": _gateway,
    "replay": _replay,
    "readers": _readers,
}
