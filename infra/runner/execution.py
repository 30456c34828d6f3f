"""Execution of one message: decode → guard → count the start → run → publish → settle → report.

An :class:`Execution` is a value; every step takes one and returns the next.  A step passes over what an earlier
one has decided already.  Whatever happens in between, the message ends in one of four ways: acknowledged after
everything that follows from it is safely published, handed back at once, put off, or left to the broker because
this process died.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, Protocol, assert_never

import msgspec
from nats import errors as nats_errors

from contracts import envelope, pipeline, retry
from contracts.envelope import Received
from contracts.errors import ErrorCode, NewerVersion, Unavailable, Unreadable, Unstorable
from contracts.outcome import Delegate, Emit, Fail, Outcome, Record, Reject, Retry, Schedule, Wait
from infra.runner.crash_counter import ALONE, POISON, CrashCounter
from infra.runner.decode import as_raw_request, decode, read_trace
from infra.runner.guards import Guards
from infra.runner.pace import Pace
from infra.runner.publishing import Publisher, PublishRefused
from infra.runner.report import ending_of, report
from infra.telemetry.events import DefectFound, HandBackFailed, MessageEnding
from infra.telemetry.trace_events import CALLS, MessageTraced, WorkTrace

if TYPE_CHECKING:
    from contracts.subjects import Subject
    from infra.nats.pull import Delivery
    from infra.runner.ports import RunnerPorts
    from infra.telemetry.trace_context import TraceContext

Handle = Callable[[Received[Any]], Outcome | Awaitable[Outcome]]

#: Longest wait of a message that waits for a broken surrounding, seconds.
_WAIT_CAP_S: Final = 10.0
#: Wait of a message in a version from the future, seconds.
_PARKED_S: Final = 5.0

_replace = msgspec.structs.replace


class Sink(Protocol):
    """Where the rows of :class:`Record` go."""

    async def add(self, row: Any) -> None:
        """Return when the row is committed.

        Raises:
            Unavailable: the row is not written; try again.
            Unstorable: it never will be.
        """
        ...


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """One message on its way through a stage."""

    delivery: Delivery
    #: When it began, seconds on the clock of ``time.perf_counter``.
    began_s: float
    #: Its subject; ``None``: not read yet, or not one of the pipeline's.
    address: Subject | None = None
    #: Its event; ``None``: not read yet, or unreadable.
    received: Received[Any] | None = None
    #: Starts of a redelivered message, this one included; 0: it is delivered for the first time.
    starts: int = 0
    #: What was decided about it.
    outcome: Outcome | None = None
    #: How it ended, and what is wrong.
    ending: MessageEnding = MessageEnding.EMITTED
    problem: str = ""
    #: Its trace; ``None``: not read yet.
    context: TraceContext | None = None
    #: Its provider calls and what was published for it; ``None``: nobody records its trace.
    trace: WorkTrace | None = None

    @property
    def suspect(self) -> bool:
        """Whether an earlier delivery may have killed its worker (rule 5)."""
        return self.delivery.deliveries > 1

    @property
    def elapsed_ms(self) -> float:
        """Milliseconds since it began."""
        return (time.perf_counter() - self.began_s) * 1000


class Runner:
    """Takes the messages of one stage through the steps.

    Args:
        stage: the stage's name.
        handle: its handler, ports bound.
        ports: what the runners of this process share.
        sink: where rows go; for a stage that records.
    """

    def __init__(self, *, stage: str, handle: Handle, ports: RunnerPorts, sink: Sink | None = None) -> None:
        self.stage = pipeline.STAGE_OF[stage]
        self._handle = handle
        self._sink = sink
        self._lookup = ports.lookup
        self._isolation = ports.isolation
        self._cancellation = ports.cancellation
        self._telemetry = ports.telemetry
        self._pace = Pace()
        self._guards = Guards(stage=self.stage, ports=ports, pace=self._pace)
        self._crashes = CrashCounter(wire=ports.wire, lookup=ports.lookup, stage=stage)
        self._publisher = Publisher(stage=self.stage, ports=ports)
        #: Creation time of each bound stream, ms since the epoch.
        self.created_ms: dict[str, int] = {}

    async def __call__(self, delivery: Delivery) -> None:
        """Take one message through the steps; raises nothing but its cancellation."""
        context, trace = self._begin_trace(delivery)
        execution = Execution(delivery=delivery, began_s=time.perf_counter(), context=context, trace=trace)
        try:
            execution = await self.call(execution)
        except asyncio.CancelledError:
            self._report(await self._hand_back(execution))
            raise
        except (Unavailable, nats_errors.Error, OSError) as error:
            execution = await self._wait_outside(execution, str(error) or type(error).__name__)
        except Exception as error:  # noqa: BLE001 - a defect of ours: the request must not wait for it
            execution = await self._give_up(execution, error)
        self._report(execution)

    def _begin_trace(self, delivery: Delivery) -> tuple[TraceContext | None, WorkTrace | None]:
        """Where the work is recorded; what audit does is no part of any request's way to its result."""
        if self.stage.records or not self._telemetry.takes(MessageTraced, logging.NOTSET):
            return None, None
        context = read_trace(delivery)
        if not self._telemetry.keeps(MessageTraced, context):
            return context, None
        trace = WorkTrace()
        CALLS.set(trace.calls)
        return context, trace

    async def call(self, execution: Execution) -> Execution:
        """The steps.

        Raises:
            Unavailable, nats.errors.Error, OSError: the surroundings are broken; the message must wait.
        """
        execution = self._decode(execution)
        execution = await self._guard(execution)
        execution = await self._count_start(execution)
        execution = await self._run(execution)
        execution = await self._publish(execution)
        return await self._settle(execution)

    # -- decode, guard, count the start, run ---------------------------------------------------

    def _decode(self, execution: Execution) -> Execution:
        delivery = execution.delivery
        created_ms = self.created_ms.get(delivery.stream, 0)
        address: Subject | None = None
        try:
            # A dead letter has no address: it is about a message, and belongs to no request's events.
            address = None if delivery.stream == pipeline.DEAD else envelope.address(delivery.msg.subject)
            return _replace(execution, address=address, received=decode(delivery, address, created_ms))
        except Unreadable as error:
            outcome: Outcome = Reject(code=error.code, message=str(error))
        except NewerVersion as error:
            if self.stage.unfailing and address is not None and address.event == "requested":
                # Neither needs a field of it: whatever version it is, its answer comes in time, and is no surprise.
                received = as_raw_request(delivery, address, created_ms)
                return _replace(execution, address=address, received=received)
            outcome = Wait(seconds=_PARKED_S, why=str(error))
        return _replace(execution, address=address, outcome=outcome)

    async def _guard(self, execution: Execution) -> Execution:
        if execution.received is not None:
            found = await self._guards.check(execution.received, execution.delivery)
            return execution if found is None else _replace(execution, outcome=found)
        if isinstance(execution.outcome, Wait) and await self._is_answered(execution):
            # A version from the future waits for a newer worker as long as anybody waits for its answer.
            return _replace(execution, outcome=Emit())
        return execution

    async def _is_answered(self, execution: Execution) -> bool:
        address = execution.address
        return (
            address is not None
            and not self.stage.records
            and await self._lookup.has_result(address.request_id)
        )

    async def _count_start(self, execution: Execution) -> Execution:
        if execution.outcome is not None or not execution.suspect:
            return execution
        starts = await self._crashes.count(execution.delivery.stream, execution.delivery.sequence)
        if starts >= POISON:
            return _replace(execution, outcome=_poisoned(starts))
        return _replace(execution, starts=starts + 1)

    async def _run(self, execution: Execution) -> Execution:
        if execution.outcome is not None or execution.received is None:
            return execution
        if execution.starts >= ALONE:
            async with self._isolation.alone():
                return _replace(execution, outcome=await self._started(execution, execution.received))
        await self._isolation.enter()
        try:
            return _replace(execution, outcome=await self._started(execution, execution.received))
        finally:
            self._isolation.leave()

    async def _started(self, execution: Execution, received: Received[Any]) -> Outcome:
        """The handler's outcome.

        A start is counted here: a message that only waits for its turn must not be blamed for the one that runs.
        """
        if execution.starts:
            delivery = execution.delivery
            await self._crashes.add(delivery.stream, delivery.sequence, execution.starts)
        try:
            decided = self._handle(received)
            if isinstance(decided, Outcome):
                return decided
            if not self.stage.expensive:
                return await decided
            began_s = time.perf_counter()
            outcome = await self._cancellation.run(received, decided)
            self._note_pace(received.kind, outcome, began_s)
            return outcome  # noqa: TRY300 - one line for each way
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - reported, and answered with a letter and a failure
            self._telemetry.emit(
                DefectFound(
                    part=f"stage {self.stage.name}",
                    name=received.name,
                    kind=received.kind,
                    request_id=received.request_id,
                    raised=error,
                )
            )
            message = f"defect in {self.stage.name}: {type(error).__name__}: {error}"
            return Fail(code=ErrorCode.GEN_INTERNAL, message=message, letter=True)

    def _note_pace(self, kind: str, outcome: Outcome, began_s: float) -> None:
        if isinstance(outcome, Emit) and outcome.events:
            now_s = time.perf_counter()
            self._pace.took(kind, (now_s - began_s) * 1000 - outcome.aside_ms, now_s=now_s)

    # -- publish, settle, report ---------------------------------------------------------------

    async def _publish(self, execution: Execution) -> Execution:
        try:
            return await self._carry_out(execution)
        except PublishRefused as error:
            # Nothing of it can be stored, now or later: the request gets that as its failure, which is small.
            return await self._carry_out(_replace(execution, outcome=_defect(str(error))))

    async def _carry_out(self, execution: Execution) -> Execution:
        match execution.outcome:
            case None:
                raise TypeError(f"{self.stage.name} decided nothing about {execution.delivery.msg.subject}")
            case Wait() | Emit(events=()):
                return execution
            case Delegate() as delegate:
                outcome = await self._publisher.delegate(
                    delegate, execution.delivery, context=execution.context, trace=execution.trace
                )
                return _replace(execution, outcome=outcome)
            case Record(row=row):
                return await self._record(execution, row)
            case Emit() | Schedule() | Retry() | Fail() | Reject() as outcome:
                await self._publisher.carry_out(
                    outcome,
                    execution.delivery,
                    execution.address,
                    execution.received,
                    elapsed_ms=execution.elapsed_ms,
                    context=execution.context,
                    trace=execution.trace,
                )
                return execution
            case _ as never:
                assert_never(never)

    async def _record(self, execution: Execution, row: Any) -> Execution:
        if self._sink is None:
            raise TypeError(f"stage {self.stage.name} has no sink for its rows")
        try:
            await self._sink.add(row)
        except Unstorable as error:
            return await self._carry_out(_replace(execution, outcome=_defect(str(error))))
        return execution

    async def _settle(self, execution: Execution) -> Execution:
        outcome, delivery = execution.outcome, execution.delivery
        if isinstance(outcome, Wait):
            await self._put_off(execution, outcome.seconds)
            return _replace(
                execution, ending=MessageEnding.PUT_OFF, problem="" if outcome.expected else outcome.why
            )
        await delivery.ack()
        if execution.suspect:
            await self._crashes.clear(delivery.stream, delivery.sequence)
        return _replace(execution, ending=ending_of(outcome), problem=getattr(outcome, "message", ""))

    # -- other ways to end ---------------------------------------------------------------------

    async def _hand_back(self, execution: Execution) -> Execution:
        """At a stop: another worker takes the message over at once (rule 8)."""
        await self._put_off(execution, 0)
        return _replace(execution, ending=MessageEnding.HANDED_BACK)

    async def _wait_outside(self, execution: Execution, problem: str) -> Execution:
        """The broker, the database or a provider's server is away: the message comes again later."""
        delivery = execution.delivery
        await self._put_off(
            execution, retry.backoff(delivery.deliveries, cap_s=_WAIT_CAP_S, key=str(delivery.sequence))
        )
        return _replace(execution, ending=MessageEnding.WAITS, problem=problem)

    async def _give_up(self, execution: Execution, error: Exception) -> Execution:
        """End a message that a defect of the runner keeps from its end."""
        problem = f"defect in the runner of {self.stage.name}: {type(error).__name__}: {error}"
        self._telemetry.emit(DefectFound(part=f"the runner of {self.stage.name}", raised=error))
        try:
            execution = _replace(self._decode(execution), outcome=_defect(problem))
            settled = await self._settle(await self._carry_out(execution))
        except Exception as again:  # noqa: BLE001 - nothing is left but to try later
            problem = f"{problem}; nor can that be published: {again!r}"
            return await self._wait_outside(execution, problem)
        return settled

    async def _put_off(self, execution: Execution, seconds: float) -> None:
        delivery = execution.delivery
        try:
            if execution.suspect:
                await self._crashes.clear(delivery.stream, delivery.sequence)
            await delivery.nak(seconds)
        except (Unavailable, nats_errors.Error) as error:
            # The broker gives it out again by itself when its lease runs out.
            self._telemetry.emit(
                HandBackFailed(
                    stage=self.stage.name, stream=delivery.stream, seq=delivery.sequence, problem=str(error)
                )
            )

    def _report(self, execution: Execution) -> None:
        report(
            self._telemetry,
            stage=self.stage.name,
            delivery=execution.delivery,
            outcome=execution.outcome,
            ending=execution.ending,
            problem=execution.problem,
            duration_ms=execution.elapsed_ms,
        )
        if execution.trace is not None:
            self._telemetry.emit(_traced(execution, execution.trace, self.stage.name))


def _traced(execution: Execution, trace: WorkTrace, stage: str) -> MessageTraced:
    delivery, ended_ns = execution.delivery, time.time_ns()
    return MessageTraced(
        stage=stage,
        subject=delivery.msg.subject,
        context=execution.context or read_trace(delivery),
        stream=delivery.stream,
        seq=delivery.sequence,
        deliveries=delivery.deliveries,
        began_ns=ended_ns - int(execution.elapsed_ms * 1_000_000),
        ended_ns=ended_ns,
        ending=execution.ending,
        event=None if execution.received is None else execution.received.event,
        outcome=execution.outcome,
        calls=tuple(trace.calls),
        sent=tuple(trace.sent),
    )


def _poisoned(starts: int) -> Fail:
    return Fail(
        code=ErrorCode.GEN_POISON,
        message=f"{starts} starts killed the worker; not run again",
        letter=True,
    )


def _defect(message: str) -> Fail:
    return Fail(code=ErrorCode.GEN_INTERNAL, message=message, letter=True)
