"""Two workers for the traps of FIELD_NOTES, A: the one that ships, and FastStream's as its docs show it.

Both take ``requested``, do some work, and publish ``context_built``.  Run as a program
(``python -m tests.broker.trapped NAME URL``), one prints a tick ten times a second and every request
it works on: a frozen event loop can only be seen from outside.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

import structlog
from faststream import FastStream
from faststream.nats import JStream, NatsBroker, PullSub

from contracts import events as ev
from contracts import pipeline
from contracts.envelope import Received
from contracts.outcome import Emit
from infra.app.adapters import Adapters
from infra.app.application import Application
from infra.settings.settings import Settings, load
from tests import lives

STAGE = "context-build"

#: The versions whose traps `just test-traps` has shown.
TRIED = {"faststream": "0.7.8", "nats-py": "2.16.0"}

#: What is done with a request, by its id.
Work = Callable[[str], Awaitable[None]]
#: Takes what a worker says went wrong.
Tell = Callable[[str], None]


class Trapped(Protocol):
    """A worker that runs as long as the context is open; leaving it stops the worker in order."""

    def __call__(
        self, settings: Settings, work: Work, tell: Tell, *, at_once: int, side_by_side: bool = True
    ) -> AbstractAsyncContextManager[None]:
        """Take up to ``at_once`` requests; ``side_by_side``: in workers of their own."""
        ...


def _application(settings: Settings, work: Work) -> Application:
    async def handle(received: Received[Any]) -> Emit:
        await work(received.request_id)
        return Emit(events=(ev.ContextBuilt(attempt=1, brief=lives.brief()),))

    return Application(settings, (STAGE,), adapters=Adapters(settings), handles={STAGE: handle})


@asynccontextmanager
async def ours(
    settings: Settings, work: Work, tell: Tell, *, at_once: int, side_by_side: bool = True
) -> AsyncIterator[None]:
    """The stage as it ships, with another handler."""
    del side_by_side

    def said(_logger: Any, level: str, line: dict[str, Any]) -> dict[str, Any]:
        if level in {"error", "warning"}:
            tell(str(line))
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[said])
    hands = settings.concurrency.model_copy(update={"context_build": at_once})
    application = _application(settings.model_copy(update={"concurrency": hands}), work)
    try:
        async with _alive(application.app, application.ready.wait()):
            yield
    finally:
        structlog.configure(**before)


@asynccontextmanager
async def stock(
    settings: Settings, work: Work, tell: Tell, *, at_once: int, side_by_side: bool = True
) -> AsyncIterator[None]:
    """FastStream's own pull subscriber; only the reconnects are shortened, from two minutes."""
    logger = logging.Logger("stock")  # noqa: LOG001 - of this worker alone
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: tell(record.getMessage())
    logger.addHandler(handler)
    assert settings.nats_url is not None
    broker = NatsBroker(
        settings.nats_url,
        logger=logger,
        graceful_timeout=settings.grace,
        max_reconnect_attempts=2,
        reconnect_time_wait=0.1,
    )
    workers = {"max_workers": at_once} if side_by_side and at_once > 1 else {}

    @broker.subscriber(
        "gen.requested.>",
        stream=JStream(pipeline.REQUESTS, declare=False),
        durable=STAGE,
        pull_sub=PullSub(batch_size=max(at_once, 10) if workers else at_once, timeout=1.0),
        **workers,
    )
    async def built(request: dict[str, Any]) -> None:
        await work(request["prompt"])
        subject = f"gen.context_built.layout.{request['prompt']}"
        await broker.publish({"attempt": 1}, subject, stream=pipeline.EVENTS)

    app = FastStream(broker, logger=None)
    ready = asyncio.Event()
    app.after_startup(ready.set)
    async with _alive(app, ready.wait()):
        yield


@asynccontextmanager
async def _alive(app: FastStream, ready: Awaitable[Any]) -> AsyncIterator[None]:
    life = asyncio.create_task(app.run(log_level=logging.CRITICAL))
    await asyncio.wait_for(ready, 30)
    try:
        yield
    finally:
        app.exit()
        await asyncio.wait({life}, timeout=30)
        if not life.done():
            life.cancel()
            raise AssertionError("the worker does not stop")
        life.result()


WORKERS: dict[str, Trapped] = {"ours": ours, "stock": stock}


async def _main(name: str, url: str) -> None:
    def say(**line: str) -> None:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()

    async def work(request_id: str) -> None:
        say(request_id=request_id)

    async with WORKERS[name](load(nats_url=url), work, lambda problem: say(problem=problem), at_once=1):
        while True:
            say(tick="")
            await asyncio.sleep(0.1)


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
