"""Estimate of a rerun: from what each original took, since the rerun asks for the same again."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from contracts import events as ev
from contracts.result import Status
from contracts.usage import Tokens
from infra.providers.budget import NANOS, Tariff
from infra.replay.estimates import UsageBand

if TYPE_CHECKING:
    from infra.inspect.comparison import RequestOutcome

#: Share by which a rerun may take less or more than its originals: another prompt or model writes more or less.
BAND: Final = 0.25


class RequestUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What one request took."""

    prompt_tokens: int
    completion_tokens: int
    #: Money; ``None``: the provider did not report it.
    cost: float | None


class RerunEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """What a rerun is expected to take."""

    requests: int
    #: Requests of a kind of which no original has known figures: not part of the amounts.
    unknown: int
    #: Plots that have scenes generated: those are not part of the amounts.
    with_scenes: int
    tokens: UsageBand
    #: ``None``: no original has a cost, and the chosen provider no price.
    money: UsageBand | None


def find_usage(outcome: RequestOutcome, step: ev.Drafted | ev.Structured | None) -> RequestUsage | None:
    """What a request took after a step; ``None``: a model did not write it, or the figures are not known.

    Args:
        outcome: the request.
        step: what the rerun starts from; ``None``: from the beginning.
    """
    result = outcome.result
    if result is None or result.status is not Status.SUCCESS:
        return None
    cost = result.meta.cost
    if cost.tokens.prompt is None or cost.tokens.completion is None:
        return None
    before = Tokens() if step is None else step.trail.tokens
    spent = None if step is None else step.trail.amount
    return RequestUsage(
        prompt_tokens=max(0, cost.tokens.prompt - (before.prompt or 0)),
        completion_tokens=max(0, cost.tokens.completion - (before.completion or 0)),
        cost=None if cost.amount is None else max(0.0, cost.amount - (spent or 0.0)),
    )


def estimate(
    found: Sequence[tuple[str, RequestUsage | None]], *, with_scenes: int = 0, tariff: Tariff | None = None
) -> RerunEstimate:
    """What requests are expected to take; one without figures takes what is usual for its kind among the others.

    Args:
        found: the kind of each request, and what its original took.
        with_scenes: how many of them are plots that have scenes generated.
        tariff: prices of the provider that was chosen; ``None``: the cost of the originals counts.
    """
    usual = {
        kind: _median(usage for each, usage in found if each == kind) for kind in {kind for kind, _ in found}
    }
    taken = [usage or usual[kind] for kind, usage in found]
    known = [each for each in taken if each is not None]
    costs = [cost for each in known if (cost := _cost(each, tariff)) is not None]
    return RerunEstimate(
        requests=len(found),
        unknown=len(found) - len(known),
        with_scenes=with_scenes,
        tokens=_band(sum(each.prompt_tokens + each.completion_tokens for each in known)),
        money=_band(math.fsum(costs)) if costs else None,
    )


def _cost(usage: RequestUsage, tariff: Tariff | None) -> float | None:
    if tariff is None:
        return usage.cost
    if tariff.prompt is None and tariff.completion is None:
        return None
    nanos = usage.prompt_tokens * (tariff.prompt or 0.0) + usage.completion_tokens * (
        tariff.completion or 0.0
    )
    return nanos / NANOS


def _band(likely: float) -> UsageBand:
    return UsageBand(low=likely * (1 - BAND), likely=likely, high=likely * (1 + BAND))


def _median(found: Iterable[RequestUsage | None]) -> RequestUsage | None:
    """The usage in the middle, by its tokens."""
    known = [each for each in found if each is not None]
    known.sort(key=lambda each: (each.prompt_tokens + each.completion_tokens, each.cost or 0.0))
    return known[(len(known) - 1) // 2] if known else None
