"""Monitoring of a running pipeline: a frozen process is noticed from outside, and its work moves on once."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path
from typing import Final

import pytest
from structlog.testing import capture_logs

from infra.app.pipeline_monitor import EVERY_S, MISSES
from infra.app.supervised import StartPatience
from infra.app.supervisor import Supervisor
from infra.host import runtime_file, target_file
from infra.lab.bench.load import Load
from infra.settings.settings import Settings
from tests.pipeline.supervisor.conftest import Start
from tests.pipeline.supervisor.watching import page, problems, scripted, total, until

#: The supervisor leaves frozen processes alone: they are to go on.
_PATIENT: Final = StartPatience(silent_s=600.0)
_COPIES: Final = {"freeform-gen": 2, "structuring": 2}
_REQUESTS: Final = 12


@pytest.mark.delivery
async def test_a_frozen_stage_is_noticed_and_its_work_moves_on_once(tmp_path: Path) -> None:
    assert EVERY_S * (MISSES + 1) <= 5
    rules = [{"match": {"stage": "freeform-gen"}, "do": "slow", "after_ms": 3000}]
    settings = scripted(tmp_path, rules=rules, ack_wait=2.0)
    async with (
        Supervisor(settings, copies=_COPIES, patience=_PATIENT) as supervised,
        Load(supervised.reached) as load,
    ):
        url = supervised.metrics_url
        await until(lambda: page(url, "/readyz"), "the pipeline is ready")
        addresses = {
            each.labels["process"]: f"http://{each.targets[0]}"
            for each in target_file.read(settings.data_dir)
            if "process" in each.labels
        }
        assert set(addresses) == supervised.pids.keys() - {"broker"}
        ids = [f"r-{number}" for number in range(_REQUESTS)]
        for one in ids:
            await load.publish(one)

        async def held_by() -> str | None:
            for name in ("freeform-gen+structuring", "freeform-gen#2"):
                if await total(addresses[name], "understudy_messages_in_hand", stage="freeform-gen"):
                    return name
            return None

        await until(held_by, "a copy of freeform-gen has messages")
        frozen = await held_by()
        assert frozen is not None
        os.kill(supervised.pids[frozen], signal.SIGSTOP)
        began = time.monotonic()

        async def unready() -> bool:
            return f"{frozen} is not ready" in (await problems(url) or "")

        await until(unready, "the pipeline is not ready")
        noticed_s = time.monotonic() - began
        print(f"\nnoticed after {noticed_s:.1f} s")  # noqa: T201 - a figure for people
        # Five seconds, and what a busy machine adds.
        assert noticed_s < 10
        assert await page(addresses[frozen], "/readyz") is None

        async def counts_as_unready() -> bool:
            return await total(url, "understudy_process_ready", process=frozen) == 0

        await until(counts_as_unready, "the metric says so, too")
        assert await page(url, "/livez") is not None

        await load.until_answered(ids, timeout_s=60)
        os.kill(supervised.pids[frozen], signal.SIGCONT)
        await until(lambda: page(url, "/readyz"), "the pipeline is ready again")

        async def idle() -> bool:
            return await total(addresses[frozen], "understudy_messages_in_hand") == 0

        await until(idle, "the copy that was frozen has ended what it had")
        stored = await load.connected.jetstream().stream_info("EVENTS", subjects_filter="gen.result.>")
        assert stored.state.subjects == {f"gen.result.layout.{one}": 1 for one in ids}
        redelivered = await total(url, "understudy_redeliveries_total", stage="freeform-gen")
        assert redelivered is not None
        assert redelivered >= 1
        assert runtime_file.read(settings).metrics_url == url  # type: ignore[union-attr]
    assert not (settings.data_dir / target_file.FILE).exists()


async def test_nothing_listens_when_metrics_are_off(make: Start, settings: Settings) -> None:
    async with make(settings=settings.model_copy(update={"metrics": "off"})) as supervised:
        assert supervised.metrics_url is None
        assert runtime_file.read(settings).metrics_url is None  # type: ignore[union-attr]
        assert not (settings.data_dir / target_file.FILE).exists()


async def test_an_address_in_use_ends_nothing(make: Start, settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, capture_logs() as logs:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        async with make(settings=settings.model_copy(update={"metrics": address})) as supervised:
            assert supervised.metrics_url is None
    assert [line["address"] for line in logs if line["event"] == "exporter_failed"] == [address]
