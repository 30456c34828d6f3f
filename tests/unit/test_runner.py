"""How does a message end when the broker, the handler or the runner itself does what it should not?"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from contracts import envelope
from contracts import events as ev
from contracts.errors import Unavailable
from contracts.outcome import Emit
from contracts.ports import StoredRequest
from infra.nats.log import LogEntry
from infra.nats.multiplexer import PubAck, _AckError
from infra.runner import publishing as module
from infra.runner.cancellation import Cancellation
from infra.runner.execution import Runner
from infra.runner.isolation import Isolation
from infra.runner.ports import RunnerPorts
from infra.telemetry.dispatch import Telemetry

SAMPLES = Path(__file__).parent / "event_samples"
OK = PubAck(stream="EVENTS", seq=1)
NEVER = PubAck(error=_AckError(code=400, err_code=10054, description="message size exceeds maximum allowed"))
FULL = PubAck(error=_AckError(code=503, err_code=10077, description="maximum messages exceeded"))


class Broker:
    """Takes publishes as it is told to, and knows one request without a result."""

    def __init__(self) -> None:
        self.client = SimpleNamespace(max_payload=1 << 20)
        self.answers: dict[str, list[PubAck]] = {}
        self.published: list[tuple[str, dict[str, str]]] = []
        self.stored: LogEntry | None = None

    async def publish(self, subject: str, _: bytes, headers: dict[str, str], **__: Any) -> PubAck:
        self.published.append((subject, headers))
        waiting = self.answers.get(subject.split(".")[1] if subject.startswith("gen.") else "dead", [])
        return waiting.pop(0) if waiting else OK

    def subjects(self) -> list[str]:
        return [subject for subject, _ in self.published]

    async def first_request(self, request_id: str) -> StoredRequest:
        return StoredRequest(kind="plot", request_id=request_id, body=b"{}", sequence=7, time_ms=5)

    async def has_result(self, _: str) -> bool:
        return False

    async def at(self, _: str, __: int) -> LogEntry | None:
        return self.stored


class Delivery:
    """A ``structured`` event, as validate-repair gets it."""

    stream, sequence, deliveries, time_ms = "EVENTS", 11, 1, 3

    def __init__(self, ack: Exception | None = None) -> None:
        body = (SAMPLES / "structured.v1.json").read_bytes()
        self.msg = SimpleNamespace(subject="gen.structured.plot.r-1", data=body, headers={})
        self.settled: list[str] = []
        self._ack = ack

    async def ack(self) -> None:
        if self._ack is not None:
            raise self._ack
        self.settled.append("ack")

    async def nak(self, _: float) -> None:
        self.settled.append("nak")


def result() -> Emit:
    made = msgspec.json.decode((SAMPLES / "result.v1.json").read_bytes(), type=ev.Result)
    return Emit(events=(msgspec.structs.replace(made, request_id="r-1"),))


def runner(broker: Broker, handle: Any = None) -> Runner:
    parts: Any = broker
    return Runner(
        stage="validate-repair",
        handle=handle or (lambda _: result()),
        ports=RunnerPorts(
            wire=parts,
            lookup=parts,
            isolation=Isolation(),
            cancellation=parts,
            assets=parts,
            clock=SimpleNamespace(now=lambda: 1_700_000_000.0, now_ms=lambda: 0),  # type: ignore[arg-type]
            batches=parts,
            deadlines=parts,
            max_attempts=5,
            telemetry=Telemetry(),
        ),
    )


async def take(broker: Broker, handle: Any = None, **delivery: Any) -> Delivery:
    given = Delivery(**delivery)
    await asyncio.wait_for(runner(broker, handle)(given), 60)  # type: ignore[arg-type]
    return given


async def test_what_the_broker_never_takes_fails_the_request_at_once() -> None:
    broker = Broker()
    broker.answers["result"] = [NEVER]
    given = await take(broker)
    assert [each.split(".")[1] for each in broker.subjects()] == ["result", "failed", "validate-repair"]
    assert given.settled == ["ack"]


async def test_what_the_broker_does_not_take_now_is_tried_again() -> None:
    broker = Broker()
    broker.answers["result"] = [FULL, FULL]
    given = await take(broker)
    assert broker.subjects() == ["gen.result.plot.r-1"] * 3
    assert given.settled == ["ack"]


async def test_a_failure_that_cannot_be_told_either_waits() -> None:
    broker = Broker()
    broker.answers = {"result": [NEVER], "failed": [NEVER, NEVER]}
    given = await take(broker)
    assert given.settled == ["nak"]


async def test_a_letter_that_is_not_taken_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.retry, "backoff", lambda *_, **__: 0.0)
    broker = Broker()
    broker.answers = {"result": [NEVER], "dead": [FULL] * 100}
    given = await take(broker)
    assert broker.subjects().count("dead.validate-repair.plot.r-1") == 3
    assert given.settled == ["ack"]


async def test_a_strangers_message_id_does_not_stand_for_a_result() -> None:
    broker = Broker()
    broker.answers["result"] = [PubAck(stream="EVENTS", seq=4, duplicate=True)]
    broker.stored = LogEntry(
        stream="EVENTS", subject="gen.clamped.plot.x", sequence=4, time_ns=0, body=b"", headers={}
    )
    given = await take(broker)
    first, second = (headers for _, headers in broker.published)
    assert envelope.MSG_ID in first
    assert envelope.MSG_ID not in second
    assert given.settled == ["ack"]


async def test_a_duplicate_of_ones_own_is_success() -> None:
    broker = Broker()
    broker.answers["result"] = [PubAck(stream="EVENTS", seq=4, duplicate=True)]
    given = Delivery()
    seq = json.loads(given.msg.data)["brief"]["request_seq"]
    ident = envelope.message_id("r-1", seq, "validate-repair", "result", 1)
    broker.stored = LogEntry(
        stream="EVENTS",
        subject="gen.result.plot.r-1",
        sequence=4,
        time_ns=0,
        body=b"",
        headers={"ce-id": ident},
    )
    await runner(broker)(given)  # type: ignore[arg-type]
    assert broker.subjects() == ["gen.result.plot.r-1"]
    assert given.settled == ["ack"]


async def test_a_defect_of_the_runner_ends_the_request_and_not_the_pull() -> None:
    broker = Broker()
    broker.answers["result"] = [None]  # type: ignore[list-item] - no acknowledgement at all
    given = await take(broker)
    assert [each.split(".")[1] for each in broker.subjects()] == ["result", "failed", "validate-repair"]
    assert given.settled == ["ack"]


@pytest.mark.parametrize("error", [ConnectionResetError("lost"), Unavailable("away")])
async def test_an_acknowledgement_that_cannot_be_sent_is_no_failure_of_the_request(error: Exception) -> None:
    broker = Broker()
    given = await take(broker, ack=error)
    assert broker.subjects() == ["gen.result.plot.r-1"]
    assert given.settled == ["nak"]


async def test_a_look_up_without_a_broker_does_not_stop_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.runner.cancellation.PATIENCE_S", 0.01)
    asked = asyncio.Event()

    class Away(Broker):
        async def has_result(self, _: str) -> bool:
            asked.set()
            raise Unavailable("away")

    async def subscribe(*_: Any, **__: Any) -> Any:
        async def unsubscribe() -> None:
            return None

        return SimpleNamespace(unsubscribe=unsubscribe)

    broker: Any = Away()
    broker.client.subscribe = subscribe

    async def work() -> Emit:
        await asked.wait()
        return Emit()

    watch = Cancellation(wire=broker, lookup=broker)
    received: Any = SimpleNamespace(request_id="r-1")
    assert await asyncio.wait_for(watch.run(received, work()), 60) == Emit()


async def test_a_result_that_was_heard_and_refused_does_not_stop_what_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("infra.runner.cancellation.PATIENCE_S", 0.01)
    monkeypatch.setattr("infra.runner.cancellation._LOOK_S", 0.01)
    heard: list[Any] = []
    looked = asyncio.Event()
    stored = False

    class Log(Broker):
        async def has_result(self, _: str) -> bool:
            looked.set()
            return stored

    async def subscribe(*_: Any, cb: Any, **__: Any) -> Any:
        async def unsubscribe() -> None:
            return None

        heard.append(cb)
        return SimpleNamespace(unsubscribe=unsubscribe)

    broker: Any = Log()
    broker.client.subscribe = subscribe
    release = asyncio.Event()

    async def work() -> Emit:
        await release.wait()
        return result()

    watch = Cancellation(wire=broker, lookup=broker)
    received: Any = SimpleNamespace(request_id="r-1")
    running = asyncio.create_task(watch.run(received, work()))
    await looked.wait()
    looked.clear()
    await heard[0](None)
    await looked.wait()
    assert not running.done()
    stored = True
    await heard[0](None)
    assert await asyncio.wait_for(running, 60) == Emit()
