"""Comparison of two requests: what was asked, what came of it, and the fields of the content that differ."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from contracts import request
from contracts.lineage import DESCENT
from contracts.nodes.node import Rating
from contracts.policy.pointer_diff import PointerDifference, diff
from contracts.result import ResultBody, Status

#: Statuses of the model's own, checked content.
_VALID: Final = frozenset({Status.SUCCESS, Status.CACHED})
#: A step of a pointer into a list.
_INDEX: Final = re.compile(r"/[0-9]+(?=/|$)")


class RequestOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one request."""

    request_id: str
    kind: str
    #: Its body as JSON values; ``None``: it is no longer known.
    body: Mapping[str, Any] | None
    #: ``None``: it has none yet.
    result: ResultBody | None
    #: The document, also where the result has only a reference to it.
    content: Any = None
    #: Milliseconds from the request to its result.
    latency_ms: int | None = None
    #: The request that it repeats.
    replay_of: str | None = None


class Measures(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one result; ``None`` where they are not known."""

    request_id: str
    #: A :class:`~contracts.result.Status`; ``None``: there is no result.
    status: str | None = None
    origin: str | None = None
    #: Whether it is the model's own content that passed all checks.
    valid: bool = False
    #: How the document became valid.
    receipt: str | None = None
    error: str | None = None
    quality: float | None = None
    rating: str | None = None
    prompt_version: str | None = None
    provider: str | None = None
    model: str | None = None
    seed: int | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    #: Money, in the provider's currency.
    cost: float | None = None
    latency_ms: int | None = None

    @property
    def writer(self) -> str | None:
        """Provider and model, as ``PROVIDER/MODEL``."""
        return None if self.model is None else f"{self.provider}/{self.model}"


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two requests side by side."""

    kind: str
    a: Measures
    b: Measures
    #: What was asked differently.
    asked: tuple[PointerDifference, ...]
    #: Whether the contents are equal; ``None``: one of them has none.
    equal: bool | None
    #: What makes the second content of the first.
    content: tuple[PointerDifference, ...]


class FieldCount(msgspec.Struct, frozen=True, kw_only=True):
    """How often one field of the content of one kind differs."""

    kind: str
    #: JSON Pointer with ``*`` for each place in a list.
    field: str
    #: Pairs in which it differs, and their share of the kind's pairs with two contents that a model wrote.
    pairs: int
    share: float
    #: Changes of all pairs by what they do.
    added: int = 0
    removed: int = 0
    replaced: int = 0
    moved: int = 0


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one side of many pairs; ``None`` where no request of the side has one."""

    requests: int
    #: Requests without a result.
    open: int
    #: By status, in the order of the statuses.
    statuses: dict[str, int]
    #: Results by effective rating, the mildest first.
    ratings: dict[str, int]
    #: Results by error code, prompt version, and provider and model; the most frequent first.
    errors: dict[str, int]
    prompt_versions: dict[str, int]
    models: dict[str, int]
    valid: int
    #: Arithmetic means and sums of those that are known.
    quality: float | None
    prompt_tokens: int | None
    completion_tokens: int | None
    cost: float | None
    #: Nearest-rank percentiles.
    latency_p50_ms: int | None
    latency_p95_ms: int | None


class ComparisonSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Many pairs together."""

    pairs: int
    #: Pairs with two contents that a model wrote, and those of them whose contents are equal.
    comparable: int
    equal: int
    a: Totals
    b: Totals
    #: The most frequent first.
    fields: tuple[FieldCount, ...]
    #: What was asked differently, by pointer: the number of pairs.
    asked: dict[str, int]


def compare(a: RequestOutcome, b: RequestOutcome) -> Comparison:
    """Compare two requests; the same input gives the same output."""
    both = a.content is not None and b.content is not None
    changes = diff(a.content, b.content) if both else ()
    return Comparison(
        kind=a.kind,
        a=measure(a),
        b=measure(b),
        asked=_diff_asked(a, b),
        equal=not changes if both else None,
        content=changes,
    )


def measure(outcome: RequestOutcome) -> Measures:
    """The figures of a request's result."""
    result = outcome.result
    if result is None:
        return Measures(request_id=outcome.request_id)
    meta = result.meta
    tokens = meta.cost.tokens
    return Measures(
        request_id=outcome.request_id,
        status=result.status.value,
        origin=result.origin.value,
        valid=result.status in _VALID,
        receipt=None if meta.receipt is None else meta.receipt.level.value,
        error=None if result.error is None else result.error.code.value,
        quality=meta.quality_score,
        rating=meta.rating.effective.value,
        prompt_version=meta.prompt_version,
        provider=meta.provider,
        model=meta.model,
        seed=meta.seed,
        prompt_tokens=tokens.prompt,
        completion_tokens=tokens.completion,
        cost=meta.cost.amount,
        latency_ms=outcome.latency_ms,
    )


def summarise(found: Sequence[Comparison]) -> ComparisonSummary:
    """The figures of many comparisons; their order does not matter."""
    # How a stand-in differs from what a model wrote says nothing about the change.
    comparable = [each for each in found if each.equal is not None and each.a.valid and each.b.valid]
    return ComparisonSummary(
        pairs=len(found),
        comparable=len(comparable),
        equal=sum(each.equal is True for each in comparable),
        a=_total([each.a for each in found]),
        b=_total([each.b for each in found]),
        fields=_count_fields(comparable),
        asked=_count_asked(found),
    )


def generalise(pointer: str) -> str:
    """A pointer with ``*`` for each place in a list."""
    return _INDEX.sub("/*", pointer)


def _diff_asked(a: RequestOutcome, b: RequestOutcome) -> tuple[PointerDifference, ...]:
    if a.body is None or b.body is None:
        return ()
    one, other = _asked(a), _asked(b)
    for seeded, plain, outcome in ((other, one, a), (one, other, b)):
        if (
            "seed" not in plain
            and outcome.result is not None
            and seeded.get("seed") == outcome.result.meta.seed
        ):
            # A rerun names the seed that its original had without naming it.
            seeded.pop("seed", None)
    return diff(one, other)


def _asked(outcome: RequestOutcome) -> dict[str, Any]:
    """What a request says, under canonical names and without defaults; its own body where it cannot be read."""
    try:
        read = request.read(msgspec.json.encode(outcome.body), outcome.kind)
    except request.RequestError:
        said = dict(outcome.body or {})
    else:
        said = read.model_dump(mode="json", by_alias=False, exclude_defaults=True)
    return {name.removesuffix("_"): value for name, value in said.items() if name not in DESCENT}


def _count_fields(found: Sequence[Comparison]) -> tuple[FieldCount, ...]:
    kinds = Counter(each.kind for each in found)
    pairs: Counter[tuple[str, str]] = Counter()
    changes: dict[tuple[str, str], Counter[str]] = {}
    for each in found:
        pairs.update((each.kind, field) for field in {generalise(change.path) for change in each.content})
        for change in each.content:
            changes.setdefault((each.kind, generalise(change.path)), Counter())[change.op] += 1
    ordered = sorted(pairs, key=lambda one: (-pairs[one], one[1], one[0]))
    return tuple(
        FieldCount(
            kind=kind,
            field=field,
            pairs=pairs[kind, field],
            share=round(pairs[kind, field] / kinds[kind], 4),
            added=changes[kind, field]["add"],
            removed=changes[kind, field]["remove"],
            replaced=changes[kind, field]["replace"],
            moved=changes[kind, field]["move"],
        )
        for kind, field in ordered
    )


def _count_asked(found: Sequence[Comparison]) -> dict[str, int]:
    return _count(pointer for each in found for pointer in {change.path for change in each.asked})


def _count(values: Iterable[str | None]) -> dict[str, int]:
    """How often each value occurs, the most frequent first."""
    counts = Counter(value for value in values if value is not None)
    return dict(sorted(counts.items(), key=lambda one: (-one[1], one[0])))


def _total(found: Sequence[Measures]) -> Totals:
    said = [each.status for each in found if each.status is not None]
    rated = [each.rating for each in found if each.rating is not None]
    latencies = sorted(each.latency_ms for each in found if each.latency_ms is not None)
    qualities = [each.quality for each in found if each.quality is not None]
    return Totals(
        requests=len(found),
        open=len(found) - len(said),
        statuses={status.value: said.count(status.value) for status in Status if status.value in said},
        ratings={rating.value: rated.count(rating.value) for rating in Rating if rating.value in rated},
        errors=_count(each.error for each in found),
        prompt_versions=_count(each.prompt_version for each in found),
        models=_count(each.writer for each in found),
        valid=sum(each.valid for each in found),
        quality=round(math.fsum(qualities) / len(qualities), 4) if qualities else None,
        prompt_tokens=_sum(each.prompt_tokens for each in found),
        completion_tokens=_sum(each.completion_tokens for each in found),
        cost=_money(each.cost for each in found),
        latency_p50_ms=_percentile(latencies, 0.5),
        latency_p95_ms=_percentile(latencies, 0.95),
    )


def _sum(values: Iterable[int | None]) -> int | None:
    known = [each for each in values if each is not None]
    return sum(known) if known else None


def _money(values: Iterable[float | None]) -> float | None:
    known = [each for each in values if each is not None]
    # The exact sum does not depend on the order.
    return math.fsum(known) if known else None


def _percentile(ordered: Sequence[int], share: float) -> int | None:
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None
