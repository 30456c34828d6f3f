"""Load on a pipeline: requests published in bursts or one by one, and the times of their results."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Self

import msgspec

from contracts import retry, subjects
from contracts.errors import Unavailable
from infra.nats.connection import dial
from infra.nats.multiplexer import RequestMultiplexer

if TYPE_CHECKING:
    from types import TracebackType

    from nats.aio.client import Client
    from nats.aio.msg import Msg

    from infra.settings.settings import Settings


class Load:
    """Publishes requests of kind ``layout`` and takes the time of their results.

    Args:
        where: the broker's URL, for a client without a key; or the settings of its operator.
        deadline_ms: of every request; long by default, so that a loaded machine causes no failures.
    """

    def __init__(self, where: str | Settings, *, deadline_ms: int = 600_000) -> None:
        self._where = where
        self._deadline_ms = deadline_ms
        self._wire = RequestMultiplexer()
        self.client: Client | None = None
        #: Seconds on the monotonic clock at which the first result of a request was heard.
        self.answered: dict[str, float] = {}
        self.failed: dict[str, float] = {}
        self._heard = asyncio.Event()

    async def __aenter__(self) -> Self:
        self.client = await dial(self._where, name="understudy-bench")
        await self._wire.open(self.client)
        await self.client.subscribe("gen.result.>", cb=self._result)
        await self.client.subscribe("gen.failed.>", cb=self._failed)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._wire.close()
        if self.client is not None:
            await self.client.close()

    @property
    def connected(self) -> Client:
        """The connected client."""
        if self.client is None:
            raise Unavailable("not connected to the broker yet")
        return self.client

    async def _result(self, msg: Msg) -> None:
        self.answered.setdefault(msg.subject.rpartition(".")[2], time.monotonic())
        self._heard.set()

    async def _failed(self, msg: Msg) -> None:
        self.failed.setdefault(msg.subject.rpartition(".")[2], time.monotonic())

    async def publish(self, request_id: str) -> None:
        """Publish one request until the broker has it."""
        body = msgspec.json.encode(
            {"prompt": f"a forest with three coins, number {request_id}", "deadline_ms": self._deadline_ms}
        )
        tries = 0
        while True:
            try:
                ack = await self._wire.publish(subjects.gen("requested", "layout", request_id), body)
            except Unavailable:
                pass
            else:
                if ack.error is None:
                    return
            tries += 1
            await asyncio.sleep(retry.backoff(tries, base_s=0.05, cap_s=0.5))

    async def burst(self, ids: list[str], *, in_flight: int = 64) -> float:
        """Publish requests as fast as the broker takes them; seconds until all are answered."""
        began = time.monotonic()
        waiting = iter(ids)

        async def publisher() -> None:
            for request_id in waiting:
                await self.publish(request_id)

        await asyncio.gather(*(publisher() for _ in range(in_flight)))
        await self.until_answered(ids)
        return time.monotonic() - began

    async def until_answered(self, ids: list[str], *, timeout_s: float = 600) -> None:
        """Wait for the results of requests.

        Raises:
            TimeoutError: naming how many are missing.
        """
        missing = set(ids)
        try:
            async with asyncio.timeout(timeout_s):
                while missing := {one for one in missing if one not in self.answered}:
                    self._heard.clear()
                    await self._heard.wait()
        except TimeoutError:
            raise TimeoutError(f"{len(missing)} of {len(ids)} requests have no result") from None

    async def latencies(self, ids: list[str]) -> list[float]:
        """Milliseconds from publish to result, one request after another, sorted."""
        taken: list[float] = []
        for request_id in ids:
            began = time.monotonic()
            await self.publish(request_id)
            await self.until_answered([request_id])
            taken.append((self.answered[request_id] - began) * 1000)
        return sorted(taken)
