"""Work beside the stages: failures are logged, restarted or end the process."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from infra.app import background
from infra.app.background import Background
from infra.telemetry.dispatch import Telemetry
from infra.telemetry.log_lines import to_log


async def test_required_work_that_fails_ends_the_process_and_is_logged() -> None:
    failed = asyncio.Event()

    async def work() -> None:
        raise KeyError("gone")

    with capture_logs() as logs:
        tasks = Background(to_log(), failed=failed.set)
        tasks.require("loading", work())
        await failed.wait()
    assert [(each["log_level"], each["work"]) for each in logs] == [("error", "loading")]
    await tasks.stop()


async def test_work_that_must_keep_running_is_restarted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "_BACKOFF_BASE_S", 0.001)
    failed, third = asyncio.Event(), asyncio.Event()
    begun = 0

    async def work() -> None:
        nonlocal begun
        begun += 1
        if begun < 3:
            raise OSError(28, "No space left on device")
        third.set()

    emitted: list[Any] = []
    tasks = Background(Telemetry(emitted.append), failed=failed.set)
    tasks.keep_running("sweeper", work)
    await third.wait()
    assert [(each.work, each.restarted) for each in emitted] == [("sweeper", True), ("sweeper", True)]
    assert not failed.is_set()
    await tasks.stop()


async def test_what_is_stopped_has_not_failed() -> None:
    failed = asyncio.Event()

    async def work() -> None:
        await asyncio.Event().wait()

    tasks = Background(to_log(), failed=failed.set)
    tasks.require("loading", work())
    await asyncio.sleep(0)
    await tasks.stop()
    assert not failed.is_set()
