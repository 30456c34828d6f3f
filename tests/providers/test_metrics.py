"""Metrics of circuit breakers, as an exporter answers them."""

from __future__ import annotations

import asyncio
import socket
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from contracts.ports import ProviderError
from infra.providers.breaker import Breaker
from infra.providers.circuit_metrics import Circuits
from infra.telemetry.exporter import Exporter, exporter
from infra.telemetry.log_lines import to_log
from tests.providers.doubles import ManualClock, Playing, away
from tests.providers.openai_server import ask, params


def told(served: Exporter) -> dict[tuple[str, ...], float]:
    """The last word of a name, and its labels in the order of theirs, to the number."""
    with urlopen(f"http://127.0.0.1:{served.port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {
        (
            sample.name.rpartition("_")[2],
            *(each for _, each in sorted(sample.labels.items()) if each),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_a_circuit_is_told_as_it_opens_and_tries_again() -> None:
    clock = ManualClock()
    breaker = Breaker(Playing(away("gone"), "back"), failures=1, cooldown_s=30, clock=clock)
    served = Exporter("127.0.0.1:0", [Circuits([breaker])], on_defect=print)
    try:
        name = (breaker.model, breaker.name)
        assert (await asyncio.to_thread(told, served)) == {
            ("state", *name, "closed"): 1,
            ("state", *name, "open"): 0,
            ("state", *name, "half_open"): 0,
            ("failures", *name): 0,
        }
        with pytest.raises(ProviderError):
            await breaker.generate(ask(), params())
        after = await asyncio.to_thread(told, served)
        assert (after["state", *name, "open"], after["state", *name, "closed"]) == (1, 0)
        assert after["failures", *name] == 1
        clock.after(31)
        await breaker.generate(ask(), params())
        assert (await asyncio.to_thread(told, served))["state", *name, "closed"] == 1
    finally:
        served.close()


async def test_an_address_that_is_taken_is_told_and_work_goes_on() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, capture_logs() as logs:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert exporter(address, [], to_log()) is None
    assert [(line["event"], line["address"], line["fix"]) for line in logs] == [
        ("exporter_failed", address, "UNDERSTUDY_METRICS")
    ]


async def test_a_port_that_does_not_exist_is_told_and_work_goes_on() -> None:
    with capture_logs() as logs:
        assert exporter("127.0.0.1:99999", [], to_log()) is None
    assert [line["event"] for line in logs] == ["exporter_failed"]
