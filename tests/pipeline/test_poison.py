"""What becomes of a message that kills its worker, and of the others?"""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path

from contracts.errors import ErrorCode
from contracts.result import Origin, Status
from infra.providers.scripted import KILLED
from tests.import_path import IMPORT_PATH
from tests.pipeline.conftest import PATIENCE_S, Configure, Observer, Start

_ROOT = Path(__file__).parents[2]
_HERE = ("context-build", "validate-repair", "fallback", "audit")
_THERE = ("freeform-gen", "structuring")


class Worker:
    """The model stages in a process that is started again whenever it ends."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self._process: Process | None = None
        self._stopping = False

    async def live(self) -> None:
        """Start again and again until stopped."""
        while not self._stopping:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "infra.cli", "run", *_THERE),
                stdin=DEVNULL,
                stdout=DEVNULL,
                stderr=PIPE,
                env={**os.environ, "PYTHONPATH": IMPORT_PATH},
            )
            _, said = await self._process.communicate()
            assert b"Traceback" not in said, said.decode()
            assert self._process.returncode is not None
            self.statuses.append(self._process.returncode)

    async def stop(self, life: asyncio.Task[None]) -> None:
        """End it in order."""
        self._stopping = True
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
        await asyncio.wait_for(life, PATIENCE_S)


async def test_a_message_that_kills_its_worker_ends_as_letter_and_stand_in(
    client: Observer, configure: Configure, start: Start
) -> None:
    rules = [
        {"match": {"request_id": "poison-*", "stage": "freeform-gen"}, "do": "exit", "after_ms": 200},
        # In hand whenever the worker is killed beside them, and waiting when it is killed alone.
        {"match": {"request_id": "beside-*", "stage": "freeform-gen"}, "do": "slow", "after_ms": 300},
    ]
    settings = configure(rules=rules, ACK_WAIT="1")
    async with start(settings, _HERE):
        worker = Worker()
        life = asyncio.create_task(worker.live())
        try:
            first = await client.ask("fine-1")
            await client.publish("gen.requested.layout.poison-1")
            beside = [f"beside-{number}" for number in range(4)]
            for one in beside:
                await client.publish(f"gen.requested.plot.{one}")
            others = [await client.result(one, within_s=60) for one in beside]
            result = await client.result("poison-1", within_s=60)
            last = await client.ask("fine-2")
            await client.settled()
        finally:
            await worker.stop(life)

    assert [one.status for one in (first, *others, last)] == [Status.SUCCESS] * 6
    assert (result.status, result.origin) == (Status.FAIL_FALLBACK, Origin.GOLDEN_SAMPLE)
    assert result.error is not None
    assert (result.error.code, result.error.stage) == (ErrorCode.GEN_POISON, "freeform-gen")
    (letter,) = client.letters()
    assert letter.code is ErrorCode.GEN_POISON
    assert letter.subject == "gen.context_built.layout.poison-1"
    assert letter.deliveries >= 4
    # One unsuspected start and three counted ones; the last worker ends when it is told to.
    assert worker.statuses == [KILLED] * 4 + [0]
    assert len(client.events("result")) == 7
