"""What is kept of a message that no stage could use?"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from contracts import events as ev
from infra.runner.messages import INLINE_MAX

if TYPE_CHECKING:
    from contracts.outcome import Fail, Reject
    from infra.nats.pull import Delivery
    from infra.stores.assets import Assets

#: Characters of a reason or of evidence that a letter keeps.
_TEXT_MAX = 16_000
#: Characters of headers that a letter keeps: with the largest inline body it must fit a message.
_HEADERS_MAX = 64_000


async def letter_of(
    delivery: Delivery, outcome: Fail | Reject, *, stage: str, assets: Assets
) -> ev.DeadLetter:
    """The dead letter of a message: its bytes as they came, and why nobody could use it.

    Raises:
        Unavailable: a large body could not be stored.
    """
    body = delivery.msg.data
    large = len(body) > INLINE_MAX
    evidence: str | None = getattr(outcome, "evidence", None)
    return ev.DeadLetter(
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
        body_ref=msgspec.to_builtins(await assets.put(body)) if large else None,
        size=len(body),
        sha256=hashlib.sha256(body).hexdigest(),
        evidence=evidence[:_TEXT_MAX] if evidence else None,
    )


def _bounded(headers: dict[str, str]) -> dict[str, str]:
    kept: dict[str, str] = {}
    room = _HEADERS_MAX
    for name, value in headers.items():
        room -= len(name) + len(value)
        if room < 0:
            break
        kept[name] = value
    return kept
