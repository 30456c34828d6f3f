"""Admission of load by the broker.

What cannot be answered in time is refused when it is published, by the broker itself: REQUESTS has
``discard: new``, and its ``max_msgs`` is kept at what it holds plus the room that there is.  Two bounds make
the room: requests whose deadline is not armed yet (what this process arms in about a second), and open
requests (fewer while answers come late).  docs/adr/0013 has the measurements.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import msgspec

from contracts import pipeline
from contracts.errors import Unavailable
from infra.telemetry.broker_events import AdmissionClosed, AdmissionOpened, AdmissionStuck

if TYPE_CHECKING:
    from infra.nats.multiplexer import RequestMultiplexer
    from infra.runner.deadlines import Deadlines
    from infra.settings.settings import AdmissionSettings as Bounds
    from infra.telemetry.dispatch import Telemetry

#: Whose backlog on REQUESTS counts: the stage that arms deadlines.
_ARMS: Final = next(row.name for row in pipeline.STAGE_ROWS if row.arms_deadlines)
#: Seconds between two looks while requests come, and while none do.
_TICK_S: Final = 0.1
_IDLE_S: Final = 0.5
#: Seconds between two changes of the bound on open requests.
_ADAPT_S: Final = 1.0
#: Lateness that makes the bound smaller, and below which it grows again, ms.
_LATE_MS: Final = 500
_PROMPT_MS: Final = 250
#: Seconds of arming that may wait, and requests that may wait however slow it is.
_WAITING_S: Final = 0.8
_WAITING_LEAST: Final = 256
#: Deadlines armed in a second before anything is measured.
_RATE: Final = 1000.0
#: Seconds between two looks after which nothing is learned from them: the broker was away.
_LONG_S: Final = 2.0
#: Share of a new measurement.
_SHARE: Final = 0.3
#: Seconds without a refusal after which admission counts as open again.
_CALM_S: Final = 10.0
#: Requests by which the room has to change to be worth an update.
_STEP: Final = 16


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What one look shows."""

    #: Seconds since the last look.
    elapsed_s: float
    #: Requests that the fallback has not acknowledged.
    unarmed: int
    #: Armed here since the last look.
    armed: int
    #: Armed here and without an answer.
    open: int
    #: Latest answer since the last look, behind its deadline.
    late_ms: int


class Room:
    """Decides how many more requests are let in.

    Args:
        most: open requests at most.
        least: open requests that are always let in.
    """

    def __init__(self, *, most: int, least: int) -> None:
        self._most = most
        self._least = min(least, most)
        #: Open requests that are let in now.
        self.bound = float(most)
        #: Deadlines armed in a second while others wait.
        self.rate = _RATE
        self._since_s = 0.0
        self._late_ms = 0
        self._waited = False

    def look(self, now: Measured) -> int:
        """How many more requests may come.

        Args:
            now: what has changed since the last look.
        """
        if self._waited and now.unarmed > 0 and 0 < now.elapsed_s < _LONG_S:
            self.rate += _SHARE * (now.armed / now.elapsed_s - self.rate)
        self._waited = now.unarmed > 0
        self._since_s += now.elapsed_s
        self._late_ms = max(self._late_ms, now.late_ms)
        open_ = now.open + now.unarmed
        if self._since_s >= _ADAPT_S:
            if self._late_ms > _LATE_MS:
                self.bound = max(self._least, 0.7 * min(self.bound, max(open_, self._least)))
            elif self._late_ms < _PROMPT_MS:
                self.bound = min(self._most, self.bound * 1.15 + _STEP)
            self._since_s, self._late_ms = 0.0, 0
        waiting = max(_WAITING_LEAST, self.rate * _WAITING_S)
        return max(0, int(min(self.bound - open_, waiting - now.unarmed)))


class _State(msgspec.Struct, frozen=True):
    messages: int = 0
    last_seq: int = 0


class _Stream(msgspec.Struct, frozen=True):
    config: dict[str, Any]
    state: _State


class _Consumer(msgspec.Struct, frozen=True):
    num_pending: int = 0
    num_ack_pending: int = 0


class _Answer(msgspec.Struct, frozen=True):
    error: dict[str, Any] | None = None


