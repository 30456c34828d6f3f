"""Submission: an order published, joined to the request that has its id, and awaited."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from understudy_client import IdTaken, NoResult, Submitted
from understudy_client.protocol import kind_of, subject
from understudy_client.timeouts import MARGIN_S

from contracts import expansion, request
from contracts.request import RequestError

if TYPE_CHECKING:
    from understudy_client import Result

    from infra.gateway.gateway import Gateway
    from infra.gateway.orders import GenerationOrder

#: Seconds beyond its deadline within which the pipeline promises a result.
PROMISED_S: Final = 2.0


async def submit(gateway: Gateway, order: GenerationOrder) -> Submitted:
    """Publish an order; the same order under the same id is published once.

    Raises:
        IdTaken: the id belongs to another request.
        ClientError, Unavailable: it is not stored.
        Problem: the gateway stops, or too many requests wait.
    """
    async with gateway.wait(order.request_id):
        await gateway.require_broker()
        try:
            return await gateway.client.submit(
                order.kind, body=order.body, request_id=order.request_id, traceparent=order.traceparent
            )
        except IdTaken as taken:
            return await _join(gateway, order, taken)


async def ask(gateway: Gateway, order: GenerationOrder, timeout_s: float) -> Result | None:
    """Publish an order and wait for its result; ``None``: none came in time.

    Raises:
        IdTaken, ClientError, Unavailable, Problem: as :func:`submit`.
    """
    async with gateway.wait(order.request_id):
        await gateway.require_broker()
        client = gateway.client
        try:
            return await client.ask(
                order.kind,
                body=order.body,
                request_id=order.request_id,
                timeout_s=timeout_s,
                traceparent=order.traceparent,
            )
        except IdTaken as taken:
            joined = await _join(gateway, order, taken)
        except NoResult:
            return None
        try:
            return await client.wait(joined, timeout_s=timeout_s)
        except NoResult:
            return None


async def patience_s(gateway: Gateway, order: GenerationOrder) -> float:
    """Seconds within which the pipeline promises the result of an order."""
    asked, timeout_s = order.request, gateway.client.timeout_s
    # Template and rules may set the deadline, and a library is many files.
    reads_files = expansion.template_of(asked) is not None or asked.rules is not None
    found = await asyncio.to_thread(timeout_s, asked) if reads_files else timeout_s(asked)
    return found - MARGIN_S + PROMISED_S


async def _join(gateway: Gateway, order: GenerationOrder, taken: IdTaken) -> Submitted:
    """The stored request that has the id, where it is the same one written in another way.

    Raises:
        IdTaken: it is another one.
    """
    owner = await gateway.client.owner(order.request_id)
    if owner is None or kind_of(owner.subject) != order.kind:
        raise taken
    try:
        stored = request.read(owner.body, order.kind)
    except RequestError:
        raise taken from None
    if _meaning(stored, order.kind) != _meaning(order.request, order.kind):
        raise taken
    return Submitted(
        request_id=order.request_id,
        kind=order.kind,
        subject=subject("requested", order.kind, order.request_id),
        sequence=owner.sequence,
        duplicate=True,
    )


def _meaning(asked: request.GenerationRequest, kind: str) -> tuple[str, int | None]:
    """What makes two bodies the same request, however they are written."""
    return asked.input_hash(kind), asked.deadline_ms
