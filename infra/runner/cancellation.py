"""Cancellation of work whose request has got its result elsewhere: it must not go on using the model (rule 7)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from understudy_client.tasks import end_tasks

from contracts import subjects
from contracts.errors import Unavailable
from contracts.outcome import Emit, Outcome

if TYPE_CHECKING:
    from nats.aio.msg import Msg

    from contracts.envelope import Received
    from infra.nats.lookup import Lookup
    from infra.nats.multiplexer import RequestMultiplexer

#: Looks for a result that was heard, and seconds between two.
_LOOKS: Final = 3
_LOOK_S: Final = 0.1
#: Seconds of work before it is worth a subscription; what ends sooner cannot be stopped in time.
PATIENCE_S: Final = 0.1
#: Seconds until work that goes on is stopped again.
_AGAIN_S: Final = 5.0


class Cancellation:
    """Runs handlers and stops those whose request got its result elsewhere."""

    def __init__(self, *, wire: RequestMultiplexer, lookup: Lookup) -> None:
        self._wire = wire
        self._lookup = lookup

    async def run(self, received: Received[Any], work: Awaitable[Outcome]) -> Outcome:
        """The handler's outcome, or nothing to do when the result came first.

        The work runs in the caller's task, and only what takes longer than :data:`PATIENCE_S` gets a watch beside it.
        """
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        watch: asyncio.Task[None] | None = None
        stopping: asyncio.TimerHandle | None = None

        def begin_watch() -> None:
            nonlocal watch
            watch = loop.create_task(self._watch(received.request_id, stop))

        def stop() -> None:
            nonlocal stopping
            scope.reschedule(loop.time())
            stopping = loop.call_later(_AGAIN_S, stop_again)

        def stop_again() -> None:
            # The cancellation was lost, as end_tasks has it; the scope still counts with one.
            nonlocal stopping
            if task is not None:
                task.uncancel()
                task.cancel()
            stopping = loop.call_later(_AGAIN_S, stop_again)

        timer = loop.call_later(PATIENCE_S, begin_watch)
        # Without a time: it ends when the watch says so.
        scope = asyncio.timeout(None)
        outcome: Outcome = Emit()
        try:
            try:
                async with scope:
                    outcome = await work
            except Exception:
                if not scope.expired():
                    raise
            finally:
                if stopping is not None:
                    stopping.cancel()
            if watch is not None and scope.expired():
                # The result decides, whatever the work made of its stop.
                await watch
                outcome = Emit()
            return outcome
        finally:
            timer.cancel()
            if watch is not None:
                await end_tasks(watch)

    async def _watch(self, request_id: str, stop: Callable[[], None]) -> None:
        """Stop the work as soon as there is a result, or when nothing can be heard of one."""
        try:
            await self._until_answered(request_id)
        except asyncio.CancelledError:
            # The work has ended.
            raise
        except Exception:
            stop()
            raise
        stop()

    async def _until_answered(self, request_id: str) -> None:
        heard = asyncio.Event()

        async def note(_: Msg) -> None:
            heard.set()

        subscription = await self._wire.client.subscribe(subjects.any_answer(request_id), cb=note)
        try:
            # The first look is for a result that came before there was anything to hear it with.
            looks = 1
            while not await self._is_stored(request_id, looks):
                await heard.wait()
                heard.clear()
                looks = _LOOKS
        finally:
            await subscription.unsubscribe()

    async def _is_stored(self, request_id: str, looks: int) -> bool:
        """Whether there is a result.  One that was heard may be stored a moment later, or refused by the broker."""
        for left in reversed(range(looks)):
            # A broker that is away says nothing about the request: what runs goes on.
            with contextlib.suppress(Unavailable):
                if await self._lookup.has_result(request_id):
                    return True
            if left:
                await asyncio.sleep(_LOOK_S)
        return False