class Admission:
    """Keeps ``max_msgs`` of REQUESTS at what can be answered.

    Args:
        wire: calls to the broker.
        deadlines: what this process has armed.
        bounds: the settings.
        telemetry: gets what happens.
    """

    def __init__(
        self, *, wire: RequestMultiplexer, deadlines: Deadlines, bounds: Bounds, telemetry: Telemetry
    ) -> None:
        self._wire = wire
        self._deadlines = deadlines
        self._enabled = bounds.enabled
        self._room = Room(most=bounds.most, least=bounds.least)
        self._telemetry = telemetry
        self._last_seq = -1
        self._armed = 0
        #: When there was no room last, on the loop's clock, and whether that was emitted.
        self._closed_s = float("-inf")
        self._told = False
        self._complained_s = float("-inf")

    async def run(self) -> None:
        """Look and adjust, for ever; a broker that is away is waited for."""
        loop = asyncio.get_running_loop()
        last = loop.time()
        while True:
            busy = False
            try:
                now = loop.time()
                busy = await self._tick(now - last)
                last = now
            except (Unavailable, msgspec.MsgspecError) as error:
                self._complain(str(error), loop.time())
            await asyncio.sleep(_TICK_S if busy else _IDLE_S)

    async def _tick(self, elapsed_s: float) -> bool:
        stream = await self._info(f"STREAM.INFO.{pipeline.REQUESTS}", _Stream)
        if not self._enabled:
            if stream.config.get("max_msgs", -1) != -1:
                await self._put(stream.config, -1)
            return False
        consumer = await self._info(f"CONSUMER.INFO.{pipeline.REQUESTS}.{_ARMS}", _Consumer)
        armed, self._armed = self._deadlines.count - self._armed, self._deadlines.count
        room = self._room.look(
            Measured(
                elapsed_s=elapsed_s,
                unarmed=consumer.num_pending + consumer.num_ack_pending,
                armed=armed,
                open=self._deadlines.open,
                late_ms=self._deadlines.lateness_ms(),
            )
        )
        await self._adjust(stream, room)
        busy = stream.state.last_seq != self._last_seq or self._deadlines.open > 0
        self._last_seq = stream.state.last_seq
        return busy

    async def _adjust(self, stream: _Stream, room: int) -> None:
        had = stream.config.get("max_msgs", -1)
        left = had - stream.state.messages
        self._tell(closed=room == 0)
        enough = had > 0 and left <= room and (room - left < _STEP or left > room / 2)
        barely_more = had > 0 and room < left <= room + max(_STEP, room // 8) and room > 0
        if not (enough or barely_more):
            await self._put(stream.config, max(1, stream.state.messages + room))

    def _complain(self, problem: str, now_s: float) -> None:
        """Report a bound that cannot be moved: it stays where it is, and may keep everybody out."""
        if now_s - self._complained_s > _CALM_S:
            self._complained_s = now_s
            self._telemetry.emit(AdmissionStuck(problem=problem))

    def _tell(self, *, closed: bool) -> None:
        """Under load the bound is reached several times a second: that is one event, and one when it is over."""
        now_s = asyncio.get_running_loop().time()
        if closed:
            self._closed_s = now_s
            if not self._told:
                self._told = True
                self._telemetry.emit(AdmissionClosed(open=int(self._room.bound)))
        elif self._told and now_s - self._closed_s > _CALM_S:
            self._told = False
            self._telemetry.emit(AdmissionOpened(open=int(self._room.bound)))

    async def _put(self, config: dict[str, Any], max_msgs: int) -> None:
        notes = {k: v for k, v in (config.get("metadata") or {}).items() if not k.startswith("_nats.")}
        body = msgspec.json.encode({**config, "max_msgs": max_msgs, "metadata": notes})
        answer = await self._wire.call(f"$JS.API.STREAM.UPDATE.{pipeline.REQUESTS}", body)
        error = msgspec.json.decode(answer.data, type=_Answer).error
        if error is not None:
            raise Unavailable(f"the broker refuses max_msgs {max_msgs}: {error.get('description')}")

    async def _info(self, subject: str, shape: type[Any]) -> Any:
        answer = await self._wire.call(f"$JS.API.{subject}")
        error = msgspec.json.decode(answer.data, type=_Answer).error if answer.data else {}
        if error is not None:
            raise Unavailable(f"{subject}: {error.get('description', 'nobody answers')}")
        return msgspec.json.decode(answer.data, type=shape)
