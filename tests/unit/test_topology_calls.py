"""Calls of the JetStream API while a cluster elects a leader."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from contracts.errors import Unavailable
from infra.nats import topology
from infra.nats.topology import TopologyError

ELECTING = {
    "error": {"code": 503, "err_code": 10008, "description": "JetStream system temporarily unavailable"}
}


class Broker:
    """Gives these answers in turn, the last one for ever."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self._answers = list(answers)
        self.asked = 0

    async def request(self, *_: object, timeout: float) -> SimpleNamespace:
        del timeout
        self.asked += 1
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return SimpleNamespace(data=json.dumps(answer).encode())


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topology, "_AGAIN_S", 0)


async def test_a_cluster_without_a_leader_is_asked_again() -> None:
    broker = Broker(ELECTING, ELECTING, {"config": {"name": "EVENTS"}})
    assert await topology.stream(broker, "EVENTS") == {"config": {"name": "EVENTS"}}
    assert broker.asked == 3


async def test_one_that_stays_without_is_unavailable_not_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topology, "_TIMEOUT_S", 0)
    with pytest.raises(Unavailable, match="temporarily unavailable"):
        await topology.stream(Broker(ELECTING), "EVENTS")


async def test_a_refusal_is_final() -> None:
    broker = Broker({"error": {"code": 400, "err_code": 10058, "description": "stream name already in use"}})
    with pytest.raises(TopologyError, match="already in use"):
        await topology.stream(broker, "EVENTS")
    assert broker.asked == 1
