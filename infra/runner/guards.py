"""Guards of a stage: what is answered, doomed or not ours ends before the handler is called."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, assert_never

from understudy_client.identity import same_body

from contracts import deadline, subjects
from contracts.errors import ErrorCode
from contracts.outcome import Emit, Fail, Outcome, Reject, Wait
from contracts.pipeline import Guard
from infra.runner.deadlines import DeadlineState, OverdueDeadline

if TYPE_CHECKING:
    from contracts.envelope import Received
    from contracts.pipeline import Stage
    from infra.nats.pull import Delivery
    from infra.runner.pace import Pace
    from infra.runner.ports import RunnerPorts

#: Age below which an event's condition at its publish still counts, milliseconds.
_FRESH_MS: Final = 250
#: Time to its deadline with which no model call is begun, milliseconds.
_NEAR_MS: Final = 50
#: Wait of a deadline that the broker fired while it is answered from memory, seconds.
_BUSY_S: Final = 1.0


class Guards:
    """The guards that a stage's row names.

    Args:
        stage: the stage's row.
        ports: what the runners of this process share.
        pace: usual durations of the stage's runs.
    """

    def __init__(self, *, stage: Stage, ports: RunnerPorts, pace: Pace) -> None:
        self._stage = stage
        self._lookup = ports.lookup
        self._clock = ports.clock
        self._deadlines = ports.deadlines
        self._pace = pace

    async def check(self, received: Received[Any], delivery: Delivery) -> Outcome | None:
        """An outcome if there is nothing to run.

        Raises:
            Unavailable: a look-up met no broker.
        """
        for guard in self._stage.guards:
            match guard:
                case Guard.INTAKE:
                    found = await self._admit(received, delivery) if received.name == "requested" else None
                case Guard.WORTH_A_CALL:
                    found = self._doomed(received) or await self._answered(received, delivery)
                case Guard.OPEN_DEADLINE:
                    found = await self._claim(received, delivery) if received.name == "deadline" else None
                case _ as never:
                    assert_never(never)
            if found is not None:
                return found
        return None

    async def _admit(self, received: Received[Any], delivery: Delivery) -> Outcome | None:
        """An outcome for a request that is not begun."""
        allowed_ms = deadline.read_deadline_ms(delivery.msg.data)
        if allowed_ms is not None and self._clock.now_ms() + _NEAR_MS >= received.time_ms + allowed_ms:
            # Doomed, like below.
            return Emit()
        if subjects.REQUEST_ID.fullmatch(received.request_id) is None:
            return Reject(
                code=ErrorCode.GEN_INVALID_REQUEST,
                message=f"request id {received.request_id!r} must match {subjects.REQUEST_ID.pattern}",
            )
        owner = await self._lookup.first_request(received.request_id)
        if owner is None or owner.sequence >= received.sequence:
            return None
        if owner.kind == received.kind and same_body(owner.body, delivery.msg.data):
            return Emit()
        return Reject(
            code=ErrorCode.GEN_INVALID_REQUEST,
            message=f"id already used by gen.requested.{owner.kind}.{owner.request_id} "
            f"(sequence {owner.sequence}); choose another id",
        )

    def _doomed(self, received: Received[Any]) -> Outcome | None:
        """An outcome for a request whose time is up, or too short for this step (rule 15)."""
        left_ms = received.event.brief.deadline_at_ms - self._clock.now_ms()
        if left_ms <= _NEAR_MS:
            # The fallback answers at the deadline, and sooner without this in its way.
            return Emit()
        usual_ms = self._pace.too_long(received.kind, left_ms, now_s=time.perf_counter())
        if usual_ms is None:
            return None
        return Fail(
            code=ErrorCode.GEN_TIMEOUT,
            message=f"not begun: {left_ms} ms are left until the deadline, too little for {self._stage.name}, "
            f"which takes some {usual_ms:.0f} ms now, and the steps behind it",
        )

    async def _answered(self, received: Received[Any], delivery: Delivery) -> Outcome | None:
        """Nothing to do for a request that has its result (rule 7)."""
        # Stored a moment ago under the condition that there is no result: no need to ask again.  Later
        # attempts come from a timer, which the broker publishes without condition.
        first = delivery.deliveries == 1 and received.event.attempt == 1
        if first and self._clock.now_ms() - received.time_ms < _FRESH_MS:
            return None
        return Emit() if await self._lookup.has_result(received.request_id) else None

    async def _claim(self, received: Received[Any], delivery: Delivery) -> Outcome | None:
        """An outcome for a deadline whose request is answered, or is being answered."""
        if isinstance(delivery, OverdueDeadline):
            return None
        match self._deadlines.claim(received.request_id, received.event.request_seq):
            case DeadlineState.BUSY:
                return Wait(seconds=_BUSY_S, why="it is being answered from memory", expected=True)
            case DeadlineState.OPEN:
                # Results are heard of, and the broker takes no second: no need to look.
                return None
            case DeadlineState.ENDED:
                return Emit()
            case DeadlineState.HEARD | DeadlineState.UNKNOWN:
                # Heard of is not stored: a broker passes on what it then does not store.
                return Emit() if await self._lookup.has_result(received.request_id) else None
            case _ as never:
                assert_never(never)
