"""Open-loop publisher: requests at a fixed rate, and the broker's response times.

Run as a program, so that nothing else on its event loop delays it: a :class:`PublishPlan` as JSON on standard
input, what became of it as a :class:`Published` on standard output.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from contracts import subjects
from contracts.errors import Unavailable
from infra.host.parent_death import before_exec
from infra.nats.connection import dial
from infra.nats.multiplexer import RequestMultiplexer

#: What stands in place of the broker's error code: taken, no answer in time, not sent.
TAKEN: Final = 0
SILENT: Final = -1
UNSENT: Final = -2
#: Seconds before a publish without an answer is tried again, where a plan wants that.
_AGAIN_S: Final = 0.1
#: Seconds that a publisher may take beside its plan: to start, to connect, to print.
_SPARE_S: Final = 30.0


class RequestSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked: a kind, and the request's fields but prompt and deadline."""

    kind: str = "layout"
    fields: dict[str, Any] = {}


class PublishPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What to publish."""

    url: str
    #: Of the request ids; a number follows.
    prefix: str
    requests: int
    #: Number of the first one.
    first: int = 0
    #: Per second; ``None``: as fast as the broker takes them.
    rate: float | None
    #: Publishes that the broker has not answered; beyond it a request of a rate is not sent.
    in_flight: int = 20_000
    #: Arrivals at random (exponential gaps) instead of even ones.
    poisson: bool = False
    seed: int = 1
    #: Asked in turn.
    asks: tuple[RequestSpec, ...] = (RequestSpec(),)
    deadline_ms: int = 2000
    #: All deadlines at this moment (seconds since the epoch) instead.
    due: float | None = None
    #: Seconds until a publish counts as unanswered.
    timeout_s: float = 10.0
    #: Seconds in which an unanswered publish is tried again, as a client does.
    again_s: float = 0.0


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a plan: one entry for each request."""

    #: Milliseconds since the epoch, before the first try.
    sent_ms: tuple[float, ...]
    #: Milliseconds until the broker answered; of the last try.
    taken_ms: tuple[float, ...]
    #: :data:`TAKEN`, :data:`SILENT`, :data:`UNSENT` or the broker's ``err_code``.
    codes: tuple[int, ...]
    deadlines_ms: tuple[int, ...]
    #: Seconds from the first publish to the last (without a rate: as below), and to the broker's last answer.
    sending_s: float
    taking_s: float
    #: Milliseconds that the worst publish was sent behind its moment.
    behind_ms: float

    def followed_by(self, later: Published) -> Published:
        """Both as one."""
        return Published(
            sent_ms=self.sent_ms + later.sent_ms,
            taken_ms=self.taken_ms + later.taken_ms,
            codes=self.codes + later.codes,
            deadlines_ms=self.deadlines_ms + later.deadlines_ms,
            sending_s=self.sending_s + later.sending_s,
            taking_s=self.taking_s + later.taking_s,
            behind_ms=max(self.behind_ms, later.behind_ms),
        )


def moments(plan: PublishPlan) -> Iterator[float]:
    """Seconds after the start at which requests are sent; all 0 without a rate."""
    dice = random.Random(plan.seed)  # noqa: S311 - arrivals, no secret
    at = 0.0
    for _ in range(plan.requests):
        yield at
        if plan.rate is not None:
            at += dice.expovariate(plan.rate) if plan.poisson else 1 / plan.rate


class _Publisher:
    def __init__(self, plan: PublishPlan, wire: RequestMultiplexer) -> None:
        self._plan = plan
        self._wire = wire
        self._sent = [0.0] * plan.requests
        self._taken = [0.0] * plan.requests
        self._codes = [UNSENT] * plan.requests
        self._deadlines = [plan.deadline_ms] * plan.requests
        self._free = asyncio.Semaphore(plan.in_flight)
        self._flying: set[asyncio.Task[None]] = set()

    async def run(self) -> Published:
        began, behind = time.monotonic(), 0.0
        for number, at in enumerate(moments(self._plan)):
            if self._plan.rate is None:
                await self._free.acquire()
            else:
                late = time.monotonic() - began - at
                # Also without a wait: answers must be heard.
                await asyncio.sleep(max(0.0, -late))
                behind = max(behind, late)
                if self._free.locked():
                    self._sent[number] = time.time() * 1000
                    continue
                await self._free.acquire()
            task = asyncio.create_task(self._publish(number))
            self._flying.add(task)
            task.add_done_callback(self._landed)
        sending_s = time.monotonic() - began
        while self._flying:
            await asyncio.wait(self._flying)
        taking_s = time.monotonic() - began
        return Published(
            sent_ms=tuple(self._sent),
            taken_ms=tuple(self._taken),
            codes=tuple(self._codes),
            deadlines_ms=tuple(self._deadlines),
            sending_s=taking_s if self._plan.rate is None else sending_s,
            taking_s=taking_s,
            behind_ms=behind * 1000,
        )

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._flying.discard(task)
        self._free.release()
        task.result()

    async def _publish(self, number: int) -> None:
        plan = self._plan
        request_id = f"{plan.prefix}{plan.first + number}"
        ask = plan.asks[(plan.first + number) % len(plan.asks)]
        now = time.time()
        if plan.due is not None:
            self._deadlines[number] = max(1, round((plan.due - now) * 1000))
        body = msgspec.json.encode(
            {
                # No two alike, so that no cache answers.
                "prompt": f"a forest with three coins, number {request_id}",
                "deadline_ms": self._deadlines[number],
                **ask.fields,
            }
        )
        subject = subjects.gen("requested", ask.kind, request_id)
        self._sent[number] = now * 1000
        while True:
            began = time.monotonic()
            try:
                ack = await self._wire.publish(subject, body)
            except Unavailable:
                self._codes[number] = SILENT
            else:
                self._codes[number] = TAKEN if ack.error is None else ack.error.err_code
            self._taken[number] = (time.monotonic() - began) * 1000
            if self._codes[number] != SILENT or time.time() - now > plan.again_s:
                return
            await asyncio.sleep(_AGAIN_S)


async def publish(plan: PublishPlan) -> Published:
    """Carry out a plan in a process of its own.

    Raises:
        RuntimeError: that process failed or did not end; its errors are on standard error.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "infra.lab.bench.publisher",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        preexec_fn=before_exec(),
    )
    planned = plan.requests / (plan.rate or 50)
    try:
        async with asyncio.timeout(planned + plan.timeout_s + plan.again_s + _SPARE_S):
            said, _ = await process.communicate(msgspec.json.encode(plan))
    except TimeoutError:
        raise RuntimeError(f"the publisher of {plan.requests} requests did not end") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise RuntimeError(f"the publisher ended with status {process.returncode}")
    return msgspec.json.decode(said, type=Published)


async def _main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=PublishPlan)
    client = await dial(plan.url, name="understudy-bench-publisher")
    wire = RequestMultiplexer(timeout_s=plan.timeout_s)
    await wire.open(client)
    try:
        published = await _Publisher(plan, wire).run()
    finally:
        await wire.close()
        await client.close()
    sys.stdout.buffer.write(msgspec.json.encode(published))


if __name__ == "__main__":
    asyncio.run(_main())
