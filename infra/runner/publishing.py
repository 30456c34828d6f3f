"""Publishing: carries out the effects of an outcome, until the broker has acknowledged every message."""

from __future__ import annotations

import asyncio
import hashlib
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec
from nats import errors as nats_errors
from understudy_client.protocol import TRACEPARENT

from contracts import envelope, retry
from contracts import events as ev
from contracts.errors import Unavailable, UnderstudyError
from contracts.outcome import Delegate, Emit, Outcome, Schedule, Wait
from infra.nats.batches import batched
from infra.runner import effects
from infra.runner.deadlines import Armed
from infra.runner.decode import read_trace
from infra.runner.effects import Situation
from infra.runner.report import letter_written, published
from infra.telemetry.events import DeadlineArmed, LetterLost, PublishDelayed
from infra.telemetry.trace_context import TRACELINK, start_linked_trace
from infra.telemetry.trace_events import SentMessage, WorkTrace

if TYPE_CHECKING:
    from understudy_client.calls import PubAck

    from contracts.envelope import Received
    from contracts.pipeline import Stage
    from contracts.subjects import Subject
    from infra.nats.log import LogEntry
    from infra.nats.pull import Delivery
    from infra.runner.deadlines import Deadlines
    from infra.runner.messages import Message
    from infra.runner.ports import RunnerPorts
    from infra.telemetry.trace_context import TraceContext

#: Tries of a dead letter: a full DEAD keeps nobody's answer back.
_LETTER_TRIES: Final = 3
#: Headers that tell messages apart.
_ID, _TIME, _SOURCE = "ce-id", "ce-time", "ce-source"
#: Status codes of the broker that say: never.
_BAD_REQUEST, _CONFLICT, _SERVER_ERROR = 400, 409, 500


class PublishRefused(UnderstudyError):  # noqa: N818 - names what the broker did
    """The broker will never take a message; trying again changes nothing."""


