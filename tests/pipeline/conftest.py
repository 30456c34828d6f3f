"""Pipeline under test, and an observer of everything that it does.

The stages run in this process against a real broker; what tests look at is the log, and the
acknowledgements that the stages send.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import pytest_asyncio
from nats.aio.client import Client
from nats.aio.msg import Msg

from contracts import events as ev
from contracts import pipeline, subjects
from contracts.kinds import KINDS
from infra.app.application import Application
from infra.app.wiring import assemble
from infra.nats import topology
from infra.nats.embedded import Embedded
from infra.settings.settings import Settings, load
from infra.stores import audit, database
from tests.pipeline.shell import shell  # noqa: F401 - a fixture of this folder

FOREST: Final = b'{"prompt":"a forest with three coins"}'
#: Seconds within which anything that is waited for must have happened on a busy machine.
PATIENCE_S: Final = 30.0
_STREAMS: Final = (pipeline.REQUESTS, pipeline.EVENTS, pipeline.DEAD)


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A message of the log, as a reader of the stream sees it."""

    stream: str
    sequence: int
    subject: str
    body: bytes
    headers: dict[str, str]
    time_ms: float

    def json(self) -> Any:
        return json.loads(self.body)


class Observer:
    """A plain nats-py client that publishes, and an observer of streams and acknowledgements."""

    def __init__(self, nc: Client) -> None:
        self.nc = nc
        self.js = nc.jetstream(timeout=10)
        self.log: list[Stored] = []
        self._seen = dict.fromkeys(_STREAMS, 0)
        self._acked: set[tuple[str, str, int]] = set()
        self.put_off: list[tuple[str, str, int]] = []
        self._news = asyncio.Condition()
        self._watching = False

    async def watch(self) -> None:
        """Start to observe, once; what the streams hold already is seen too."""
        if self._watching:
            return
        self._watching = True
        await self.nc.subscribe("$JS.ACK.>", cb=self._ack)
        for stream in _STREAMS:
            await self.js.subscribe(stream=stream, subject="", ordered_consumer=True, cb=self._message)

    async def _message(self, msg: Msg) -> None:
        meta = msg.metadata
        stored = Stored(
            stream=meta.stream,
            sequence=meta.sequence.stream,
            subject=msg.subject,
            body=msg.data,
            headers=dict(msg.headers or {}),
            time_ms=meta.timestamp.timestamp() * 1000,
        )
        self.log.append(stored)
        self._seen[stored.stream] = stored.sequence
        async with self._news:
            self._news.notify_all()

    async def _ack(self, msg: Msg) -> None:
        # Seven tokens before the end stands the stream, whatever the server puts before.
        stream, stage, _, sequence, *_ = msg.subject.split(".")[-7:]
        key = (stream, stage, int(sequence))
        if msg.data.startswith(b"-NAK"):
            self.put_off.append(key)
        elif not msg.data.startswith(b"+WPI"):
            self._acked.add(key)
        async with self._news:
            self._news.notify_all()

    async def until(self, done: Callable[[], bool], *, within_s: float = PATIENCE_S, what: str = "") -> None:
        """Wait for the log or the acknowledgements to be as wanted.

        Raises:
            AssertionError: they did not become so in time.
        """
        async with self._news:
            try:
                await asyncio.wait_for(self._news.wait_for(done), within_s)
            except TimeoutError:
                said = "\n".join(f"{one.stream} {one.sequence} {one.subject}" for one in self.log[-40:])
                pytest.fail(f"not within {within_s:g} s: {what or done}; the log ends with\n{said}")

    async def publish(self, subject: str, body: bytes = FOREST, headers: dict[str, str] | None = None) -> int:
        """Publish as any client would; the sequence in the log."""
        return (await self.js.publish(subject, body, headers=headers)).seq

    async def ask(self, request_id: str, kind: str = "layout", **fields: Any) -> ev.Result:
        """Publish a request and wait for its result."""
        body = msgspec.json.encode({"prompt": "a forest with three coins", **fields})
        await self.publish(subjects.gen("requested", kind, request_id), body)
        return await self.result(request_id)

    async def result(self, request_id: str, *, within_s: float = PATIENCE_S) -> ev.Result:
        """The request's first result."""
        answer = subjects.answer(request_id)
        await self.until(
            lambda: bool(self.events(answer, request_id)), within_s=within_s, what=f"result of {request_id}"
        )
        return msgspec.json.decode(self.events(answer, request_id)[0].body, type=ev.Result)

    def events(self, name: str, request_id: str = "*") -> list[Stored]:
        """Stored events by name, of one request or of all."""
        return [one for one in self.log if _fits(one.subject, f"gen.{name}.*.{request_id}")]

    def letters(self) -> list[ev.DeadLetter]:
        """The dead letters so far."""
        return [
            msgspec.json.decode(one.body, type=ev.DeadLetter)
            for one in self.log
            if one.subject.startswith("dead.")
        ]

    async def handled(self, stream: str, sequence: int, *stages: str) -> None:
        """Wait until these stages have acknowledged the message."""
        wanted = {(stream, stage, sequence) for stage in stages}
        await self.until(lambda: wanted <= self._acked, what=f"{stages} acknowledge {stream} {sequence}")

    async def settled(self, stages: Iterable[str] = pipeline.STAGES) -> None:
        """Wait until the stages have acknowledged everything there is, and nothing came of it."""
        names = set(stages)
        routes = [route for route in pipeline.routes() if route.stage in names]
        while True:
            last = {stream: (await self.js.stream_info(stream)).state.last_seq for stream in _STREAMS}
            # Past it is as good: the comparison at the end tells whether more has come.
            await self.until(
                lambda last=last: all(self._seen[stream] >= last[stream] for stream in last),
                what=f"the observer has seen {last}",
            )
            wanted = {
                (one.stream, route.stage, one.sequence)
                for one in self.log
                for route in routes
                # A timer is gone from the stream when it fires.
                if route.stream == one.stream and not one.subject.startswith("gen.timer.")
                if any(_fits(one.subject, pattern) for pattern in route.subjects)
            }
            await self.until(lambda wanted=wanted: wanted <= self._acked, what="everything is acknowledged")
            if last == {stream: (await self.js.stream_info(stream)).state.last_seq for stream in _STREAMS}:
                return


