"""Load of the gateway's bench: the same requests by NATS clients and over HTTP, at even times or as fast as answers come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from infra.app.pipeline_client import PipelineClient
from infra.lab.bench.http_load import KeptConnection, keeping

if TYPE_CHECKING:
    from infra.lab.bench.trial import Trial

_KIND: Final = "layout"
#: Of every request; long, so that a loaded machine causes no failures.
_DEADLINE_MS: Final = 600_000
_OK: Final = 200

#: Sends one request and waits for its result; a number says whose turn it is.
Ask = Callable[[int, str], Awaitable[None]]


class TimedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request, milliseconds since the epoch."""

    sent_ms: float
    answered_ms: float

    @property
    def taken_ms(self) -> float:
        """Milliseconds that its client saw."""
        return self.answered_ms - self.sent_ms


@asynccontextmanager
async def connect(trial: Trial, connections: int) -> AsyncGenerator[dict[str, Ask]]:
    """The two ways to ask, ``nats`` and ``http``, connected."""
    url = trial.supervisor.http_url
    if url is None:
        raise RuntimeError("the gateway has not started")
    with keeping(url, connections) as kept:
        async with PipelineClient(trial.supervisor.reached) as client:

            async def by_nats(_: int, request_id: str) -> None:
                await client.ask(_KIND, body=_body(request_id), request_id=request_id)

            yield {"nats": by_nats, "http": partial(post, kept)}


async def post(connections: Sequence[KeptConnection], number: int, request_id: str) -> None:
    """Ask over HTTP, on one of the connections.

    Raises:
        RuntimeError: the answer is not 200.
    """
    answer = await connections[number].post(
        f"/generate?kind={_KIND}", _body(request_id), {"Idempotency-Key": request_id}
    )
    if answer.status != _OK:
        raise RuntimeError(f"the gateway answered {answer.status}: {answer.body[:500]!r}")


def _body(request_id: str) -> bytes:
    return msgspec.json.encode(
        {"prompt": f"a forest with three coins, number {request_id}", "deadline_ms": _DEADLINE_MS}
    )


async def _timed(ask: Ask, number: int, request_id: str) -> TimedRequest:
    sent = time.time_ns()
    await ask(number, request_id)
    return TimedRequest(sent_ms=sent / 1e6, answered_ms=time.time_ns() / 1e6)


async def saturate(ask: Ask, ids: Sequence[str], in_flight: int) -> dict[str, TimedRequest]:
    """Ask as fast as there are answers."""
    left = iter(ids)
    found: dict[str, TimedRequest] = {}

    async def user(number: int) -> None:
        for request_id in left:
            found[request_id] = await _timed(ask, number, request_id)

    async with asyncio.TaskGroup() as group:
        for number in range(in_flight):
            group.create_task(user(number))
    return found


async def pace(ask: Ask, ids: Sequence[str], rate: float, connections: int) -> dict[str, TimedRequest]:
    """Ask at even times; a request for which no connection is free waits, and its time counts from when it was due."""
    free: asyncio.Queue[int] = asyncio.Queue()
    for number in range(connections):
        free.put_nowait(number)
    found: dict[str, TimedRequest] = {}
    loop = asyncio.get_running_loop()
    began, began_ns = loop.time(), time.time_ns()

    async def user(number: int, request_id: str, due_ms: float) -> None:
        timed = await _timed(ask, number, request_id)
        found[request_id] = TimedRequest(sent_ms=min(due_ms, timed.sent_ms), answered_ms=timed.answered_ms)
        free.put_nowait(number)

    async with asyncio.TaskGroup() as group:
        for position, request_id in enumerate(ids):
            await asyncio.sleep(began + position / rate - loop.time())
            number = await free.get()
            group.create_task(user(number, request_id, began_ns / 1e6 + position / rate * 1000))
    return found
