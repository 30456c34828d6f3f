"""Traps of FastStream's pull subscribers (FIELD_NOTES, A), and the pull worker that stays out of them.

Each test has two halves: with the worker that ships, where it passes, and with the stock subscriber of the
pinned version, where it has to fail.  The second half says something new only when the pinned versions change:
``just test-traps`` runs it, and one that passes there says that FastStream has repaired the trap.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio
from nats import errors as nats_errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import errors as js_errors
from understudy_client.connection import flushed

from contracts import pipeline
from infra.nats import topology
from infra.nats.embedded import Embedded
from infra.settings.settings import Settings, load
from tests.broker.conftest import connect
from tests.broker.trapped import STAGE, WORKERS, Trapped

_STEPS_IN = pytest.mark.xfail(strict=True, raises=AssertionError, reason="a trap of the stock subscriber")
both = pytest.mark.parametrize(
    "worker",
    [
        pytest.param(WORKERS["ours"], id="ours"),
        pytest.param(WORKERS["stock"], marks=(pytest.mark.stock, _STEPS_IN), id="stock"),
    ],
)
delivery = pytest.mark.delivery
#: Seconds within which what the worker owes has come, on a busy machine.
_PATIENCE_S = 60.0
#: The same for the stock subscriber, for which a test waits in vain.
_STOCK_PATIENCE_S = 10.0


class Scene:
    """The broker, the worker's doings, and what came out."""

    def __init__(self, nc: Client, settings: Settings) -> None:
        self.nc = nc
        self.js = nc.jetstream()
        self.settings = settings
        #: How often work on each request began, and ended.
        self.began: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        #: Requests whose ``context_built`` is stored, once per copy.
        self.out: Counter[str] = Counter()
        #: Requests that a dead letter tells about.
        self.letters: Counter[str] = Counter()
        self.told: list[str] = []
        #: Work on a request waits for its event here.
        self.held: dict[str, asyncio.Event] = {}
        self.patience_s = _PATIENCE_S
        #: Seconds that other work takes.
        self.takes = 0.0
        self._news = asyncio.Condition()

    async def open(self) -> None:
        async def stored(msg: Msg) -> None:
            event, _, request_id = msg.subject.split(".")[-3:]
            (self.out if event == "context_built" else self.letters)[request_id] += 1
            await self.changed()

        await self.nc.subscribe("gen.context_built.>", cb=stored)
        await self.nc.subscribe("dead.>", cb=stored)
        await flushed(self.nc)

    async def work(self, request_id: str) -> None:
        self.began[request_id] += 1
        await self.changed()
        if request_id in self.held:
            await self.held[request_id].wait()
        else:
            await asyncio.sleep(self.takes)
        self.ended[request_id] += 1
        await self.changed()

    def tell(self, problem: str) -> None:
        self.told.append(problem)
        self._told = asyncio.ensure_future(self.changed())

    async def changed(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def request(self, *request_ids: str) -> None:
        for request_id in request_ids:
            body = msgspec.json.encode({"prompt": request_id})
            await self.js.publish(f"gen.requested.layout.{request_id}", body)

    async def request_until_stored(self, *request_ids: str) -> None:
        """As :meth:`request`, again and again while the broker elects a leader; an id keeps copies away."""
        for request_id in request_ids:
            body = msgspec.json.encode({"prompt": request_id})
            subject = f"gen.requested.layout.{request_id}"
            async with asyncio.timeout(self.patience_s):
                while True:
                    with suppress(nats_errors.Error, js_errors.Error):
                        await self.js.publish(subject, body, headers={"Nats-Msg-Id": request_id}, timeout=2)
                        break

    async def until(self, done: Callable[[], bool]) -> None:
        """Raises ``AssertionError`` if it does not become so in time."""
        async with self._news:
            try:
                await asyncio.wait_for(self._news.wait_for(done), self.patience_s)
            except TimeoutError:
                raise AssertionError(
                    f"began {self.began}, ended {self.ended}, out {self.out}, told {self.told}"
                ) from None

    async def settled(self) -> None:
        """Wait until the worker owes the broker nothing."""
        async with asyncio.timeout(self.patience_s):
            while True:
                info = await self.js.consumer_info(pipeline.REQUESTS, STAGE)
                if not info.num_pending and not info.num_ack_pending:
                    return
                await self._heard(0.1)

    async def _heard(self, within_s: float) -> None:
        async with self._news:
            waiting = asyncio.ensure_future(self._news.wait())
            await asyncio.wait({waiting}, timeout=within_s)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)


