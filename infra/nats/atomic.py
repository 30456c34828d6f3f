"""Atomic batches: many messages of one stream, stored all or none (ADR-50 of NATS)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from infra.nats import direct

if TYPE_CHECKING:
    from understudy_client.calls import PubAck

    from infra.nats.multiplexer import RequestMultiplexer

#: Most messages and bytes of a batch; the broker takes 1,000 messages.
MOST: Final = 500
MOST_BYTES: Final = 2 * 1024**2

_ID, _SEQUENCE, _COMMIT = "Nats-Batch-Id", "Nats-Batch-Sequence", "Nats-Batch-Commit"


class Outgoing(Protocol):
    """A message to be published."""

    @property
    def subject(self) -> str:
        """Where it goes."""
        ...

    @property
    def body(self) -> bytes:
        """Its payload."""
        ...

    @property
    def headers(self) -> dict[str, str]:
        """Its NATS headers."""
        ...


class Publication(msgspec.Struct, frozen=True, kw_only=True):
    """A message to be published."""

    subject: str
    body: bytes
    headers: dict[str, str] = {}


async def publish(wire: RequestMultiplexer, items: Sequence[Outgoing], *, name: str) -> PubAck:
    """Publish messages in one batch and wait for its acknowledgement, which has the sequence of the last one.

    Args:
        wire: an open wire.
        items: at most :data:`MOST`, each subject once.
        name: the batch's name; no other open batch has it.

    Raises:
        Unavailable: no acknowledgement in time: all are stored, or none.
        nats.errors.Error: the connection cannot take a message.
    """
    for number, item in enumerate(items[:-1], start=1):
        headers = {**item.headers, _ID: name, _SEQUENCE: str(number)}
        await direct.publish(wire.client, item.subject, item.body, headers=headers)
    last = items[-1]
    headers = {**last.headers, _ID: name, _SEQUENCE: str(len(items)), _COMMIT: "1"}
    return await wire.publish(last.subject, last.body, headers, repeat=False)