class Publisher:
    """Publishes what follows from the outcomes of one stage.

    Args:
        stage: the stage's row.
        ports: what the runners of this process share.
    """

    def __init__(self, *, stage: Stage, ports: RunnerPorts) -> None:
        self._stage = stage
        self._wire = ports.wire
        self._lookup = ports.lookup
        self._assets = ports.assets
        self._clock = ports.clock
        self._batches = ports.batches
        self._deadlines = ports.deadlines if stage.arms_deadlines else None
        self._max_attempts = ports.max_attempts
        self._telemetry = ports.telemetry

    async def carry_out(
        self,
        outcome: Outcome,
        delivery: Delivery,
        address: Subject | None,
        received: Received[Any] | None,
        *,
        elapsed_ms: float,
        context: TraceContext | None,
        trace: WorkTrace | None,
    ) -> None:
        """Publish what follows, in order; behind a refused condition nothing but letters goes out.

        Args:
            outcome: anything but ``Wait``, ``Delegate`` and ``Record``.
            delivery: the message that it is for.
            address: its subject; ``None``: it is not one of the pipeline's.
            received: its event; ``None``: it cannot be read.
            elapsed_ms: milliseconds that the stage worked on it.
            context: the message's trace; ``None``: not read yet.
            trace: takes what is published, one message after the other.

        Raises:
            PublishRefused: the broker will never take one of the messages.
            Unavailable: a look-up or an upload met no broker.
        """
        owner = None
        if address is not None and effects.needs_owner(self._stage, address, received, outcome):
            owner = await self._lookup.first_request(address.request_id)
        decided = effects.decide(
            outcome,
            Situation(
                stage=self._stage,
                delivery=delivery,
                address=address,
                received=received,
                owner=owner,
                now=self._clock.now(),
                traceparent=(context or read_trace(delivery)).traceparent,
                elapsed_ms=elapsed_ms,
                max_attempts=self._max_attempts,
                max_bytes=self._wire.client.max_payload,
            ),
        )
        for body in decided.uploads:
            await self._assets.put(body)
        messages = tuple(map(_with_own_span, decided.messages))
        stored = await self._publish_all(messages, trace)
        if self._deadlines is not None and isinstance(outcome, Schedule) and address is not None:
            _remember(outcome, address, self._deadlines, traceparent=messages[0].headers[TRACEPARENT])
            if stored:
                armed = DeadlineArmed(
                    stage=self._stage.name, kind=address.kind, request_id=address.request_id
                )
                self._telemetry.emit(armed)

    async def _publish_all(self, messages: tuple[Message, ...], trace: WorkTrace | None) -> bool:
        """Publish in order; whether everything was stored now, and nothing by an earlier delivery."""
        over = answered = False
        all_stored = True
        for message in messages:
            began_ns, stored = time.time_ns(), True
            if message.letter:
                await self._write_letter(message, answered=answered)
            elif over:
                continue
            else:
                ack, stored = await self._until_acked(message)
                over = message.once and ack.refused
                all_stored &= stored
            if trace is not None:
                trace.sent.append(_sent(message.subject, message.headers, began_ns, refused=not stored))
            if isinstance(message.event, ev.Result):
                answered = True
                self._note_result(message.event, message, stored=stored)
        return all_stored

    def _note_result(self, result: ev.Result, message: Message, *, stored: bool) -> None:
        if stored:
            self._telemetry.emit(published(self._stage.name, result, now_s=self._clock.now()))
        if self._deadlines is not None:
            self._deadlines.ended(message.subject.rpartition(".")[2], stored=True)

    async def delegate(
        self, outcome: Delegate, delivery: Delivery, *, context: TraceContext | None, trace: WorkTrace | None
    ) -> Outcome:
        """Publish to other requests; what the broker does not take now is decided anew later.

        Returns:
            what becomes of the message itself.

        Raises:
            Unavailable: the broker did not take everything.
        """
        traceparent = (context or read_trace(delivery)).traceparent
        for order in effects.orders(
            outcome, stage=self._stage, now=self._clock.now(), traceparent=traceparent
        ):
            message = _with_own_span(order)
            # Only a request has no event: a cancellation belongs to a request that has its trace.
            headers = start_linked_trace(message.headers) if message.event is None else message.headers
            began_ns = time.time_ns()
            try:
                ack = await self._wire.publish(message.subject, message.body, headers, repeat=True)
            except nats_errors.Error as error:
                raise Unavailable(f"{message.subject}: {type(error).__name__}: {error}") from error
            if ack.refused and await self._first_of(message, ack) is None:
                raise Unavailable(f"{message.subject}: refused for a message that is not stored")
            if ack.error is not None and not ack.refused:
                raise Unavailable(f"the broker refuses {message.subject}: {ack.error.description}")
            if trace is not None:
                trace.sent.append(_sent(message.subject, headers, began_ns, refused=ack.refused))
        if outcome.again_s is None:
            return Emit()
        return Wait(seconds=outcome.again_s, why="its scenes are being generated", expected=True)

    async def _write_letter(self, message: Message, *, answered: bool) -> None:
        """Store a dead letter, with few tries: what people may read later must not hold up requests."""
        try:
            await self._until_acked(message, tries_max=_LETTER_TRIES)
        except (Unavailable, PublishRefused) as error:
            self._telemetry.emit(
                LetterLost(stage=self._stage.name, subject=message.subject, problem=str(error))
            )
        else:
            self._telemetry.emit(letter_written(self._stage.name, message, answered=answered))

    async def _until_acked(self, message: Message, *, tries_max: int | None = None) -> tuple[PubAck, bool]:
        """Publish until the broker has it; nothing that was worked out is thrown away.

        Returns:
            the acknowledgement, and whether the stored message is this one: not an earlier delivery's, nor another.

        Raises:
            PublishRefused: the broker will never take it.
            Unavailable: ``tries_max`` tries were not enough.
        """
        tries, headers = 0, message.headers
        while True:
            tries += 1
            try:
                ack = await self._publish(message, headers)
                found = await self._find_stored(message, ack)
                if ack.duplicate and found is None:
                    # Somebody else used its id: the message is not stored, and goes without one.
                    headers = {name: said for name, said in headers.items() if name != envelope.MSG_ID}
                    continue
                nobody = ack.refused and found is None
            except Unavailable as error:
                problem = str(error)
            except nats_errors.Error as error:
                raise PublishRefused(f"{message.subject}: {type(error).__name__}: {error}") from error
            else:
                if ack.error is None or (ack.refused and not nobody):
                    return ack, found is None or _is_copy(found, message)
                problem = ack.error.description
                if not nobody and _is_final(ack.error.code):
                    raise PublishRefused(f"the broker refuses {message.subject}: {problem}")
            if tries == tries_max:
                raise Unavailable(f"{problem} (given up after {tries} tries)")
            self._telemetry.emit(
                PublishDelayed(stage=self._stage.name, subject=message.subject, problem=problem, tries=tries)
            )
            await asyncio.sleep(retry.backoff(tries, base_s=0.1, cap_s=2.0, key=message.subject))

    async def _publish(self, message: Message, headers: dict[str, str]) -> PubAck:
        if not batched(message.subject, headers):
            return await self._wire.publish(message.subject, message.body, headers, repeat=True)
        urgent = isinstance(message.event, ev.Result)
        return await self._batches.publish(message.subject, message.body, headers, urgent=urgent)

    async def _find_stored(self, message: Message, ack: PubAck) -> LogEntry | None:
        """What the broker has instead of this message, which may be a copy of it."""
        if ack.duplicate:
            found = await self._lookup.at(ack.stream, ack.seq)
            return found if found is not None and _has_its_id(found, message) else None
        return await self._first_of(message, ack) if ack.refused else None

    async def _first_of(self, message: Message, ack: PubAck) -> LogEntry | None:
        """The message that keeps this one out; ``None``: there is none.

        A cluster also refuses for one that it has not stored yet, this very one tried again included; after a
        change of its leader that one is never stored.
        """
        subject = message.headers.get(envelope.EXPECTED_LAST_SUBJECT, message.subject)
        return await self._lookup.first(ack.stream, subject)