def _patience(worker: Trapped) -> float:
    return _PATIENCE_S if worker is WORKERS["ours"] else _STOCK_PATIENCE_S


@pytest_asyncio.fixture
async def scene(worker: Trapped, nats_url: str, nc: Client, tmp_path: Path) -> AsyncIterator[Scene]:
    """A topology whose messages go to somebody else after two seconds without a sign of life."""
    settings = load(data_dir=tmp_path / "data", nats_url=nats_url, ack_wait=2)
    await topology.apply_at(nats_url, settings, force=True)
    made = Scene(nc, settings)
    made.patience_s = _patience(worker)
    await made.open()
    yield made


@both
async def test_a1_a_broker_away_for_longer_than_the_reconnects_does_not_freeze_the_loop(
    worker: Trapped, broker: Embedded, settings: Settings
) -> None:
    await topology.apply_at(broker.url, settings)
    name = next(name for name, one in WORKERS.items() if one is worker)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.broker.trapped", name, broker.url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )

    async def says(key: str, times: int = 1) -> None:
        assert process.stdout is not None
        while times:
            try:
                line = await asyncio.wait_for(process.stdout.readline(), _patience(worker))
            except TimeoutError:
                raise AssertionError(f"says nothing more; {key} was due") from None
            assert line, f"the worker ended with status {process.returncode}"
            times -= key in json.loads(line)

    try:
        await says("tick")
        await broker.stop()
        await says("tick", times=30)
        await broker.start()
        nc = await connect(broker.url)
        await nc.jetstream().publish("gen.requested.layout.after", b'{"prompt":"after"}')
        await nc.close()
        await says("request_id")
    finally:
        process.kill()
        await process.wait()


@delivery
@both
async def test_a2_a_request_whose_work_raises_is_not_lost(worker: Trapped, scene: Scene) -> None:
    async def broken(request_id: str) -> None:
        await scene.work(request_id)
        if scene.began[request_id] == 1:
            raise ValueError("the first try fails")

    async with worker(scene.settings, broken, scene.tell, at_once=1):
        await scene.request("r-1")
        await scene.until(lambda: scene.out["r-1"] + scene.letters["r-1"] == 1)


@delivery
@both
async def test_a2_finished_work_outlives_a_publish_that_fails(worker: Trapped, scene: Scene) -> None:
    async with worker(scene.settings, scene.work, scene.tell, at_once=1):
        # The stream itself stays: with it, a consumer of the worker would be gone, and with that the worker.
        await _stop_keeping(scene, "gen.context_built.>")
        await scene.request("r-1")
        await scene.until(lambda: scene.ended["r-1"] == 1 and bool(scene.told))
        await topology.apply(scene.nc, scene.settings)
        scene.out.clear()
        await scene.until(lambda: scene.out["r-1"] >= 1)
        assert scene.ended["r-1"] == 1


async def _stop_keeping(scene: Scene, subject: str) -> None:
    """Take a subject from EVENTS: a publish there finds no stream."""
    info = await topology.stream(scene.nc, pipeline.EVENTS)
    assert info is not None
    subjects = [each for each in info["config"]["subjects"] if each != subject]
    changed = json.dumps({**info["config"], "subjects": subjects}).encode()
    answer = await scene.nc.request(f"$JS.API.STREAM.UPDATE.{pipeline.EVENTS}", changed, timeout=10)
    assert "error" not in json.loads(answer.data)