def _fits(subject: str, pattern: str) -> bool:
    tokens, wanted = subject.split("."), pattern.split(".")
    if wanted[-1] == ">":
        tokens, wanted = tokens[: len(wanted) - 1], wanted[:-1]
    return len(tokens) == len(wanted) and all(
        one in ("*", token) for token, one in zip(tokens, wanted, strict=True)
    )


@asynccontextmanager
async def running(
    settings: Settings, stages: tuple[str, ...] = pipeline.STAGES
) -> AsyncIterator[Application]:
    """Stages in this process, bound and taking messages; stopped in order at the end."""
    sink = await audit.open_sink(settings) if "audit" in stages else None
    application = assemble(settings, stages, sink=sink)
    # Few tests bring a schema that needs the process for checks: it starts with the first one.
    application.adapters.schema_worker.start = lambda: None
    life = asyncio.create_task(application.run())
    ready = asyncio.create_task(application.ready.wait())
    try:
        await asyncio.wait({life, ready}, timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
        if life.done():
            life.result()
        assert ready.done(), "the stages did not start"
        yield application
    finally:
        ready.cancel()
        application.app.exit()
        status = await asyncio.wait_for(life, PATIENCE_S)
        if sink is not None:
            await sink.close()
    assert status == 0


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Embedded]:
    async with Embedded(tmp_path_factory.mktemp("broker"), sync_interval="2m") as broker:
        yield broker


Configure = Callable[..., Settings]
Start = Callable[..., AbstractAsyncContextManager[Application]]


@pytest.fixture
def configure(_server: Embedded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Configure:
    """Settings from the environment, as a process of the pipeline reads them.

    ``rules``: let the scripted provider write every kind, under these rules.
    """
    for name in [name for name in os.environ if name.startswith(("UNDERSTUDY_", "USE_LOCAL_MODEL"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNDERSTUDY_NATS_URL", _server.url)
    monkeypatch.setenv("UNDERSTUDY_DATA_DIR", str(tmp_path / "data"))

    def make(rules: list[dict[str, Any]] | None = None, **variables: str) -> Settings:
        if rules is not None:
            script = tmp_path / "script.json"
            script.write_text(json.dumps({"rules": rules}), encoding="utf-8")
            monkeypatch.setenv("USE_LOCAL_MODEL", "true")
            monkeypatch.setenv("UNDERSTUDY_SCRIPT", str(script))
            for kind in KINDS:
                monkeypatch.setenv(f"UNDERSTUDY_NARRATIVE__PROVIDERS__{kind.upper()}", "scripted")
        for name, value in variables.items():
            monkeypatch.setenv(f"UNDERSTUDY_{name}", value)
        return load()

    return make


@pytest_asyncio.fixture
async def client(_server: Embedded) -> AsyncIterator[Observer]:
    """A client of a broker that has no streams yet."""
    nc = Client()
    await nc.connect(_server.url, allow_reconnect=False, pending_size=64 * 1024 * 1024)
    js = nc.jetstream()
    for stream in await js.streams_info():
        assert stream.config.name is not None
        await js.delete_stream(stream.config.name)
    yield Observer(nc)
    await nc.close()


@pytest.fixture
def start(client: Observer) -> Start:
    """Apply the topology of some settings, watch it, and run stages: ``async with start(settings)``."""

    @asynccontextmanager
    async def starting(
        settings: Settings, stages: tuple[str, ...] = pipeline.STAGES
    ) -> AsyncIterator[Application]:
        await topology.apply(client.nc, settings)
        await client.watch()
        async with running(settings, stages) as application:
            yield application

    return starting


def rows(settings: Settings, query: Any) -> list[dict[str, Any]]:
    """What the audit's database holds."""
    engine = database.engine_of(settings.database)
    try:
        with database.reading(engine) as connection:
            return [dict(row) for row in connection.execute(query).mappings()]
    finally:
        engine.dispose()
