"""Figures of groups of requests: rates, errors, tokens, cost, and percentiles of latency and work.

Percentiles are exact on every database: the value at rank ⌈q·n⌉ of the sorted values (nearest rank).
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from math import ceil
from typing import Any, Final

import msgspec

from contracts.result import Origin, Status
from infra.stores.rows import STAGE_COLUMNS

#: The model's own content, of this request or an earlier one.
SUCCESSES: Final = frozenset({Status.SUCCESS, Status.CACHED})
#: What the fallback gave instead.
STAND_INS: Final = frozenset(
    {Status.CACHED_FALLBACK, Status.FAIL_FALLBACK, Status.PLACEHOLDER, Status.SKIPPED}
)
FAILURES: Final = frozenset({Status.FAILED, Status.FAIL_VALIDATION})
#: Ended by the client or at intake: counted, but part of no rate and no percentile.
UNANSWERED: Final = frozenset({Status.CANCELLED, Status.REJECTED})
#: GroupName of results that no provider was called for.
CACHE: Final = "result cache"


class Percentiles(msgspec.Struct, frozen=True, kw_only=True):
    """Exact percentiles, in milliseconds."""

    p50: float
    p95: float
    p99: float


class StandInReason(msgspec.Struct, frozen=True, kw_only=True):
    """One reason why something stood in for the model's content."""

    #: Error code; ``None``: the result named none.
    code: str | None
    requests: int
    #: Share of the answered requests.
    rate: float


class GroupFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one group of requests."""

    #: What the group is: a content kind, the id of a node, a provider; ``None``: requests without one.
    name: str | None = None
    #: Model of the provider.
    model: str | None = None
    #: Results, by status too.
    requests: int
    statuses: dict[str, int]
    #: Results, by origin.
    origins: dict[str, int]
    #: Requests that were neither cancelled nor rejected.  All rates are shares of them.
    answered: int
    #: ``success`` and ``cached``; ``None`` without an answered request, as every rate.
    success_rate: float | None
    #: Share that got a golden sample, default content, a placeholder or nothing by choice (``skipped``).
    stand_in_rate: float | None
    #: The same by error code, most frequent first.
    stand_ins: tuple[StandInReason, ...]
    #: Share that ended without content: ``failed`` and ``fail_validation``.
    failure_rate: float | None
    #: Error codes of all results, whether something stood in or not.
    errors: dict[str, int]
    #: From ``requested`` to the result, of answered requests.
    latency_ms: Percentiles | None
    #: Provider calls.
    calls: int
    prompt_tokens: int | None
    completion_tokens: int | None
    #: Money, in the providers' currency; ``None``: no provider named a price.
    cost: float | None


class StageFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one stage."""

    name: str
    #: Answered requests that the stage worked on or failed.
    requests: int
    #: Its work on one request, all attempts together.
    work_ms: Percentiles | None
    #: Error codes of answered requests that failed there, whether something stood in or not.
    errors: dict[str, int]
    #: Their share of ``requests``; ``None`` without a request.
    failure_rate: float | None


class ResultCell:
    """The results of one window that agree in all of their :data:`ResultKey`."""

    __slots__ = ("calls", "completion", "cost", "latency", "number", "prompt", "work")

    def __init__(self) -> None:
        self.number = 0
        self.calls = 0
        self.prompt: int | None = None
        self.completion: int | None = None
        self.cost: float | None = None
        self.latency = array("d")
        self.work = tuple(array("d") for _ in STAGE_COLUMNS)

    def add(self, latency: int | None, sums: Sequence[Any], work: Sequence[float | None]) -> None:
        """Add one result.

        Args:
            latency: from ``requested`` to the result, ms.
            sums: provider calls, tokens of prompts and of answers, and cost.
            work: of each stage, ms.
        """
        self.number += 1
        calls, prompt, completion, cost = sums
        self.calls += calls
        if prompt is not None:
            self.prompt = (self.prompt or 0) + prompt
        if completion is not None:
            self.completion = (self.completion or 0) + completion
        if cost is not None:
            self.cost = (self.cost or 0.0) + cost
        if latency is not None:
            self.latency.append(latency)
        for values, value in zip(self.work, work, strict=True):
            if value is not None:
                values.append(value)


