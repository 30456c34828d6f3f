"""Cost checks: generations per request, deadlines and budgets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from contracts.nodes.layers import DEFAULTS
from contracts.nodes.node import FallbackMode, Strategy
from contracts.nodes.validation import limits
from contracts.nodes.validation.check import Check, CheckResult, Facts, Reading, Severity, example


def _fresh(reading: Reading) -> Iterable[CheckResult]:
    kind = reading.node.generation_type
    chosen = reading.set_by.get("strategy") != DEFAULTS
    if reading.node.strategy is Strategy.ALWAYS and kind in limits.HEAVY_KINDS and chosen:
        yield CheckResult(
            ("strategy",),
            f"'always' writes a {kind} anew for every request, and that kind takes a model longest",
            "'per_player' or 'per_playthrough' shares it",
        )


def _slow(reading: Reading) -> Iterable[CheckResult]:
    p95, fallback = reading.facts.p95_ms, reading.node.fallback
    if p95 is None:
        return
    patience = fallback.timeout_ms if fallback and fallback.mode is not FallbackMode.RETRY else None
    if patience is not None and p95 > patience:
        yield CheckResult(
            ("fallback", "timeout_ms"),
            f"one request in twenty takes more than {p95:g} ms, and the fallback answers after {patience} ms",
            "allow more time, or ask for less",
        )
    elif p95 > limits.SLOWEST_P95_MS:
        yield CheckResult(
            (),
            f"one request in twenty takes more than {p95:g} ms, above {limits.SLOWEST_P95_MS} ms",
            "ask for less, or route its kind to a faster provider",
        )


def _away(reading: Reading) -> Iterable[CheckResult]:
    if reading.facts.provider_available is False:
        kind = reading.node.generation_type
        yield CheckResult(
            (),
            f"the provider of {f'kind {str(kind)!r}' if kind else 'its kind'} does not answer now",
            "requests get their fallback until it does; `understudy doctor` says what is missing",
        )


def _nameless(reading: Reading) -> Iterable[CheckResult]:
    node = reading.node
    if node.budget is not None and node.id is None and node.template_id is None:
        yield CheckResult(
            ("budget",),
            "the node has a budget and no name, so its generations cannot be identified",
            "give it an `id`",
        )


CHECKS: Final = (
    Check(
        code="PER001",
        severity=Severity.WARNING,
        title="heavy kind, generated anew each time",
        why=f"Documents of {', '.join(limits.HEAVY_KINDS)} are long; with `always` every request waits and pays.",
        find=_fresh,
        failing=example(generationType="plot", strategy="always", seedSource="timestamp"),
        passing=example(strategy="always", seedSource="timestamp"),
    ),
    Check(
        code="PER002",
        severity=Severity.WARNING,
        title="slow node",
        why=f"Its p95 latency is above {limits.SLOWEST_P95_MS} ms, or above the deadline of its fallback.",
        find=_slow,
        needs="p95_ms",
        failing=example(fallback={"mode": "golden_sample", "timeoutMs": 4000}, facts=Facts(p95_ms=5200)),
        passing=example(fallback={"mode": "golden_sample", "timeoutMs": 8000}, facts=Facts(p95_ms=5200)),
    ),
    Check(
        code="BUD001",
        severity=Severity.ERROR,
        title="budget without a name",
        why="All generations of a node share one budget; `id`, else `templateId`, identifies the node.",
        find=_nameless,
        failing=example(budget={"tokens": 50_000}),
        passing=example(id="harbour_storm", budget={"tokens": 50_000}),
    ),
    Check(
        code="PRV001",
        severity=Severity.WARNING,
        title="provider away",
        why="The node is correct, but until the provider answers, requests get their fallback.",
        find=_away,
        needs="provider_available",
        failing=example(facts=Facts(provider_available=False)),
        passing=example(facts=Facts(provider_available=True)),
    ),
)
