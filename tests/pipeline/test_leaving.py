"""How does a process of stages end while a model loads, or when work beside the stages fails?"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from infra.app import stage_ports, wiring
from infra.nats import topology
from infra.runner.watchdog import FROZEN
from infra.settings.settings import Settings
from infra.telemetry import logging
from tests.pipeline.conftest import Configure, Observer


class _Model:
    name = "slow"
    model = "a-slow-model"

    def __init__(self, load: Callable[[], Awaitable[None]]) -> None:
        self.ready = load


@pytest.fixture
async def settings(client: Observer, configure: Configure) -> Settings:
    found = configure()
    await topology.apply(client.nc, found)
    return found


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Awaitable[None]]], None]:
    """Have the stages load one model, in this way."""

    def use(load: Callable[[], Awaitable[None]]) -> None:
        def build_providers(_: Settings, *, on_made: Callable[[Any], None], **_rest: Any) -> SimpleNamespace:
            on_made(_Model(load))
            return SimpleNamespace(by_kind={}, by_task={})

        monkeypatch.setattr(stage_ports, "build_providers", build_providers)
        # The log is this test process' own.
        monkeypatch.setattr(logging, "configure", lambda _: None)

    return use


async def test_a_process_that_loads_a_model_stops_at_once(
    settings: Settings, loads: Callable[[Callable[[], Awaitable[None]]], None]
) -> None:
    loaded = threading.Event()
    told: list[str] = []
    left: list[int] = []

    async def load() -> None:
        await asyncio.to_thread(loaded.wait)

    def on_loading(model: str) -> None:
        told.append(model)
        os.kill(os.getpid(), signal.SIGTERM)

    loads(load)
    try:
        await wiring.run_stages(settings, ("freeform-gen",), on_loading=on_loading, leave=left.append)  # pyright: ignore[reportArgumentType] - it need not end this process
    finally:
        loaded.set()
    assert (told, left) == (["a-slow-model"], [0])


async def test_loading_that_fails_in_an_unknown_way_ends_the_process_and_is_told(
    settings: Settings, loads: Callable[[Callable[[], Awaitable[None]]], None]
) -> None:
    async def load() -> None:
        raise MemoryError("no room for the weights")

    loads(load)
    with capture_logs() as logs:
        status = await wiring.run_stages(settings, ("freeform-gen",))
    assert status == FROZEN
    assert [
        each["work"] for each in logs if each["event"] == "background_failed" and not each["restarted"]
    ] == ["loading"]
