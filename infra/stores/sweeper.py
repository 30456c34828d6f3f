"""Which finished work leaves the log when its streams fill up?"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import msgspec
from nats import errors as nats_errors
from nats.js import errors as js_errors
from sqlalchemy import Engine, select, update
from sqlalchemy.exc import SQLAlchemyError

from contracts import pipeline, subjects
from infra.nats.drift import BUDGET_KEY
from infra.stores.database import GENERATIONS

if TYPE_CHECKING:
    from nats.aio.client import Client
    from structlog.typing import FilteringBoundLogger

#: Share of a stream's byte limit above which the sweeper starts, and at which it stops.
START_ABOVE: Final = 0.8
STOP_BELOW: Final = 0.7
_BATCH: Final = 200


class Swept(msgspec.Struct, frozen=True, kw_only=True):
    """What one look led to."""

    requests: int
    #: Fullest stream's share of its limit, before and after.
    before: float
    after: float


async def sweep_once(client: Client, engine: Engine) -> Swept:
    """Delete ended and audited requests from the log, oldest first, until there is room.

    A request is audited when its row says that it ended.  Its request goes before its events: what
    is still on its way then belongs to an unknown id and leads to nothing.

    Raises:
        nats.errors.Error, sqlalchemy.exc.SQLAlchemyError: try again at the next look.
    """
    before = share = await _fullest(client)
    requests = 0
    if share <= START_ABOVE:
        return Swept(requests=0, before=before, after=before)
    while share > STOP_BELOW:
        ids = await asyncio.to_thread(_oldest, engine)
        if not ids:
            break
        for request_id in ids:
            await _purge(client, pipeline.REQUESTS, subjects.any_kind("requested", request_id))
            await _purge(client, pipeline.EVENTS, f"{subjects.whole_life(request_id)}")
        await asyncio.to_thread(_mark, engine, ids)
        requests += len(ids)
        share = await _fullest(client)
    return Swept(requests=requests, before=before, after=share)


async def run(client: Client, engine: Engine, *, every_s: float, log: FilteringBoundLogger) -> None:
    """Look again and again; a look that fails is told and repeated."""
    while True:
        await asyncio.sleep(every_s)
        try:
            swept = await sweep_once(client, engine)
        except (nats_errors.Error, js_errors.Error, SQLAlchemyError, asyncio.TimeoutError) as error:
            log.warning("sweep put off", problem=f"{type(error).__name__}: {error}")
            continue
        if swept.before > START_ABOVE:
            log.info("swept", requests=swept.requests, before=swept.before, after=swept.after)


async def _fullest(client: Client) -> float:
    shares = [0.0]
    for name in (pipeline.REQUESTS, pipeline.EVENTS):
        info = await client.jetstream(timeout=5).stream_info(name)
        # EVENTS cannot have a byte limit (docs/adr/0004); its budget stands in the metadata.
        limit = info.config.max_bytes or 0
        if limit <= 0:
            limit = int((info.config.metadata or {}).get(BUDGET_KEY, 0))
        if limit > 0:
            shares.append(info.state.bytes / limit)
    return max(shares)


async def _purge(client: Client, stream: str, subject: str) -> None:
    answer = await client.request(
        f"$JS.API.STREAM.PURGE.{stream}", msgspec.json.encode({"filter": subject}), timeout=10
    )
    said: dict[str, Any] = msgspec.json.decode(answer.data)
    if "error" in said:
        raise nats_errors.Error(f"purge of {subject}: {said['error'].get('description')}")


def _oldest(engine: Engine) -> list[str]:
    query = (
        select(GENERATIONS.c.request_id)
        .where(GENERATIONS.c.swept.is_(False), GENERATIONS.c.ended_at_ms.is_not(None))
        .order_by(GENERATIONS.c.ended_at_ms)
        .limit(_BATCH)
    )
    with engine.connect() as connection:
        return [row[0] for row in connection.execute(query)]


def _mark(engine: Engine, ids: list[str]) -> None:
    with engine.begin() as connection:
        connection.execute(update(GENERATIONS).where(GENERATIONS.c.request_id.in_(ids)).values(swept=True))