@delivery
@both
async def test_a3_no_request_runs_twice_because_it_waited_for_its_turn(worker: Trapped, scene: Scene) -> None:
    scene.takes = 0.75
    names = [f"r-{number}" for number in range(10)]
    async with worker(scene.settings, scene.work, scene.tell, at_once=2):
        await scene.request(*names)
        await scene.until(lambda: set(names) <= set(scene.ended))
        await scene.settled()
    assert scene.began == Counter(names)


@delivery
@both
async def test_a4_a_deleted_consumer_is_told(worker: Trapped, scene: Scene) -> None:
    async with worker(scene.settings, scene.work, scene.tell, at_once=1):
        await scene.request("r-1")
        await scene.until(lambda: scene.out["r-1"] == 1)
        await scene.settled()
        assert scene.told == []
        await scene.js.delete_consumer(pipeline.REQUESTS, STAGE)
        await scene.until(lambda: any(STAGE in each and pipeline.REQUESTS in each for each in scene.told))


@delivery
@both
async def test_a5_a_stopped_worker_hands_back_what_it_holds(
    worker: Trapped, scene: Scene, tmp_path: Path
) -> None:
    patient = load(data_dir=tmp_path / "data", nats_url=scene.settings.nats_url, ack_wait=30, grace=0.1)
    await topology.apply_at(scene.settings.nats_url or "", patient, force=True)
    names = ["r-1", "r-2", "r-3", "r-4"]
    scene.held = {name: asyncio.Event() for name in names}
    async with worker(patient, scene.work, scene.tell, at_once=2):
        await scene.request(*names)
        await scene.until(lambda: scene.began.total() == 2)
    for name in names:
        scene.held[name].set()
    async with worker(patient, scene.work, scene.tell, at_once=2):
        await scene.until(lambda: set(names) <= set(scene.out))


@delivery
@both
async def test_a7_one_slow_request_does_not_hold_up_the_others(worker: Trapped, scene: Scene) -> None:
    scene.held = {"slow": asyncio.Event()}
    quick = [f"r-{number}" for number in range(8)]
    async with worker(scene.settings, scene.work, scene.tell, at_once=4, side_by_side=False):
        await scene.request("slow", *quick)
        try:
            await scene.until(lambda: set(quick) <= set(scene.out))
        finally:
            scene.held["slow"].set()
        await scene.settled()


@delivery
@both
async def test_a8_a_request_that_is_given_out_again_leaves_one_copy(worker: Trapped, scene: Scene) -> None:
    async with worker(scene.settings, scene.work, scene.tell, at_once=1):
        await scene.request("r-1")
        await scene.until(lambda: scene.out["r-1"] == 1)
        await scene.settled()
    await scene.js.delete_consumer(pipeline.REQUESTS, STAGE)
    await topology.apply(scene.nc, scene.settings)
    async with worker(scene.settings, scene.work, scene.tell, at_once=1):
        await scene.until(lambda: scene.began["r-1"] == 2)
        await scene.settled()
    copies = await scene.js.stream_info(pipeline.EVENTS, subjects_filter="gen.context_built.*.r-1")
    assert copies.state.subjects == {"gen.context_built.layout.r-1": 1}


@both
async def test_a8_a_broker_that_takes_a_second_to_acknowledge_costs_nothing(
    worker: Trapped, broker: Embedded, settings: Settings
) -> None:
    await topology.apply_at(broker.url, settings)
    nc = await connect(broker.url)
    scene = Scene(nc, settings.model_copy(update={"nats_url": broker.url}))
    scene.patience_s = _patience(worker)
    await scene.open()

    async def paused(request_id: str) -> None:
        os.kill(broker.pid, signal.SIGSTOP)
        asyncio.get_running_loop().call_later(1, os.kill, broker.pid, signal.SIGCONT)
        await scene.work(request_id)

    async with worker(scene.settings, paused, scene.tell, at_once=1):
        await scene.request("r-1")
        await scene.until(lambda: scene.out["r-1"] == 1)
        await scene.settled()
    await nc.close()
    assert scene.told == []
