"""A broker in memory, as the runner uses it: it stores, refuses by condition, drops duplicates, and answers look-ups."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
from understudy_client.calls import WRONG_LAST_SEQUENCE, AckError, PubAck

from contracts import envelope, pipeline, subjects
from contracts import events as ev
from contracts.envelope import Received
from contracts.outcome import Outcome
from contracts.ports import StoredRequest
from contracts.result import ContentRef
from infra.nats.log import LogEntry
from infra.runner.cancellation import Cancellation
from infra.runner.deadlines import Deadlines
from infra.runner.execution import Runner, Sink
from infra.runner.isolation import Isolation
from infra.runner.ports import RunnerPorts
from infra.stores.assets import reference
from infra.telemetry.dispatch import Telemetry, TelemetryEvent

SAMPLES = Path(__file__).parent / "event_samples"
NOW_MS = 1_700_000_000_000
REFUSED = PubAck(stream="EVENTS", error=AckError(code=400, err_code=min(WRONG_LAST_SEQUENCE)))
NEVER = PubAck(error=AckError(code=400, err_code=10054, description="message size exceeds maximum"))
FULL = PubAck(error=AckError(code=503, err_code=10077, description="maximum messages exceeded"))


def refusal(code: int, text: str) -> PubAck:
    return PubAck(error=AckError(code=code, err_code=0, description=text))


class FakeBroker:
    """Streams, calls and look-ups in one; what it is scripted to answer comes first."""

    def __init__(self) -> None:
        self.client: Any = SimpleNamespace(max_payload=1 << 20, subscribe=self._subscribe)
        self.stored: list[LogEntry] = []
        #: Answers to publishes, by the first token of the subject or, for events, the second one.
        self.answers: dict[str, list[PubAck | Exception]] = {}
        #: Look-ups find nobody while this is set.
        self.away: Exception | None = None
        self.objects: dict[str, bytes] = {}
        self.heard: dict[str, Callable[[Any], Awaitable[None]]] = {}
        self.subscribed = asyncio.Event()
        self.emitted: list[TelemetryEvent] = []
        self.telemetry = Telemetry(self.emitted.append)
        self._now_ms = NOW_MS
        self.clock = SimpleNamespace(now=lambda: self._now_ms / 1000, now_ms=lambda: self._now_ms)
        self.deadlines = Deadlines(self.clock)  # type: ignore[arg-type]

    def time_passes(self, ms: int = 1000) -> None:
        """The clock goes on."""
        self._now_ms += ms

    def put(self, subject: str, body: bytes = b"{}", headers: dict[str, str] | None = None) -> int:
        """Store a message, whatever was there."""
        sequence = len(self.stored) + 1
        stream = "REQUESTS" if subject.startswith("gen.requested.") else "EVENTS"
        self.stored.append(
            LogEntry(
                stream=stream,
                subject=subject,
                sequence=sequence,
                time_ns=NOW_MS * 1_000_000,
                body=body,
                headers=headers or {},
            )
        )
        return sequence

    def subjects(self, start: str = "gen.") -> list[str]:
        return [each.subject for each in self.stored if each.subject.startswith(start)]

    def events(self, name: str) -> list[Any]:
        return [
            envelope.decode(name, each.body, {})
            for each in self.stored
            if each.subject.startswith(f"gen.{name}.")
        ]

    def letters(self) -> list[ev.DeadLetter]:
        return [
            msgspec.json.decode(each.body, type=ev.DeadLetter)
            for each in self.stored
            if each.subject.startswith("dead.")
        ]

    # -- what the runner calls -----------------------------------------------------------------

    async def publish(
        self, subject: str, body: bytes, headers: dict[str, str] | None = None, **_: Any
    ) -> PubAck:
        first, _, rest = subject.partition(".")
        scripted = self.answers.get(rest.split(".")[0] if first == "gen" else first)
        if scripted:
            answer = scripted.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        said = headers or {}
        if said.get("KV-Operation") == "PURGE":
            self.stored = [each for each in self.stored if each.subject != subject]
            return PubAck(stream="KV", seq=1)
        for each in self.stored:
            if envelope.MSG_ID in said and each.headers.get(envelope.MSG_ID) == said[envelope.MSG_ID]:
                return PubAck(stream="EVENTS", seq=each.sequence, duplicate=True)
        condition = said.get(envelope.EXPECTED_LAST_SUBJECT, subject)
        if said.get(envelope.EXPECTED_LAST) == "0" and self._find(condition):
            return REFUSED
        return PubAck(stream="EVENTS", seq=self.put(subject, body, headers))

    def _find(self, pattern: str) -> list[LogEntry]:
        wanted = pattern.split(".")
        return [
            each
            for each in self.stored
            if len(tokens := each.subject.split(".")) == len(wanted)
            and all(want in ("*", token) for want, token in zip(wanted, tokens, strict=True))
        ]

    def _look(self, pattern: str) -> list[LogEntry]:
        if self.away is not None:
            raise self.away
        return self._find(pattern)

    async def first(self, _: str, subject: str, **__: Any) -> LogEntry | None:
        return next(iter(self._look(subject)), None)

    async def last(self, _: str, subject: str) -> LogEntry | None:
        return next(reversed(self._look(subject)), None)

    async def at(self, _: str, sequence: int) -> LogEntry | None:
        return next((each for each in self.stored if each.sequence == sequence), None)

    async def has_result(self, request_id: str) -> bool:
        return bool(self._look(subjects.any_answer(request_id)))

    async def first_request(self, request_id: str) -> StoredRequest | None:
        found = self._look(subjects.any_kind("requested", request_id))
        if not found:
            return None
        kind = found[0].subject.split(".")[2]
        return StoredRequest(
            kind=kind,
            request_id=request_id,
            body=found[0].body,
            sequence=found[0].sequence,
            time_ms=found[0].time_ms,
        )

    async def store(self, body: bytes) -> ContentRef:
        ref = reference(body)
        self.objects[ref.object] = body
        return ref

    async def _subscribe(self, subject: str, *, cb: Callable[[Any], Awaitable[None]]) -> Any:
        async def unsubscribe() -> None:
            self.heard.pop(subject, None)

        self.heard[subject] = cb
        self.subscribed.set()
        return SimpleNamespace(unsubscribe=unsubscribe)

    def runner(
        self,
        stage: str,
        handle: Callable[[Received[Any]], Outcome | Awaitable[Outcome]],
        sink: Sink | None = None,
    ) -> Runner:
        """A runner on this broker."""
        me: Any = self
        ports = RunnerPorts(
            wire=me,
            lookup=me,
            assets=SimpleNamespace(put=self.store),  # type: ignore[arg-type]
            clock=me.clock,
            batches=me,
            isolation=Isolation(),
            cancellation=Cancellation(wire=me, lookup=me),
            deadlines=self.deadlines,
            max_attempts=3,
            telemetry=self.telemetry,
        )
        return Runner(stage=stage, handle=handle, ports=ports, sink=sink)


class FakeDelivery:
    """One message in hand, and how it was settled."""

    def __init__(
        self,
        subject: str,
        body: bytes,
        *,
        headers: dict[str, str] | None = None,
        stream: str = pipeline.EVENTS,
        sequence: int = 11,
        deliveries: int = 1,
        ack: Exception | None = None,
        nak: Exception | None = None,
    ) -> None:
        self.msg: Any = SimpleNamespace(subject=subject, data=body, headers=headers)
        self.stream, self.sequence, self.deliveries = stream, sequence, deliveries
        self.time_ms = NOW_MS
        #: ``ack``, or ``nak`` with its delay.
        self.settled: list[tuple[str, float]] = []
        self._ack, self._nak = ack, nak

    async def ack(self) -> None:
        if self._ack is not None:
            raise self._ack
        self.settled.append(("ack", 0.0))

    async def nak(self, delay_s: float) -> None:
        if self._nak is not None:
            raise self._nak
        self.settled.append(("nak", delay_s))

    @property
    def ways(self) -> list[str]:
        return [way for way, _ in self.settled]


def sample(name: str, body: type[ev.Event], **changes: Any) -> Any:
    """The event of a sample file, with some fields changed."""
    event = msgspec.json.decode((SAMPLES / f"{name}.v1.json").read_bytes(), type=body)
    return msgspec.structs.replace(event, **changes)


def delivered(event: ev.Event, *, request_id: str = "r-1", kind: str = "plot", **more: Any) -> FakeDelivery:
    """The delivery of an event."""
    return FakeDelivery(f"gen.{event.name}.{kind}.{request_id}", msgspec.json.encode(event), **more)


def in_time(event: Any, left_ms: int = 60_000) -> Any:
    """An event whose request has so long until its deadline."""
    brief = msgspec.structs.replace(event.brief, deadline_at_ms=NOW_MS + left_ms)
    return msgspec.structs.replace(event, brief=brief)


async def take(runner: Runner, delivery: FakeDelivery) -> FakeDelivery:
    """Take a message through the steps."""
    await asyncio.wait_for(runner(delivery), 20)  # type: ignore[arg-type]
    return delivery
