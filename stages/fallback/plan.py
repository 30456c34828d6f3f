"""Fallback plan: what to do if generation fails, fixed when the request is accepted."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import msgspec

from contracts import deadline, request
from contracts.expansion import expand
from contracts.policy.social import Worlds
from contracts.ports import Overrides, Templates

#: Largest body in bytes whose plan is cached, and the number of cached plans: more than open requests.
_SMALL: Final = 4096
_REMEMBERED: Final = 8192


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """A request and its fallback."""

    #: ``None`` if it is unreadable; then ``fault`` has the reason.
    asked: request.GenerationRequest | None
    fault: str = ""
    plan: request.FallbackPlan
    #: Why the plan ignores its template.
    lost: str | None = None


#: Plans the fallback for a body and its kind.
PlanOf = Callable[[bytes, str], Planned]


def planner(
    *, templates: Templates, overrides: Overrides, worlds: Worlds, default_deadline_ms: int
) -> PlanOf:
    """Make the planner of fallbacks; a small body that comes again, as at its deadline, is not parsed twice.

    Args:
        templates: the node templates.
        overrides: evaluates rules.
        worlds: the worlds' schemas, for ratings that context-build could not determine.
        default_deadline_ms: deadline of requests that name none.
    """
    remembered: OrderedDict[tuple[str, bytes], Planned] = OrderedDict()

    def plan_of(body: bytes, kind: str) -> Planned:
        known = remembered.get((kind, body))
        if known is not None:
            remembered.move_to_end((kind, body))
            return known
        found = _plan(
            body,
            kind,
            templates=templates,
            overrides=overrides,
            worlds=worlds,
            default_deadline_ms=default_deadline_ms,
        )
        if len(body) <= _SMALL:
            remembered[kind, body] = found
            if len(remembered) > _REMEMBERED:
                remembered.popitem(last=False)
        return found

    return plan_of


def _plan(
    body: bytes,
    kind: str,
    *,
    templates: Templates,
    overrides: Overrides,
    worlds: Worlds,
    default_deadline_ms: int,
) -> Planned:
    try:
        asked = request.read(body, kind)
    except request.RequestError as error:
        named_ms = deadline.read_deadline_ms(body) or default_deadline_ms
        plan = request.plan_fallback(None, default_deadline_ms=named_ms)
        return Planned(asked=None, fault=str(error), plan=plan)
    try:
        more = expand(asked, templates=templates, overrides=overrides)
        plan = request.plan_fallback(
            asked,
            # A lost template may have lowered the rating.
            worlds=None if more.lost else worlds,
            default_deadline_ms=default_deadline_ms,
            around=more.layers,
        )
    except Exception as error:  # noqa: BLE001 - nobody answers after the fallback: its reason tells the fault
        plan = request.plan_fallback(None, default_deadline_ms=asked.deadline_ms or default_deadline_ms)
        return Planned(asked=asked, plan=plan, lost=f"its template and rules cannot be read: {error!r}")
    return Planned(asked=asked, plan=plan, lost=more.lost)
