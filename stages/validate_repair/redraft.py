"""Redraft: another draft for a valid document that must not be shown, or the end of trying.

Asking for the same text once more does not help: it makes too little sense, or it is too explicit.
"""

from __future__ import annotations

from typing import Final

import msgspec

from contracts import events as ev
from contracts.errors import ErrorCode
from contracts.outcome import Emit, Fail

#: Other drafts of one request for each of the two causes.
MAX_REDRAFTS: Final = 1
#: Attempt from which none is asked for: a stage of an older release does not carry ``redrafts``.
_LAST_ATTEMPT: Final = 8
#: Characters of a refused document that are kept for triage.
_MAX_EVIDENCE: Final = 8_000


def decide(event: ev.Structured, why: str, code: ErrorCode) -> Emit | Fail:
    """Ask for another draft, with the next seed; after that, give up.

    Args:
        event: the document's event.
        why: what is wrong with the document, for people.
        code: ``GEN_QUALITY`` or ``GEN_RATING_VIOLATION``, the error code of giving up.

    Returns:
        ``context_built`` as the next attempt, or a failure.
    """
    trail = event.trail
    rated = code == ErrorCode.GEN_RATING_VIOLATION
    spent = trail.rating_redrafts if rated else trail.redrafts - trail.rating_redrafts
    if spent >= MAX_REDRAFTS or event.attempt >= _LAST_ATTEMPT:
        return Fail(
            code=code,
            message=f"not good enough after {trail.redrafts + 1} drafts: {why}",
            evidence=event.document.text[:_MAX_EVIDENCE],
            letter=True,
        )
    # The result names the seed of the draft that it is made from.
    seed = (event.brief.freeform.seed + 1) % 2**63
    brief = msgspec.structs.replace(
        event.brief, freeform=msgspec.structs.replace(event.brief.freeform, seed=seed)
    )
    trail = msgspec.structs.replace(
        trail,
        redrafts=trail.redrafts + 1,
        rating_redrafts=trail.rating_redrafts + rated,
        warnings=(*trail.warnings, f"wrote another draft, with the next seed: {why}"),
    )
    return Emit(events=(ev.ContextBuilt(attempt=event.attempt + 1, brief=brief, trail=trail),))
