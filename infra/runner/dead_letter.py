"""Dead letters: what is kept of a message that no stage could use."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from contracts import events as ev
from contracts.envelope import INLINE_MAX
from infra.stores.assets import reference

if TYPE_CHECKING:
    from contracts.outcome import Fail, Reject
    from infra.nats.pull import Delivery

#: Characters of a reason or of evidence that a letter keeps.
_TEXT_MAX = 16_000
#: Characters of headers that a letter keeps: with the largest inline body it must fit a message.
_HEADERS_MAX = 64_000


def letter_of(
    delivery: Delivery, outcome: Fail | Reject, *, stage: str
) -> tuple[ev.DeadLetter, tuple[bytes, ...]]:
    """The dead letter of a message, and what it refers to: its bytes as they came, and why nobody could use it."""
    body = delivery.msg.data
    large = len(body) > INLINE_MAX
    evidence: str | None = getattr(outcome, "evidence", None)
    letter = ev.DeadLetter(
        code=outcome.code,
        reason=outcome.message[:_TEXT_MAX],
        stage=stage,
        stream=delivery.stream,
        sequence=delivery.sequence,
        subject=delivery.msg.subject,
        time_ms=delivery.time_ms,
        deliveries=delivery.deliveries,
        headers=_bounded(delivery.msg.headers or {}),
        body=None if large else body,
        body_ref=msgspec.to_builtins(reference(body)) if large else None,
        size=len(body),
        sha256=hashlib.sha256(body).hexdigest(),
        evidence=evidence[:_TEXT_MAX] if evidence else None,
    )
    return letter, (body,) if large else ()


def _bounded(headers: dict[str, str]) -> dict[str, str]:
    kept: dict[str, str] = {}
    room = _HEADERS_MAX
    for name, value in headers.items():
        room -= len(name) + len(value)
        if room < 0:
            break
        kept[name] = value
    return kept
