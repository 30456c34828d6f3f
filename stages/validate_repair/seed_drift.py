"""Seed drift: a result that differs from what the same prompt, seed, models and engines produced before.

The first output of each generation is in the drift ledger.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from contracts import events as ev
from contracts import subjects
from contracts.envelope import Received
from contracts.outcome import Emit, Outcome
from contracts.policy import fingerprint
from contracts.ports import DriftLedger, SeedOutput
from contracts.result import Drift, RepairLevel

#: Levels of documents that are as the model wrote them.
_UNTOUCHED: Final = frozenset({RepairLevel.CONSTRAINED, RepairLevel.PARSED})
#: Parameters that do not change the text of an answer.
_NOT_SHAPING: Final = frozenset({"timeout_s", "fresh"})


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """The statement of a result that its generation gives the same again, bit for bit."""

    #: Equal for generations that must give the same.
    key: str
    output: SeedOutput


async def check(received: Received[Any], outcome: Outcome, *, form: str, ledger: DriftLedger) -> Outcome:
    """Mark a result that differs from the first one of the same generation.

    Args:
        received: a ``structured`` event.
        outcome: what the stage decided.
        form: digest of the structuring prompt and schema of the kind.
        ledger: the first outputs.

    Returns:
        the outcome; after drift with ``meta.deterministic`` false and ``meta.drift`` set.

    Raises:
        Unavailable: the broker does not answer.
    """
    made = claim(received, outcome, form=form)
    if made is None:
        return outcome
    first = await ledger.first(made.key, made.output)
    return outcome if first.content_hash == made.output.content_hash else mark(outcome, first)


def claim(received: Received[Any], outcome: Outcome, *, form: str) -> Claim | None:
    """The claim of a result; ``None`` for a result that cannot be compared.

    Not compared are shadows.  Not comparable are results that are not deterministic, came from a cache or have a seed from the clock, and
    results of more than one call each: a second provider, attempt, re-ask or repair had a part in those.

    Args:
        received: a ``structured`` event.
        outcome: what the stage decided.
        form: digest of the structuring prompt and schema of the kind.
    """
    event = received.event
    if not isinstance(event, ev.Structured) or not isinstance(outcome, Emit):
        return None
    result = next((each for each in outcome.events if isinstance(each, ev.Result)), None)
    if result is None or result.content_hash is None or not result.meta.deterministic:
        return None
    if subjects.is_shadow(received.request_id):
        # What is rerun for comparison is not what others are measured against.
        return None
    if event.brief.freeform.fresh or not _made_by_one_call_each(event, result):
        return None
    return Claim(
        key=f"{received.kind}.{fingerprint.digest(_inputs(event, form))[:32]}",
        output=SeedOutput(content_hash=result.content_hash, request_id=received.request_id),
    )


def mark(outcome: Outcome, first: SeedOutput) -> Outcome:
    """Mark the results of an outcome as drifted.

    Args:
        outcome: one with a result.
        first: what the same generation produced first.
    """
    if not isinstance(outcome, Emit):
        return outcome
    drift = Drift(first_hash=first.content_hash, first_request=first.request_id)
    return Emit(events=tuple(_mark_event(each, drift) for each in outcome.events))


def _mark_event(event: ev.Event, drift: Drift) -> ev.Event:
    if not isinstance(event, ev.Result | ev.Revised):
        return event
    meta = msgspec.structs.replace(event.meta, deterministic=False, drift=drift)
    return msgspec.structs.replace(event, meta=meta)


def _made_by_one_call_each(event: ev.Structured, result: ev.Result) -> bool:
    receipt, enhanced = result.meta.receipt, event.trail.enhancement
    return (
        event.attempt == 1
        and not (enhanced is not None and enhanced.cached)
        and not event.draft.cached
        and not event.document.cached
        and all(attempt.code is None for attempt in event.trail.attempts)
        and receipt is not None
        and receipt.level in _UNTOUCHED
    )


def _inputs(event: ev.Structured, form: str) -> dict[str, Any]:
    brief = event.brief
    said = {
        "form": form,
        "prompt": brief.prompt_hash,
        "schema": brief.schema,
        "settled": brief.settled,
        "freeform": _params(brief.freeform),
        "structuring": _params(brief.structuring),
        "by": [[by.provider, by.model, by.engine] for by in (event.draft, event.document)],
    }
    enhanced = event.trail.enhancement
    if enhanced is None or not enhanced.rewritten:
        return said
    by = [enhanced.of, enhanced.instructions_hash, enhanced.provider, enhanced.model, enhanced.engine]
    return {**said, "enhanced": by}


def _params(params: ev.Params) -> dict[str, Any]:
    said = msgspec.to_builtins(params)
    return {name: value for name, value in said.items() if name not in _NOT_SHAPING}
