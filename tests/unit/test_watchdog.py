"""Watchdog: a frozen event loop ends its process, a turning one does not."""

from __future__ import annotations

import asyncio
import threading

import pytest

from infra.runner import watchdog
from infra.runner.watchdog import FROZEN, Watchdog


class Exit:
    """Stands in for the end of the process."""

    def __init__(self) -> None:
        self.called = threading.Event()
        self.status: int | None = None

    def __call__(self, status: int) -> None:
        self.status = status
        self.called.set()


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> Exit:
    found = Exit()
    monkeypatch.setattr(watchdog.os, "_exit", found)
    return found


async def test_a_frozen_loop_ends_the_process(ended: Exit, capsys: pytest.CaptureFixture[str]) -> None:
    watched = Watchdog(limit_s=0.03)
    watched.start()
    # Waiting here keeps the loop from turning.
    assert ended.called.wait(30)
    watched.stop()
    assert ended.status == FROZEN
    assert "event loop frozen for 0.03 s" in capsys.readouterr().err


async def test_a_turning_loop_beats_until_it_is_stopped(ended: Exit) -> None:
    watched = Watchdog(limit_s=0.001)
    beats: list[float] = []
    tick = watched._tick

    def noted(loop: asyncio.AbstractEventLoop) -> None:
        tick(loop)
        beats.append(watched._beat)

    watched._tick = noted  # type: ignore[method-assign]
    watched._tick(asyncio.get_running_loop())
    while len(beats) < 3:
        await asyncio.sleep(0)
    watched.stop()
    assert beats == sorted(beats)
    assert watched._timer is not None
    assert watched._timer.cancelled()
    assert ended.status is None
