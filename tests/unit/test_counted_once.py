"""Results and requests are reported once, however often their message is delivered."""

from __future__ import annotations

from typing import Any

import pytest
from understudy_client.calls import PubAck

from contracts import envelope
from contracts import events as ev
from contracts.outcome import Emit, Schedule
from infra.telemetry.events import DeadlineArmed, ResultPublished
from tests.unit.fake_broker import NOW_MS, FakeBroker, FakeDelivery, delivered, sample, take

RESULT = Emit(events=(sample("result", ev.Result, request_id="r-1"),))


def structured(**more: Any) -> FakeDelivery:
    return delivered(sample("structured", ev.Structured), **more)


def emitted(broker: FakeBroker, kind: type[Any]) -> list[Any]:
    return [each for each in broker.emitted if isinstance(each, kind)]


async def test_a_result_of_an_earlier_delivery_is_not_reported_again() -> None:
    broker = FakeBroker()
    runner = broker.runner("validate-repair", lambda _: RESULT)
    for deliveries in (1, 2, 3):
        await take(runner, structured(deliveries=deliveries))
        broker.time_passes()
    assert broker.subjects() == ["gen.result.plot.r-1"]
    assert len(emitted(broker, ResultPublished)) == 1


@pytest.mark.parametrize("forgotten", [True, False])
async def test_a_result_whose_acknowledgement_was_lost_is_reported(
    monkeypatch: pytest.MonkeyPatch, *, forgotten: bool
) -> None:
    broker = FakeBroker()
    publish = broker.publish

    async def publish_twice(
        subject: str, body: bytes, headers: dict[str, str] | None = None, **more: Any
    ) -> PubAck:
        await publish(subject, body, headers, **more)
        said = headers or {}
        if forgotten:
            # The broker no longer knows the id; the condition refuses the copy.
            said = {name: value for name, value in said.items() if name != envelope.MSG_ID}
        return await publish(subject, body, said, **more)

    monkeypatch.setattr(broker, "publish", publish_twice)
    await take(broker.runner("validate-repair", lambda _: RESULT), structured())
    assert broker.subjects() == ["gen.result.plot.r-1"]
    assert len(emitted(broker, ResultPublished)) == 1


async def test_a_request_is_reported_when_its_deadline_is_stored() -> None:
    broker = FakeBroker()
    timer = Schedule(event=ev.Deadline(request_seq=1, deadline_ms=1000), at_ms=NOW_MS + 1000)
    runner = broker.runner("fallback", lambda _: timer)
    # A request, its redelivery, and another request with its id.
    for sequence, deliveries in ((1, 1), (1, 2), (2, 1)):
        await take(
            runner,
            FakeDelivery(
                "gen.requested.plot.r-1", b"{}", stream="REQUESTS", sequence=sequence, deliveries=deliveries
            ),
        )
        broker.time_passes()
    assert broker.subjects() == ["gen.timer.plot.r-1"]
    assert [(each.kind, each.request_id) for each in emitted(broker, DeadlineArmed)] == [("plot", "r-1")]