#: kind, provider, model, node, status, origin, error code, error stage.
ResultKey = tuple[str, str | None, str | None, str | None, str, str, str | None, str | None]
#: Name and model of a group.
GroupName = tuple[str | None, str | None]


def name_provider(key: ResultKey) -> GroupName:
    """The provider and model that a result is counted for."""
    # The provider of the first generation was not called for this request.
    return (CACHE, None) if key[5] == Origin.CACHE else (key[1], key[2])


def name_kind(key: ResultKey) -> GroupName:
    """The content kind."""
    return key[0], None


def name_node(key: ResultKey) -> GroupName:
    """The id of the node."""
    return key[3], None


def measure_groups(
    cells: Sequence[tuple[ResultKey, ResultCell]], *, by: Callable[[ResultKey], GroupName]
) -> tuple[GroupFigures, ...]:
    """The figures of each group, those with the most requests first."""
    groups: dict[GroupName, list[tuple[ResultKey, ResultCell]]] = defaultdict(list)
    for each in cells:
        groups[by(each[0])].append(each)
    figures = [measure_group(found, name=name, model=model) for (name, model), found in groups.items()]
    return tuple(sorted(figures, key=lambda each: (-each.requests, each.name or "", each.model or "")))


def measure_group(
    cells: Sequence[tuple[ResultKey, ResultCell]], *, name: str | None = None, model: str | None = None
) -> GroupFigures:
    """The figures of results together."""
    statuses: Counter[str] = Counter()
    origins: Counter[str] = Counter()
    reasons: Counter[str | None] = Counter()
    errors: Counter[str] = Counter()
    for key, cell in cells:
        status, origin, code = key[4:7]
        statuses[status] += cell.number
        origins[origin] += cell.number
        if code is not None:
            errors[code] += cell.number
        if status in STAND_INS:
            reasons[code] += cell.number
    answered = sum(number for status, number in statuses.items() if status not in UNANSWERED)
    return GroupFigures(
        name=name,
        model=model,
        requests=statuses.total(),
        statuses=dict(statuses.most_common()),
        origins=dict(origins.most_common()),
        answered=answered,
        success_rate=_share(statuses, SUCCESSES, answered),
        stand_in_rate=_share(statuses, STAND_INS, answered),
        stand_ins=tuple(
            StandInReason(code=code, requests=number, rate=round(number / answered, 4))
            for code, number in reasons.most_common()
        ),
        failure_rate=_share(statuses, FAILURES, answered),
        errors=dict(errors.most_common()),
        latency_ms=percentiles([cell.latency for key, cell in cells if key[4] not in UNANSWERED]),
        calls=sum(cell.calls for _, cell in cells),
        prompt_tokens=_sum(cell.prompt for _, cell in cells),
        completion_tokens=_sum(cell.completion for _, cell in cells),
        cost=_sum(cell.cost for _, cell in cells),
    )


def measure_stage(number: int, name: str, cells: Sequence[tuple[ResultKey, ResultCell]]) -> StageFigures:
    """The figures of the stage with a number in the order of the pipeline."""
    values = [cell.work[number] for _, cell in cells]
    errors: Counter[str] = Counter()
    requests = 0
    for key, cell in cells:
        if key[4] in UNANSWERED:
            continue
        failed_here = key[7] == name and key[6] is not None
        if failed_here:
            errors[key[6] or ""] += cell.number
        # A stage that failed a request need not have a time: fallback does for a deadline.
        requests += cell.number if failed_here else len(cell.work[number])
    return StageFigures(
        name=name,
        requests=requests,
        work_ms=percentiles(values),
        errors=dict(errors.most_common()),
        failure_rate=round(errors.total() / requests, 4) if requests else None,
    )


def percentiles(parts: Iterable[Sequence[float]]) -> Percentiles | None:
    """The exact percentiles of several sequences together; ``None`` without a value."""
    values = sorted(value for part in parts for value in part)
    if not values:
        return None
    p50, p95, p99 = (round(values[ceil(len(values) * q / 100) - 1], 3) for q in (50, 95, 99))
    return Percentiles(p50=p50, p95=p95, p99=p99)


def _share(statuses: Counter[str], of: Iterable[str], answered: int) -> float | None:
    return round(sum(statuses[each] for each in of) / answered, 4) if answered else None


def _sum(values: Iterable[Any]) -> Any:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
