"""Did the same seed come to something else before?

The same is: one prompt, schema, parameters, seed, models and engines.  What it came to first is in a ledger.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from contracts import events as ev
from contracts.envelope import Received
from contracts.outcome import Emit, Outcome
from contracts.policy import fingerprint
from contracts.result import Drift, RepairLevel

#: Documents as the model wrote them.
_UNTOUCHED: Final = frozenset({RepairLevel.CONSTRAINED, RepairLevel.PARSED})
#: Parameters that decide whether there is an answer, not which.
_NOT_SHAPING: Final = frozenset({"timeout_s", "fresh"})


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """What a generation came to."""

    content_hash: str
    request_id: str


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A result says that it comes out again, bit for bit."""

    #: Equal for generations that have to come to the same.
    key: str
    output: Output


def claim(received: Received[Any], outcome: Outcome, *, form: str) -> Claim | None:
    """What a result claims about its seed; ``None`` of everything that cannot be compared.

    That is what claims nothing, came from a cache or has a seed from the clock, and what was not written in one
    go: another provider, another try, a re-ask or a repair each had its part in it.

    Args:
        received: a ``structured`` event.
        outcome: what becomes of it.
        form: how the kind is put into its schema, in words that change when that does.
    """
    event = received.event
    if not isinstance(event, ev.Structured) or not isinstance(outcome, Emit):
        return None
    result = next((each for each in outcome.events if isinstance(each, ev.Result)), None)
    if result is None or result.content_hash is None or not result.meta.deterministic:
        return None
    if event.brief.freeform.fresh or not _in_one_go(event, result):
        return None
    return Claim(
        key=f"{received.kind}.{fingerprint.digest(_asked(event, form))[:32]}",
        output=Output(content_hash=result.content_hash, request_id=received.request_id),
    )


def taken_back(outcome: Outcome, first: Output) -> Outcome:
    """The outcome of a claim that does not hold.

    Args:
        outcome: one with a result.
        first: what the same came to before.
    """
    if not isinstance(outcome, Emit):
        return outcome
    drift = Drift(first_hash=first.content_hash, first_request=first.request_id)
    return Emit(events=tuple(_marked(each, drift) for each in outcome.events))


def _marked(event: ev.Event, drift: Drift) -> ev.Event:
    if not isinstance(event, ev.Result | ev.Revised):
        return event
    meta = msgspec.structs.replace(event.meta, deterministic=False, drift=drift)
    return msgspec.structs.replace(event, meta=meta)


def _in_one_go(event: ev.Structured, result: ev.Result) -> bool:
    receipt = result.meta.receipt
    return (
        event.attempt == 1
        and not event.draft.cached
        and not event.document.cached
        and all(attempt.code is None for attempt in event.trail.attempts)
        and receipt is not None
        and receipt.level in _UNTOUCHED
    )


def _asked(event: ev.Structured, form: str) -> dict[str, Any]:
    brief = event.brief
    return {
        "form": form,
        "prompt": brief.prompt_hash,
        "schema": brief.schema,
        "settled": brief.settled,
        "freeform": _params(brief.freeform),
        "structuring": _params(brief.structuring),
        "by": [[by.provider, by.model, by.engine] for by in (event.draft, event.document)],
    }


def _params(params: ev.Params) -> dict[str, Any]:
    said = msgspec.to_builtins(params)
    return {name: value for name, value in said.items() if name not in _NOT_SHAPING}
