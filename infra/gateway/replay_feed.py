"""Replay feed: the state of one replay job for its readers, each time that it changes, until it ends."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, Final

import msgspec

from infra.gateway import sse
from infra.gateway.feed import MAX_AGE_S, PING_S, Feed
from infra.gateway.problems import Problem
from infra.replay.jobs import RESUMABLE, JobState
from infra.stores.database import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from infra.app.replay_desk import JobView
    from infra.gateway.access import Principal
    from infra.gateway.hub import EventHub

#: Seconds between two looks at a job.
_LOOK_S: Final = 1.0
_GOING: Final = RESUMABLE | {JobState.PLANNING}


class JobNews(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it is now."""

    #: Changes whenever the job does.
    id: str
    data: dict[str, Any]
    #: Nothing will change any more, except that it may be undone.
    ended: bool


def report_job(view: JobView) -> JobNews:
    """What readers get: the job without its requests, as ``replay show --json`` has it."""
    job = msgspec.structs.replace(view.job, beat_ms=None)
    data = msgspec.to_builtins(job) | {"counts": view.counts, "spent": msgspec.to_builtins(view.spent)}
    # A runner's heartbeats are no news.
    digest = hashlib.sha256(msgspec.json.encode(data)).hexdigest()[:16]
    return JobNews(id=f"J{job.job}.{digest}", data=data, ended=job.state not in _GOING)


class ReplayFeed(Feed):
    """The state of one job.

    Args:
        hub: counts the feed, and ends it when the gateway stops.
        look: reads the job.
        last: id of the news that the reader has.
        sender: who the reader is; ``None``: this machine's user.
        look_s: seconds between two looks.
    """

    def __init__(
        self,
        hub: EventHub,
        look: Callable[[], Awaitable[JobNews]],
        *,
        last: str | None,
        sender: Principal | None = None,
        look_s: float = _LOOK_S,
    ) -> None:
        super().__init__(hub, sender)
        self._look = look
        self._last = last
        self._look_s = look_s

    async def read(self) -> AsyncGenerator[bytes, None]:
        """The news as server-sent events, until the job or the reader ends."""
        loop = asyncio.get_running_loop()
        ends_s, quiet_s = loop.time() + MAX_AGE_S, loop.time()
        yield sse.format_retry()
        while not self._over:
            try:
                news = await self._look()
            except (DatabaseError, Problem):
                self.end("database")
                break
            if news.id != self._last:
                self._last, quiet_s = news.id, loop.time()
                yield sse.format_event("replay", news.data, id=news.id)
            elif loop.time() - quiet_s >= PING_S:
                quiet_s = loop.time()
                yield sse.format_ping(news.id)
            if news.ended:
                self.end("ended")
            elif loop.time() >= ends_s:
                self.end("age")
            else:
                await self._wait(self._look_s)
        if self._farewell is not None:
            yield self._farewell
