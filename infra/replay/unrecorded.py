"""Unrecorded requests of a job: a run that was killed had published them, and did not come to say so."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Final

from infra.nats import submissions
from infra.replay import earlier, jobs
from infra.replay.plans import ItemState

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from infra.nats.multiplexer import RequestMultiplexer

#: Requests in one look; a run has at most two batches, of 500 each, under way.
_PAGE: Final = 2_000


async def record(wire: RequestMultiplexer, engine: Engine, job: int) -> int:
    """Record those requests of a job as published that the log has, and that no other job has published; how many.

    Args:
        wire: an open wire.
        engine: the database.
        job: a job that has begun, and that no other process runs.

    Raises:
        StreamMissing, Unavailable: the broker does not answer.
        sqlalchemy.exc.SQLAlchemyError: the database.
    """
    after, count = -1, 0
    while True:
        page = await asyncio.to_thread(
            jobs.read_items, engine, job, states=[ItemState.PLANNED], after=after, limit=_PAGE
        )
        stored = await submissions.owners(wire, [each.request_id for each in page])
        same = [
            each
            for each in page
            if (entry := stored.get(each.request_id)) is not None
            and hashlib.sha256(entry.body).hexdigest() == each.sha256
        ]
        others = await asyncio.to_thread(earlier.find_owners, engine, job, [each.request_id for each in same])
        found = [each.position for each in same if each.request_id not in others]
        if not found:
            # Requests are published in their order.
            return count
        count += len(found)
        after = page[-1].position
        await asyncio.to_thread(
            jobs.set_items, engine, job, {ItemState.PUBLISHED: found}, before=ItemState.PLANNED
        )