def _is_final(code: int) -> bool:
    """Whether a refusal will not change when the same message is published again."""
    return _BAD_REQUEST <= code < _SERVER_ERROR and code != _CONFLICT


def _has_its_id(found: LogEntry, message: Message) -> bool:
    """Whether a stored message is this one, or the same one of an earlier delivery."""
    return found.subject == message.subject and found.headers.get(_ID) == message.headers.get(_ID)


def _is_copy(found: LogEntry, message: Message) -> bool:
    """Whether a stored message is this very one, sent again after a lost acknowledgement.

    Each delivery works for another time, and says so in its body or in its headers.
    """
    return (
        _has_its_id(found, message)
        and found.headers.get(_TIME) == message.headers.get(_TIME)
        and found.body == message.body
    )


def _with_own_span(message: Message) -> Message:
    """The message with a span of its own.

    It follows from the message's id: of several deliveries the broker keeps the first one's header, and a later one may
    be all that reports the span.
    """
    headers = message.headers
    parent = headers[TRACEPARENT]
    key = f"{parent} {message.subject} {headers.get(_ID)} {headers.get(_SOURCE)}"
    span = hashlib.sha256(key.encode(errors="replace")).hexdigest()[:16]
    return msgspec.structs.replace(
        message, headers={**headers, TRACEPARENT: f"{parent[:36]}{span}{parent[52:]}"}
    )


def _sent(subject: str, headers: dict[str, str], began_ns: int, *, refused: bool) -> SentMessage:
    return SentMessage(
        subject=subject,
        traceparent=headers.get(TRACELINK) or headers[TRACEPARENT],
        began_ns=began_ns,
        ended_ns=time.time_ns(),
        refused=refused,
    )


def _remember(outcome: Schedule, address: Subject, deadlines: Deadlines, *, traceparent: str) -> None:
    event = outcome.event
    if isinstance(event, ev.Deadline):
        deadlines.armed(
            Armed(
                request_id=address.request_id,
                kind=address.kind,
                request_seq=event.request_seq,
                deadline_ms=event.deadline_ms,
                due_ms=outcome.at_ms,
                traceparent=traceparent,
            )
        )
