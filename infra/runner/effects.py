"""What follows from an outcome, for everybody else?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

import msgspec

from contracts import envelope, pipeline, retry, subjects
from contracts import events as ev
from contracts.envelope import Requested
from contracts.errors import ErrorCode, NewerVersion, Unavailable, Unreadable
from contracts.outcome import Delegate, Emit, Fail, Outcome, Record, Reject, Retry, Schedule, Wait
from contracts.result import Meta, Status
from infra.runner import messages
from infra.runner.dead_letter import letter_of
from infra.runner.messages import Message, Sender
from infra.runner.trace import child_of

if TYPE_CHECKING:
    from infra.nats.clock import BrokerClock
    from infra.nats.lookup import Lookup
    from infra.nats.multiplexer import RequestMultiplexer
    from infra.nats.pull import Delivery
    from infra.stores.assets import Assets


class Effects:
    """Turns what a stage decided into the messages that have to be published.

    Args:
        stage: the stage's name.
        wire: tells how large a message may be.
        lookup: reads from the event log.
        assets: takes what is too large for a message.
        clock: the broker's time.
        max_attempts: tries of a retryable error before the request fails.
    """

    def __init__(
        self,
        *,
        stage: str,
        wire: RequestMultiplexer,
        lookup: Lookup,
        assets: Assets,
        clock: BrokerClock,
        max_attempts: int,
    ) -> None:
        self._stage = stage
        self._clock = clock
        self._wire = wire
        self._lookup = lookup
        self._assets = assets
        self._max_attempts = max_attempts

    async def messages(  # noqa: C901 - one case per outcome
        self, delivery: Delivery, outcome: Outcome, elapsed_ms: float
    ) -> list[Message]:
        """What goes out, in order.

        Args:
            delivery: the message that the outcome is for.
            outcome: what was decided about it; anything but a record and what is delegated.
            elapsed_ms: milliseconds that the stage worked on it.

        Raises:
            Unavailable: a look-up or a large content met no broker.
        """
        try:
            address = envelope.address(delivery.msg.subject)
        except Unreadable:
            return await self._letters(delivery, outcome, None, self._sender(delivery))
        sender = self._sender(delivery, await self._request_seq(delivery, address))
        out: list[Message] = []

        def add(event: ev.Event) -> None:
            event = messages.timed(event, self._stage, elapsed_ms)
            out.append(
                messages.of_event(event, kind=address.kind, request_id=address.request_id, sender=sender)
            )

        match outcome:
            case Emit(events=events):
                for event in events:
                    add(await self._fitting(event))
            case Schedule():
                out.append(
                    messages.of_schedule(
                        outcome, kind=address.kind, request_id=address.request_id, sender=sender
                    )
                )
            case Retry():
                out.append(self._retried(delivery, outcome, address, sender))
            case Fail() | Reject():
                for event in outcome.events if isinstance(outcome, Fail) else ():
                    add(event)
                # First what the request waits for: a full DEAD must not keep its answer back.
                ending = await self._ending(delivery, outcome, address)
                if ending is not None:
                    add(ending)
                out += await self._letters(delivery, outcome, address, sender)
            case Record() | Wait() | Delegate():
                raise TypeError(f"{type(outcome).__name__} is no message of the request at hand")
            case _ as never:
                assert_never(never)
        limit = self._wire.client.max_payload
        for message in out:
            if len(message.body) + 4096 > limit:
                what = (
                    f"{message.subject} has {len(message.body)} bytes, more than the broker takes ({limit})"
                )
                return await self._too_large(delivery, address, sender, what)
        return out

    async def _too_large(
        self, delivery: Delivery, address: subjects.Subject, sender: Sender, message: str
    ) -> list[Message]:
        """What the request is told instead of an event that no broker takes."""
        code = ErrorCode.GEN_INTERNAL
        if self._stage == "fallback":
            owner = await self._lookup.first_request(address.request_id)
            bare = messages.bare_result(
                kind=address.kind,
                request_id=address.request_id,
                status=Status.FAILED,
                code=code,
                stage=self._stage,
                message=message,
                meta=Meta(requested_at_ms=delivery.time_ms if owner is None else owner.time_ms),
            )
            return [messages.of_event(bare, kind=address.kind, request_id=address.request_id, sender=sender)]
        event = self._event(delivery, address)
        # Without the trail and the brief: they may be what is too large.
        attempt = getattr(event, "attempt", 1)
        told = ev.Failed(attempt=attempt, code=code, stage=self._stage, message=message)
        return [messages.of_event(told, kind=address.kind, request_id=address.request_id, sender=sender)]

    async def _request_seq(self, delivery: Delivery, address: subjects.Subject) -> int:
        """Sequence of the request that a message belongs to; 0: the log does not know it."""
        if address.event == "requested":
            return delivery.sequence
        event = self._event(delivery, address)
        match event:
            case ev.Deadline():
                return event.request_seq
            case ev.Event(brief=ev.Brief(request_seq=sequence)):
                return sequence
            case _:
                owner = await self._lookup.first_request(address.request_id)
                return 0 if owner is None else owner.sequence

    @staticmethod
    def _event(delivery: Delivery, address: subjects.Subject) -> ev.Event | None:
        """The event of a message; ``None``: it cannot be read, or it is a request or a timer."""
        event = delivery.event
        if event is None:
            try:
                event = envelope.decode(address.event, delivery.msg.data, delivery.msg.headers or {})
            except (Unreadable, NewerVersion):
                return None
        return event if isinstance(event, ev.Event) else None

    def orders(self, delivery: Delivery, outcome: Delegate) -> list[Message]:
        """The messages to other requests, in order."""
        sender = self._sender(delivery)
        return [messages.of_order(order, sender=sender) for order in outcome.orders]

    def _sender(self, delivery: Delivery, request_seq: int = 0) -> Sender:
        return Sender(
            stage=self._stage,
            now=self._clock.now(),
            traceparent=child_of((delivery.msg.headers or {}).get("traceparent")),
            request_seq=request_seq,
        )

    async def _fitting(self, event: ev.Event) -> ev.Event:
        """A result whose content is too large for a message refers to the object store instead."""
        if not isinstance(event, ev.Result | ev.Revised) or event.content is None:
            return event
        body = msgspec.json.encode(event.content)
        if len(body) <= messages.INLINE_MAX:
            return event
        return msgspec.structs.replace(event, content=None, content_ref=await self._assets.put(body))

    def _retried(
        self, delivery: Delivery, outcome: Retry, address: subjects.Subject, sender: Sender
    ) -> Message:
        """The same event again as its next attempt, after a back-off kept by the broker."""
        event: Any = envelope.decode(address.event, delivery.msg.data, {})
        if isinstance(event, Requested):
            # Its wait is the delivery's own: there is no attempt to count yet.
            raise Unavailable(outcome.message)
        trail = outcome.trail if outcome.trail is not None else event.trail
        if event.attempt >= self._max_attempts:
            given_up = ev.Failed(
                attempt=event.attempt,
                code=outcome.code,
                stage=self._stage,
                message=f"{outcome.message} (given up after {event.attempt} attempts)",
                brief=event.brief,
                trail=trail,
            )
            return messages.of_event(
                given_up, kind=address.kind, request_id=address.request_id, sender=sender
            )
        again = msgspec.structs.replace(event, attempt=event.attempt + 1, trail=trail)
        wait = max(retry.backoff(event.attempt, key=address.request_id), outcome.after_s)
        schedule = Schedule(
            event=again, at_ms=int((sender.now + wait) * 1000), slot=f"{self._stage}-{again.attempt}"
        )
        return messages.of_schedule(schedule, kind=address.kind, request_id=address.request_id, sender=sender)

    async def _letters(
        self, delivery: Delivery, outcome: Outcome, address: subjects.Subject | None, sender: Sender
    ) -> list[Message]:
        if not isinstance(outcome, Fail | Reject) or delivery.stream == pipeline.DEAD:
            return []
        if isinstance(outcome, Fail) and not outcome.letter:
            return []
        if isinstance(outcome, Reject):
            event = delivery.msg.subject.split(".")[1] if delivery.msg.subject.startswith("gen.") else ""
            if pipeline.letter_writer(event) != self._stage:
                return []
        letter = await letter_of(delivery, outcome, stage=self._stage, assets=self._assets)
        known = address is not None and address.acceptable
        kind, request_id = (
            (address.kind, address.request_id) if known and address else (subjects.UNKNOWN_KIND, "")
        )
        return [messages.of_letter(letter, kind=kind, request_id=request_id, sender=sender)]

    async def _ending(  # noqa: PLR0911 - one way out per case
        self, delivery: Delivery, outcome: Fail | Reject, address: subjects.Subject
    ) -> ev.Event | None:
        """What the rest of the pipeline is told about a message that this stage could not use."""
        if not address.acceptable and address.event != "requested":
            # No request has this id.
            return None
        poisoned = outcome.code is ErrorCode.GEN_POISON or (isinstance(outcome, Fail) and outcome.letter)
        owner = None
        if address.event == "requested" or (self._stage == "fallback" and poisoned):
            owner = await self._lookup.first_request(address.request_id)
        if isinstance(outcome, Reject) and address.event == "requested":
            mine = owner is None or owner.sequence == delivery.sequence
            if self._stage != pipeline.letter_writer("requested") or not mine:
                return None
            return self._bare(Status.REJECTED, outcome, address, delivery.time_ms)
        if self._stage == "fallback":
            # The last stage has nobody to hand over to; a letter about junk must not end a request.
            if not poisoned or owner is None:
                return None
            return self._bare(Status.FAILED, outcome, address, owner.time_ms)
        if self._stage in pipeline.UNFAILING or pipeline.letter_writer(address.event) not in {
            self._stage,
            None,
        }:
            return None
        more: dict[str, Any] = {}
        if isinstance(outcome, Fail):
            more["evidence"] = outcome.evidence
            if outcome.trail is not None:
                more["trail"] = outcome.trail
        code = outcome.code if isinstance(outcome, Fail) else ErrorCode.GEN_INTERNAL
        event = self._event(delivery, address)
        return messages.failed(event, stage=self._stage, code=code, message=outcome.message, **more)

    def _bare(
        self, status: Status, outcome: Fail | Reject, address: subjects.Subject, requested_at_ms: int
    ) -> ev.Result:
        return messages.bare_result(
            kind=address.kind,
            request_id=address.request_id,
            status=status,
            code=outcome.code,
            stage=self._stage,
            message=outcome.message,
            meta=Meta(requested_at_ms=requested_at_ms),
        )
