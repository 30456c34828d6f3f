"""How does one message pass through a stage?

decode → guard → run → publish → settle → report.  Whatever happens in between, the message ends in
one of four ways: acknowledged after everything that follows from it is safely published, handed
back at once, put off, or left to the broker because this process died.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, Protocol, assert_never

import msgspec
from nats import errors as nats_errors

from contracts import deadline, envelope, pipeline, retry, subjects
from contracts import events as ev
from contracts.envelope import Received, Requested
from contracts.errors import ErrorCode, NewerVersion, Unavailable, UnderstudyError, Unreadable, Unstorable
from contracts.outcome import Delegate, Emit, Fail, Outcome, Record, Reject, Schedule, Wait
from infra.nats.batches import batched
from infra.nats.crash_counter import ALONE, POISON
from infra.runner.deadlines import Armed, DeadlineState, OverdueDeadline
from infra.runner.effects import Effects
from infra.runner.pace import Pace

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from infra.nats.batches import Batches
    from infra.nats.clock import BrokerClock
    from infra.nats.crash_counter import CrashCounter
    from infra.nats.lookup import Lookup
    from infra.nats.multiplexer import PubAck, RequestMultiplexer
    from infra.nats.pull import Delivery
    from infra.runner.cancellation import Cancellation
    from infra.runner.deadlines import Deadlines
    from infra.runner.isolation import Isolation
    from infra.runner.messages import Message
    from infra.stores.assets import Assets

Handle = Callable[[Received[Any]], Outcome | Awaitable[Outcome]]

#: Longest wait of a message that waits for a broken surrounding, seconds.
_WAIT_CAP_S = 10.0
#: Age below which an event's condition at its publish still counts, milliseconds.
_FRESH_MS = 250
#: Time to its deadline with which no model call is begun, milliseconds.
_NEAR_MS: Final = 50
#: Wait of a deadline that the broker fired while it is answered from memory, seconds.
_BUSY_S: Final = 1.0
#: Events that an id has although it is not acceptable: its request, and what leads to its answer.
_ANSWERING: Final = frozenset({"requested", "timer", "deadline", "result"})
#: Wait of a message in a version from the future, seconds.
_PARKED_S = 5.0


#: Tries of a dead letter: a full DEAD keeps nobody's answer back.
_LETTER_TRIES: Final = 3
#: Status codes of the broker that say: never.
_BAD_REQUEST, _CONFLICT, _SERVER_ERROR = 400, 409, 500


class PublishRefused(UnderstudyError):  # noqa: N818 - names what the broker did
    """The broker will never take a message; trying again changes nothing."""


class Sink(Protocol):
    """Where the rows of :class:`Record` go."""

    async def add(self, row: Any) -> None:
        """Return when the row is committed.

        Raises:
            Unavailable: the row is not written; try again.
        """
        ...


class Runner:
    """Takes the messages of one stage through the steps.

    Args:
        stage: the stage's name.
        handle: its handler, ports bound.
        wire: calls to the broker.
        lookup: reads from the event log.
        strikes: counts the starts of redelivered messages.
        gate: shared by everything that runs in this process.
        watch: tells when a running request got its result elsewhere.
        assets: takes what is too large for a message.
        clock: the broker's time.
        batches: publishes of this process.
        deadlines: what the fallback has armed; for the fallback alone.
        sink: where rows go; for stages that record.
        max_attempts: tries of a retryable error before the request fails.
        log: structured logger.
    """

    def __init__(  # noqa: PLR0913 - the composition root names each part once
        self,
        *,
        stage: str,
        handle: Handle,
        wire: RequestMultiplexer,
        lookup: Lookup,
        strikes: CrashCounter,
        gate: Isolation,
        watch: Cancellation,
        assets: Assets,
        clock: BrokerClock,
        batches: Batches,
        deadlines: Deadlines | None,
        sink: Sink | None,
        max_attempts: int,
        log: FilteringBoundLogger,
    ) -> None:
        self.stage = stage
        self._handle = handle
        self._wire = wire
        self._lookup = lookup
        self._strikes = strikes
        self._gate = gate
        self._watch = watch
        self._sink = sink
        self._clock = clock
        self._batches = batches
        self._deadlines = deadlines
        self._pace = Pace()
        self._consequences = Effects(
            stage=stage, wire=wire, lookup=lookup, assets=assets, clock=clock, max_attempts=max_attempts
        )
        self._log = log
        #: Creation time of each bound stream, ms since the epoch.
        self.created_ms: dict[str, int] = {}

    async def __call__(self, delivery: Delivery) -> None:
        """Take one message through the steps; raises nothing but its cancellation."""
        began = time.perf_counter()
        suspect = delivery.deliveries > 1
        code: ErrorCode | None = None
        notice = ""
        try:
            ending, outcome, problem = await self._take(delivery, began, suspect=suspect)
            code = getattr(outcome, "code", None)
            notice = _notice(outcome)
        except asyncio.CancelledError:
            await self._put_off(delivery, 0, suspect=suspect)
            self._report(delivery, began, "handed back", None, "")
            raise
        except (Unavailable, nats_errors.Error, OSError) as error:
            ending, problem = "waits", str(error) or type(error).__name__
            await self._wait_outside(delivery)
        except Exception as error:  # noqa: BLE001 - a defect of ours: the request must not wait for it
            problem = f"defect in the runner of {self.stage}: {type(error).__name__}: {error}"
            self._log.exception("defect in the runner", stage=self.stage, subject=delivery.msg.subject)
            code = ErrorCode.GEN_INTERNAL
            ending = await self._give_up(delivery, problem)
        self._report(delivery, began, ending, code, problem, notice)

    async def _give_up(self, delivery: Delivery, problem: str) -> str:
        """End a message that our own defect keeps from its end; how it ended."""
        outcome = Fail(code=ErrorCode.GEN_INTERNAL, message=problem, letter=True)
        try:
            await self._carry_out(delivery, outcome, 0)
            await delivery.ack()
        except Exception as error:  # noqa: BLE001 - nothing is left but to try later
            self._log.warning("not ended", stage=self.stage, seq=delivery.sequence, problem=repr(error))
            await self._wait_outside(delivery)
            return "waits"
        return "fail"

    async def _take(self, delivery: Delivery, began: float, *, suspect: bool) -> tuple[str, Outcome, str]:
        """Decide, carry out, settle; how it ended, what was decided, and what is wrong."""
        try:
            outcome = await self._decide(delivery, suspect=suspect)
        except Unreadable as error:
            outcome = Reject(code=error.code, message=str(error))
        if isinstance(outcome, Delegate):
            outcome = await self._delegate(delivery, outcome)
        if isinstance(outcome, Wait):
            await self._put_off(delivery, outcome.seconds, suspect=suspect)
            return "put off", outcome, "" if outcome.expected else outcome.why
        elapsed_ms = (time.perf_counter() - began) * 1000
        try:
            await self._carry_out(delivery, outcome, elapsed_ms)
        except PublishRefused as error:
            # Nothing of it can be stored, now or later: the request is told that, which is small.
            outcome = Fail(code=ErrorCode.GEN_INTERNAL, message=str(error), letter=True)
            await self._carry_out(delivery, outcome, elapsed_ms)
        await delivery.ack()
        if suspect:
            await self._strikes.clear(delivery.stream, delivery.sequence)
        return type(outcome).__name__.lower(), outcome, getattr(outcome, "message", "")

    # -- decode, guard, run --------------------------------------------------------------------

    async def _decide(self, delivery: Delivery, *, suspect: bool) -> Outcome:
        try:
            received = self._decode(delivery)
        except NewerVersion as error:
            if not self._arms(delivery):
                return await self._park(delivery, str(error))
            # Neither needs a field of it: whatever version it is, its answer comes in time, and is no surprise.
            address = envelope.address(delivery.msg.subject)
            body = Requested(body=delivery.msg.data)
            what = (body, address.kind, address.request_id)
            received = self._received(delivery, what, address.event, delivery.msg.headers or {})
        if self.stage != "audit":
            done = await self._guard(received, delivery)
            if done is not None:
                return done
        if suspect:
            starts = await self._strikes.count(delivery.stream, delivery.sequence)
            if starts >= POISON:
                return _poisoned(starts)
            if starts + 1 >= ALONE:
                # Counted inside: one that only waits for its turn must not be blamed for the one that runs.
                async with self._gate.alone():
                    await self._strikes.add(delivery.stream, delivery.sequence, starts + 1)
                    return await self._run(received)
            await self._strikes.add(delivery.stream, delivery.sequence, starts + 1)
        await self._gate.enter()
        try:
            return await self._run(received)
        finally:
            self._gate.leave()

    def _decode(self, delivery: Delivery) -> Received[Any]:
        msg = delivery.msg
        headers = msg.headers or {}
        if delivery.stream == pipeline.DEAD:
            return self._received(delivery, _letter(msg.subject, msg.data), "dead", headers)
        address = envelope.address(msg.subject)
        if not address.acceptable and address.event not in _ANSWERING:
            raise Unreadable(
                f"request id {address.request_id!r} in the subject must match {subjects.REQUEST_ID.pattern}"
            )
        event = envelope.decode(address.event, msg.data, headers)
        delivery.event = event
        return self._received(delivery, (event, address.kind, address.request_id), address.event, headers)

    def _received(
        self, delivery: Delivery, what: tuple[Any, str, str], name: str, headers: dict[str, str]
    ) -> Received[Any]:
        event, kind, request_id = what
        return Received(
            event=event,
            name=name,
            kind=kind,
            request_id=request_id,
            stream=delivery.stream,
            sequence=delivery.sequence,
            time_ms=delivery.time_ms,
            stream_created_ms=self.created_ms.get(delivery.stream, 0),
            headers=headers,
        )

    def _arms(self, delivery: Delivery) -> bool:
        """Is this a request, and the stage one that arms its deadline or writes down that it was there?"""
        return self.stage in pipeline.UNFAILING and delivery.msg.subject.startswith("gen.requested.")

    async def _park(self, delivery: Delivery, why: str) -> Outcome:
        """A version from the future waits for a newer worker, as long as anybody waits for it."""
        address = envelope.address(delivery.msg.subject)
        if self.stage != "audit" and await self._lookup.has_result(address.request_id):
            return Emit()
        return Wait(seconds=_PARKED_S, why=why)

    async def _guard(self, received: Received[Any], delivery: Delivery) -> Outcome | None:
        """An outcome if there is nothing to run."""
        if received.name == "requested":
            # Fallback arms a deadline for each of them: it heeds the owner's alone.
            intake = self.stage == pipeline.letter_writer("requested")
            return await self._admit(received, delivery) if intake else None
        expensive = self.stage in pipeline.EXPENSIVE
        doomed = self._doomed(received) if expensive else None
        if doomed is not None:
            return doomed
        looks_first = expensive and not self._fresh(received, delivery)
        if self._deadlines is not None and received.name == "deadline":
            return await self._claim(received, self._deadlines, mine=isinstance(delivery, OverdueDeadline))
        if looks_first and await self._lookup.has_result(received.request_id):
            return Emit()
        return None

    async def _admit(self, received: Received[Any], delivery: Delivery) -> Outcome | None:
        """An outcome for a request that is not begun."""
        allowed_ms = deadline.named_ms(delivery.msg.data)
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
        if owner.kind == received.kind and _equal(owner.body, delivery.msg.data):
            return Emit()
        return Reject(
            code=ErrorCode.GEN_INVALID_REQUEST,
            message=f"id already used by gen.requested.{owner.kind}.{owner.request_id} "
            f"(sequence {owner.sequence}); choose another id",
        )

    def _note_pace(self, kind: str, outcome: Outcome, began: float) -> None:
        if isinstance(outcome, Emit) and outcome.events:
            now_s = time.perf_counter()
            self._pace.took(kind, (now_s - began) * 1000, now_s=now_s)

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
            message=f"not begun: {left_ms} ms are left until the deadline, {self.stage} takes {usual_ms:.0f} ms now",
        )

    async def _claim(self, received: Received[Any], deadlines: Deadlines, *, mine: bool) -> Outcome | None:
        """An outcome for a deadline whose request is answered, or is being answered."""
        match (
            DeadlineState.OPEN if mine else deadlines.claim(received.request_id, received.event.request_seq)
        ):
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

    def _fresh(self, received: Received[Any], delivery: Delivery) -> bool:
        """Stored a moment ago under the condition that there is no result: no need to ask again.

        Later attempts come from a timer, which the broker publishes without condition.
        """
        first = delivery.deliveries == 1 and received.event.attempt == 1
        return first and self._clock.now_ms() - received.time_ms < _FRESH_MS

    async def _run(self, received: Received[Any]) -> Outcome:
        try:
            decided = self._handle(received)
            if isinstance(decided, Outcome):
                return decided
            if self.stage not in pipeline.EXPENSIVE:
                return await decided
            began = time.perf_counter()
            outcome = await self._watch.run(received, decided)
            self._note_pace(received.kind, outcome, began)
            return outcome  # noqa: TRY300 - one line for each way
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - told, and answered with a letter and a failure
            self._log.exception(
                "defect in a stage", stage=self.stage, request_id=received.request_id, name=received.name
            )
            message = f"defect in {self.stage}: {type(error).__name__}: {error}"
            return Fail(code=ErrorCode.GEN_INTERNAL, message=message, letter=True)

    # -- publish -------------------------------------------------------------------------------

    async def _carry_out(self, delivery: Delivery, outcome: Outcome, elapsed_ms: float) -> None:
        if isinstance(outcome, Record):
            if self._sink is None:
                raise TypeError(f"stage {self.stage} has no sink for its rows")
            try:
                await self._sink.add(outcome.row)
            except Unstorable as error:
                outcome = Fail(code=ErrorCode.GEN_INTERNAL, message=str(error), letter=True)
            else:
                return
        if isinstance(outcome, Emit) and not outcome.events:
            return
        await self._publish_all(delivery, outcome, elapsed_ms)
        if self._deadlines is not None and isinstance(outcome, Schedule):
            self._remember(delivery, outcome, self._deadlines)

    async def _publish_all(self, delivery: Delivery, outcome: Outcome, elapsed_ms: float) -> None:
        """Publish what follows, in order; behind a refused condition nothing but letters goes out."""
        over = False
        for message in await self._consequences.messages(delivery, outcome, elapsed_ms):
            if message.letter:
                await self._write_letter(message)
            elif not over:
                ack = await self._until_acked(message)
                over = message.once and ack.refused
                if self._deadlines is not None and message.subject.startswith("gen.result."):
                    self._deadlines.ended(message.subject.rpartition(".")[2], stored=True)

    @staticmethod
    def _remember(delivery: Delivery, outcome: Schedule, deadlines: Deadlines) -> None:
        event = outcome.event
        if isinstance(event, ev.Deadline):
            address = envelope.address(delivery.msg.subject)
            deadlines.armed(
                Armed(
                    request_id=address.request_id,
                    kind=address.kind,
                    request_seq=event.request_seq,
                    deadline_ms=event.deadline_ms,
                    due_ms=outcome.at_ms,
                )
            )

    async def _delegate(self, delivery: Delivery, outcome: Delegate) -> Outcome:
        """Publish to other requests; what the broker does not take now is decided anew later."""
        for message in self._consequences.orders(delivery, outcome):
            try:
                ack = await self._wire.publish(message.subject, message.body, message.headers, repeat=True)
            except nats_errors.Error as error:
                raise Unavailable(f"{message.subject}: {type(error).__name__}: {error}") from error
            if ack.refused and not await self._lost_to_another(message, ack):
                raise Unavailable(f"{message.subject}: refused for a message that is not stored")
            if ack.error is not None and not ack.refused:
                raise Unavailable(f"the broker refuses {message.subject}: {ack.error.description}")
        if outcome.again_s is None:
            return Emit()
        return Wait(seconds=outcome.again_s, why="its scenes are being generated", expected=True)

    async def _write_letter(self, message: Message) -> None:
        """Store a dead letter, with few tries: what people may read later must not hold up requests."""
        try:
            await self._until_acked(message, tries_max=_LETTER_TRIES)
        except (Unavailable, PublishRefused) as error:
            self._log.error(
                "dead letter not stored", stage=self.stage, subject=message.subject, problem=str(error)
            )

    async def _until_acked(self, message: Message, *, tries_max: int | None = None) -> PubAck:
        """Publish until the broker has it; nothing that was worked out is thrown away.

        Raises:
            PublishRefused: the broker will never take it.
            Unavailable: ``tries_max`` tries were not enough.
        """
        tries, headers = 0, message.headers
        while True:
            tries += 1
            try:
                ack = await self._publish(message, headers)
                if ack.duplicate and not await self._is_there(message, ack):
                    # Somebody else used its id: the message is not stored, and goes without one.
                    headers = {name: said for name, said in headers.items() if name != envelope.MSG_ID}
                    continue
                nobody = ack.refused and not await self._lost_to_another(message, ack)
            except Unavailable as error:
                problem = str(error)
            except nats_errors.Error as error:
                raise PublishRefused(f"{message.subject}: {type(error).__name__}: {error}") from error
            else:
                if ack.error is None or (ack.refused and not nobody):
                    return ack
                problem = ack.error.description
                if (
                    not nobody
                    and _BAD_REQUEST <= ack.error.code < _SERVER_ERROR
                    and ack.error.code != _CONFLICT
                ):
                    raise PublishRefused(f"the broker refuses {message.subject}: {problem}")
            if tries == tries_max:
                raise Unavailable(f"{problem} (given up after {tries} tries)")
            self._log.warning(
                "publish put off", stage=self.stage, subject=message.subject, problem=problem, tries=tries
            )
            await asyncio.sleep(retry.backoff(tries, base_s=0.1, cap_s=2.0, key=message.subject))

    async def _publish(self, message: Message, headers: dict[str, str]) -> PubAck:
        if not batched(message.subject, headers):
            return await self._wire.publish(message.subject, message.body, headers, repeat=True)
        urgent = message.subject.startswith("gen.result.")
        return await self._batches.publish(message.subject, message.body, headers, urgent=urgent)

    async def _is_there(self, message: Message, ack: PubAck) -> bool:
        """Whether what the broker took for a duplicate is this very message."""
        found = await self._lookup.at(ack.stream, ack.seq)
        if found is None:
            return False
        return found.subject == message.subject and found.headers.get("ce-id") == message.headers.get("ce-id")

    async def _lost_to_another(self, message: Message, ack: PubAck) -> bool:
        """Whether there is a message that keeps this one out.

        A cluster also refuses for one that it has not stored yet, this very one tried again included; after a
        change of its leader that one is never stored.
        """
        subject = message.headers.get(envelope.EXPECTED_LAST_SUBJECT, message.subject)
        return await self._lookup.first(ack.stream, subject) is not None

    # -- settle, report ------------------------------------------------------------------------

    async def _put_off(self, delivery: Delivery, seconds: float, *, suspect: bool) -> None:
        try:
            if suspect:
                await self._strikes.clear(delivery.stream, delivery.sequence)
            await delivery.nak(seconds)
        except (Unavailable, nats_errors.Error) as error:
            # The broker gives it out again by itself when its lease runs out.
            self._log.warning("not handed back", stage=self.stage, seq=delivery.sequence, problem=str(error))

    async def _wait_outside(self, delivery: Delivery) -> None:
        wait = retry.backoff(delivery.deliveries, cap_s=_WAIT_CAP_S, key=str(delivery.sequence))
        await self._put_off(delivery, wait, suspect=delivery.deliveries > 1)

    def _report(
        self,
        delivery: Delivery,
        began: float,
        ending: str,
        code: ErrorCode | None,
        problem: str,
        notice: str = "",
    ) -> None:
        quiet = not notice and ((code is None and not problem) or code is ErrorCode.GEN_PROVIDER_DISABLED)
        level = logging.DEBUG if quiet else logging.WARNING
        if not self._log.is_enabled_for(level):
            return
        subject = delivery.msg.subject.split(".")
        self._log.log(
            level,
            "message",
            stage=self.stage,
            name=".".join(subject[1:2]),
            kind=".".join(subject[2:3]),
            request_id=".".join(subject[3:]),
            stream=delivery.stream,
            seq=delivery.sequence,
            deliveries=delivery.deliveries,
            ending=ending,
            code=code,
            problem=problem or None,
            notice=notice or None,
            ms=round((time.perf_counter() - began) * 1000, 2),
        )


def _notice(outcome: Outcome) -> str:
    """What people should hear of although it went well: a rating that was lowered."""
    for event in outcome.events if isinstance(outcome, Emit | Fail) else ():
        if isinstance(event, ev.Clamped):
            return f"rating lowered from {event.requested} to {event.effective} by {event.by}"
    return ""


def _poisoned(starts: int) -> Fail:
    return Fail(
        code=ErrorCode.GEN_POISON,
        message=f"{starts} starts killed the worker; not run again",
        letter=True,
    )


def _equal(one: bytes, other: bytes) -> bool:
    if one == other:
        return True
    try:
        return msgspec.json.decode(one) == msgspec.json.decode(other)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return False


def _letter(subject: str, body: bytes) -> tuple[ev.DeadLetter, str, str]:
    tokens = subject.split(".")
    try:
        letter = msgspec.json.decode(body, type=ev.DeadLetter)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise Unreadable(f"dead letter cannot be read: {error}") from None
    if len(tokens) != 4:  # noqa: PLR2004 - dead.<stage>.<kind>.<request_id>
        raise Unreadable(f"subject {subject!r} is not dead.<stage>.<kind>.<request_id>")
    return letter, tokens[2], tokens[3]
