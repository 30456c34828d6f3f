"""Scores of evaluation runs: of one case, and of all results of a run together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from contracts.nodes.required_terms import join_texts, mentions
from contracts.result import Meta, Status
from infra.inspect import evaluation_math, experiment_math
from infra.inspect.comparison import RequestOutcome
from infra.inspect.experiment_math import Interval, UnitResults
from infra.stores.evaluation_sets import EvaluationCase
from infra.stores.evaluations import CaseResult

#: Status of a request without a result.
NO_RESULT: Final = "no_result"
#: State of a judgement that has a score.
SCORED: Final = "scored"
#: Digits of a rubric's hash that are kept.
_RUBRIC_DIGITS: Final = 8
#: Probability that an interval misses.
ERROR: Final = 0.05


class FailureReason(msgspec.Struct, frozen=True, kw_only=True):
    """Results that are not the model's content, with the same cause."""

    status: str
    code: str | None
    results: int


class RunTotals(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of a run; an interval is ``None`` where no result has the figure."""

    results: int
    #: Share of the results with valid content.
    valid: Interval | None
    failures: tuple[FailureReason, ...]
    #: Mean share of the facts that are mentioned, of cases that name some; without valid content none is.
    facts: Interval | None
    #: Share without an avoided term, and share in time, of cases that name them; both need valid content.
    avoid: Interval | None
    in_time: Interval | None
    #: Means over valid contents.
    quality: Interval | None
    judge: Interval | None
    #: Judgements by state; empty: there is no judge.
    judged: dict[str, int]
    #: Of valid contents, ms.
    p50_ms: Interval | None
    p95_ms: Interval | None
    #: Means over the results whose figures are known.
    tokens: Interval | None
    cost: Interval | None
    #: Sums over all results; ``None``: no result has it.
    all_tokens: int | None
    all_cost: float | None
    #: Valid contents by how they became valid, and re-asks of structuring.
    repairs: dict[str, int]
    reasks: int
    #: Valid contents by kind and ``PROVIDER/MODEL``, and by kind and prompt version.
    writers: dict[str, dict[str, int]]
    prompt_versions: dict[str, dict[str, int]]


def score(
    case: EvaluationCase, repeat: int, *, request_id: str, kind: str, outcome: RequestOutcome | None
) -> CaseResult:
    """The scores of one result.

    Args:
        case: what was asked and expected.
        repeat: which of its repeats it is, from 1.
        request_id: of the request.
        kind: its content kind.
        outcome: what is known of the request; ``None``: nothing.
    """
    result = None if outcome is None else outcome.result
    # A cached content would say nothing about today's routes.
    valid = result is not None and result.status is Status.SUCCESS
    text = join_texts(outcome.content) if valid and outcome is not None else ""
    missing = tuple(fact[0] for fact in case.facts if not any(mentions(text, each) for each in fact))
    bare = CaseResult(
        case=case.name,
        case_hash=case.digest,
        repeat=repeat,
        request_id=request_id,
        kind=kind,
        status=NO_RESULT if result is None else str(result.status),
        valid=valid,
        facts=len(case.facts),
        facts_kept=len(case.facts) - len(missing),
        missing=missing if valid else (),
        avoid=len(case.avoid),
        found=tuple(each for each in case.avoid if mentions(text, each)),
        max_latency_ms=case.max_latency_ms,
        latency_ms=None if outcome is None else outcome.latency_ms,
    )
    if result is None:
        return bare
    meta = result.meta
    return msgspec.structs.replace(
        bare,
        origin=str(result.origin),
        code=None if result.error is None else str(result.error.code),
        quality=meta.quality_score if valid else None,
        **_read_judgement(meta),
        prompt_tokens=meta.cost.tokens.prompt,
        completion_tokens=meta.cost.tokens.completion,
        cost=meta.cost.amount,
        repair=None if meta.receipt is None else str(meta.receipt.level),
        reasks=0 if meta.receipt is None else meta.receipt.reasks,
        provider=meta.provider,
        model=meta.model,
        prompt_version=meta.prompt_version,
    )


def _read_judgement(meta: Meta) -> dict[str, Any]:
    """What the judge said, as fields of :class:`CaseResult`; none: no judge looked at the content."""
    found: Any = getattr(meta, "evaluation", None)
    if found is None:
        return {}
    by = (found.provider, found.model, found.rubric, (found.rubric_hash or "")[:_RUBRIC_DIGITS])
    return {
        "judge": str(found.state),
        "judge_score": found.score if found.state == SCORED else None,
        "judged_by": "/".join(each for each in by if each) or None,
    }


def add_up(results: Sequence[CaseResult], *, seed: str) -> RunTotals:
    """The figures of results; the same results and seed give the same intervals.

    Args:
        results: of one run.
        seed: any text.
    """
    valid = [each for each in results if each.valid]

    def mean(value: Callable[[CaseResult], float | None]) -> Interval | None:
        return evaluation_math.measure_mean(_by_case(results, value), seed=seed, error=ERROR)

    def percentile(share: float) -> Interval | None:
        latencies = _by_case(valid, lambda each: each.latency_ms)
        return evaluation_math.measure_percentile(latencies, share, seed=seed, error=ERROR)

    tokens = [each.tokens for each in results if each.tokens is not None]
    costs = [each.cost for each in results if each.cost is not None]
    reasons = Counter((each.status, each.code) for each in results if not each.valid)
    return RunTotals(
        results=len(results),
        valid=_rate(results, lambda each: each.valid),
        failures=tuple(
            FailureReason(status=status, code=code, results=number)
            for (status, code), number in reasons.most_common()
        ),
        facts=mean(MEASURED["facts"]),
        avoid=_rate([each for each in results if each.avoid], lambda each: each.valid and not each.found),
        in_time=_rate([each for each in results if each.max_latency_ms], lambda each: each.in_time),
        quality=mean(MEASURED["quality"]),
        judge=mean(MEASURED["judge"]),
        judged=dict(Counter(each.judge for each in valid if each.judge is not None).most_common()),
        p50_ms=percentile(0.5),
        p95_ms=percentile(0.95),
        tokens=mean(MEASURED["tokens"]),
        cost=mean(MEASURED["cost"]),
        all_tokens=sum(tokens) if tokens else None,
        all_cost=sum(costs) if costs else None,
        repairs=dict(Counter(each.repair for each in valid if each.repair is not None).most_common()),
        reasks=sum(each.reasks for each in results),
        writers=_count(valid, lambda each: f"{each.provider}/{each.model}"),
        prompt_versions=_count(valid, lambda each: each.prompt_version),
    )


#: What each measure says of one result; ``None``: nothing.
MEASURED: Final[dict[str, Callable[[CaseResult], float | None]]] = {
    "valid": lambda each: float(each.valid),
    "facts": lambda each: each.facts_kept / each.facts if each.facts else None,
    "avoid": lambda each: float(each.valid and not each.found) if each.avoid else None,
    "in_time": lambda each: float(each.in_time) if each.max_latency_ms else None,
    "quality": lambda each: each.quality if each.valid else None,
    "judge": lambda each: each.judge_score if each.valid else None,
    "latency": lambda each: each.latency_ms if each.valid else None,
    "tokens": lambda each: each.tokens,
    "cost": lambda each: each.cost,
}


def _by_case(
    results: Sequence[CaseResult], value: Callable[[CaseResult], float | None]
) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for each in results:
        measured = value(each)
        if measured is not None:
            found.setdefault(each.case, []).append(measured)
    return found


def _rate(results: Sequence[CaseResult], holds: Callable[[CaseResult], bool]) -> Interval | None:
    """A share, with Wilson's interval; repeats of one case resemble each other."""
    if not results:
        return None
    units: dict[str, UnitResults] = {}
    for each in results:
        unit = units.setdefault(each.case, UnitResults())
        unit.results += 1
        unit.successes += holds(each)
    return experiment_math.measure_rate(units, ERROR)


def _count(
    results: Sequence[CaseResult], name: Callable[[CaseResult], str | None]
) -> dict[str, dict[str, int]]:
    found: dict[str, Counter[str]] = {}
    for each in results:
        said = name(each)
        if said is not None:
            found.setdefault(each.kind, Counter())[said] += 1
    return {kind: dict(counted.most_common()) for kind, counted in sorted(found.items())}
