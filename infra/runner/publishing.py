"""Publishing: carries out the effects of an outcome, until the broker has acknowledged every message."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec
from nats import errors as nats_errors
from understudy_client.protocol import TRACEPARENT, child_of

from contracts import envelope, retry
from contracts import events as ev
from contracts.errors import Unavailable, UnderstudyError
from contracts.outcome import Delegate, Emit, Outcome, Schedule, Wait
from infra.nats.batches import batched
from infra.runner import effects
from infra.runner.deadlines import Armed
from infra.runner.effects import Situation
from infra.runner.report import letter_written, published
from infra.telemetry.events import LetterLost, PublishDelayed
from infra.telemetry.trace_context import TRACELINK, read_context, start_linked_trace
from infra.telemetry.trace_events import MessageTraced, SentMessage

if TYPE_CHECKING:
    from understudy_client.calls import PubAck

    from contracts.envelope import Received
    from contracts.pipeline import Stage
    from contracts.subjects import Subject
    from infra.nats.pull import Delivery
    from infra.runner.deadlines import Deadlines
    from infra.runner.messages import Message
    from infra.runner.ports import RunnerPorts

#: Tries of a dead letter: a full DEAD keeps nobody's answer back.
_LETTER_TRIES: Final = 3
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
    ) -> tuple[SentMessage, ...]:
        """Publish what follows, in order; behind a refused condition nothing but letters goes out.

        Args:
            outcome: anything but ``Wait``, ``Delegate`` and ``Record``.
            delivery: the message that it is for.
            address: its subject; ``None``: it is not one of the pipeline's.
            received: its event; ``None``: it cannot be read.
            elapsed_ms: milliseconds that the stage worked on it.

        Returns:
            what was published, if anybody records traces.

        Raises:
            PublishRefused: the broker will never take one of the messages.
            Unavailable: a look-up or an upload met no broker.
        """
        owner = None
        if address is not None and effects.needs_owner(self._stage, address, received, outcome):
            owner = await self._lookup.first_request(address.request_id)
        traceparent = _next_traceparent(delivery)
        decided = effects.decide(
            outcome,
            Situation(
                stage=self._stage,
                delivery=delivery,
                address=address,
                received=received,
                owner=owner,
                now=self._clock.now(),
                traceparent=traceparent,
                elapsed_ms=elapsed_ms,
                max_attempts=self._max_attempts,
                max_bytes=self._wire.client.max_payload,
            ),
        )
        for body in decided.uploads:
            await self._assets.put(body)
        sent = await self._publish_all(decided.messages)
        if self._deadlines is not None and isinstance(outcome, Schedule) and address is not None:
            _remember(outcome, address, self._deadlines, traceparent=traceparent)
        return sent

    @property
    def _traced(self) -> bool:
        return self._telemetry.takes(MessageTraced, logging.NOTSET)

    async def _publish_all(self, messages: tuple[Message, ...]) -> tuple[SentMessage, ...]:
        over = answered = False
        traced, sent = self._traced, list[SentMessage]()
        for each in messages:
            message = _with_own_span(each) if sent else each
            began_ns = time.time_ns()
            if message.letter:
                await self._write_letter(message, answered=answered)
                if traced:
                    sent.append(_sent(message.subject, message.headers, began_ns, refused=False))
            elif not over:
                ack = await self._until_acked(message)
                over = message.once and ack.refused
                if traced:
                    sent.append(_sent(message.subject, message.headers, began_ns, refused=ack.refused))
                if isinstance(message.event, ev.Result):
                    answered = True
                    self._note_result(message.event, message, won=not over)
        return tuple(sent)

    def _note_result(self, result: ev.Result, message: Message, *, won: bool) -> None:
        if won:
            self._telemetry.emit(published(self._stage.name, result, now_s=self._clock.now()))
        if self._deadlines is not None:
            self._deadlines.ended(message.subject.rpartition(".")[2], stored=True)

    async def delegate(
        self, outcome: Delegate, delivery: Delivery
    ) -> tuple[Outcome, tuple[SentMessage, ...]]:
        """Publish to other requests; what the broker does not take now is decided anew later.

        Returns:
            what becomes of the message itself, and what was published, if anybody records traces.

        Raises:
            Unavailable: the broker did not take everything.
        """
        traceparent = _next_traceparent(delivery)
        traced, sent = self._traced, list[SentMessage]()
        for message in effects.orders(
            outcome, stage=self._stage, now=self._clock.now(), traceparent=traceparent
        ):
            # Only a request has no event: a cancellation belongs to a request that has its trace.
            headers = (
                start_linked_trace(message.headers, traceparent) if message.event is None else message.headers
            )
            began_ns = time.time_ns()
            try:
                ack = await self._wire.publish(message.subject, message.body, headers, repeat=True)
            except nats_errors.Error as error:
                raise Unavailable(f"{message.subject}: {type(error).__name__}: {error}") from error
            if ack.refused and not await self._lost_to_another(message, ack):
                raise Unavailable(f"{message.subject}: refused for a message that is not stored")
            if ack.error is not None and not ack.refused:
                raise Unavailable(f"the broker refuses {message.subject}: {ack.error.description}")
            if traced:
                sent.append(_sent(message.subject, headers, began_ns, refused=ack.refused))
        if outcome.again_s is None:
            return Emit(), tuple(sent)
        wait = Wait(seconds=outcome.again_s, why="its scenes are being generated", expected=True)
        return wait, tuple(sent)

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


def _is_final(code: int) -> bool:
    """Whether a refusal will not change when the same message is published again."""
    return _BAD_REQUEST <= code < _SERVER_ERROR and code != _CONFLICT


def _next_traceparent(delivery: Delivery) -> str:
    """The context of what follows from a message."""
    context = read_context(
        delivery.msg.headers,
        subject=delivery.msg.subject,
        sequence=delivery.sequence,
        time_ms=delivery.time_ms,
    )
    return child_of(context.traceparent)


def _with_own_span(message: Message) -> Message:
    """The message with a span of its own: those of one outcome share the first one's."""
    headers = {**message.headers, TRACEPARENT: child_of(message.headers[TRACEPARENT])}
    return msgspec.structs.replace(message, headers=headers)


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
