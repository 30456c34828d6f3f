"""A user of the command line in an empty folder: `understudy up`, further commands, and a plain NATS subscriber beside them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import msgspec

from contracts import bucket_table, pipeline
from infra.app.pipeline_client import PipelineClient
from infra.host.parent_death import before_exec
from infra.nats import log, topology
from infra.nats.connection import dial
from infra.settings.settings import load

if TYPE_CHECKING:
    from asyncio.subprocess import Process

    from nats.aio.client import Client
    from nats.aio.msg import Msg

Say = Callable[[str], None]
#: Seconds for the pipeline to start, to end, and for one command.
_START_S: Final = 120.0
_STOP_S: Final = 60.0
COMMAND_S: Final = 300.0
#: Seconds between two looks at the consumers.
_LOOK_S: Final = 0.2


class CheckFailed(Exception):  # noqa: N818 - names the state of a check
    """A command did not end as it must; the text has what it printed."""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The JSON value that it printed."""
        try:
            return json.loads(self.out)
        except ValueError:
            raise CheckFailed(f"status {self.status}, and no JSON: {self.out}{self.err}") from None

    @property
    def lines(self) -> list[Any]:
        """The JSON values that it printed, one a line."""
        return [json.loads(each) for each in self.out.splitlines()]


class Checks:
    """Facts that must hold, and figures beside them."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self.failed: list[str] = []
        self.figures: dict[str, Any] = {}

    def expect(self, what: str, found: object, wanted: object) -> None:
        """Note whether something is as it must be."""
        holds = found == wanted
        shown = str(found) if len(str(found)) < 200 else f"{str(found)[:200]}…"  # noqa: PLR2004 - as above
        self._say(f"{'ok   ' if holds else 'WRONG'} {what}: {shown}{'' if holds else f', expected {wanted}'}")
        if not holds:
            self.failed.append(what)

    def require(self, what: str, *, holds: bool) -> None:
        """Note whether something is so."""
        self.expect(what, holds, wanted=True)

    def note(self, name: str, value: object) -> None:
        """Note a figure."""
        self.figures[name] = value
        self._say(f"      {name}: {value}")

    def report(self) -> dict[str, Any]:
        """The figures, and whether everything holds."""
        return {**self.figures, "failed": self.failed, "passed": not self.failed}


class Subscriber:
    """A plain NATS subscriber, without JetStream: what it hears, by event and request."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.heard: dict[str, dict[str, list[bytes]]] = defaultdict(lambda: defaultdict(list))

    async def listen(self, *events: str) -> None:
        """Hear these events from now on."""
        for event in events:
            await self._client.subscribe(f"gen.{event}.>", cb=self._hear)
        await self._client.flush()

    def forget(self) -> None:
        """Forget what it has heard."""
        self.heard.clear()

    def of(self, event: str) -> dict[str, list[Any]]:
        """The bodies of an event, by request."""
        return {name: [json.loads(body) for body in bodies] for name, bodies in self.heard[event].items()}

    async def _hear(self, msg: Msg) -> None:
        _, event, _, request_id = msg.subject.split(".")
        self.heard[event][request_id].append(msg.data)


class User:
    """A user with a running pipeline; made by :func:`working`."""

    def __init__(self, env: Mapping[str, str], client: PipelineClient, nats: Client) -> None:
        self._env = dict(env)
        self.client = client
        self.nats = nats
        self.subscriber = Subscriber(nats)

    async def start(self, *args: str) -> Process:
        """Start a command."""
        return await _start(self._env, *args)

    async def run(self, *args: str) -> Command:
        """Run a command to its end."""
        process = await self.start(*args)
        async with asyncio.timeout(COMMAND_S):
            out, err = await process.communicate()
        assert process.returncode is not None  # noqa: S101 - it has ended
        return Command(status=process.returncode, out=out.decode(), err=err.decode())

    async def run_json(self, *args: str) -> Any:
        """Run a command that must succeed; the JSON value that it prints."""
        done = await self.run(*args, "--json")
        if done.status:
            raise CheckFailed(f"understudy {' '.join(args)} ended with {done.status}: {done.out}{done.err}")
        return done.json

    async def settle(self, patience_s: float) -> None:
        """Wait until every consumer, that of the audit too, has acknowledged all there is, twice in a row."""
        quiet = 0
        async with asyncio.timeout(patience_s):
            while quiet < 2:  # noqa: PLR2004 - as above
                quiet = quiet + 1 if not await self._waiting() else 0
                await asyncio.sleep(_LOOK_S)

    async def _waiting(self) -> int:
        found = await asyncio.gather(
            *(topology.consumer(self.nats, route.stream, route.durable) for route in pipeline.routes())
        )
        return sum(info["num_pending"] + info["num_ack_pending"] for info in found if info is not None)

    async def read_cache(self) -> dict[str, tuple[bytes, int]]:
        """The entries of the result cache, by key: what they hold, and the sequence."""
        entries: dict[str, tuple[bytes, int]] = {}
        async for entry in log.read(
            self.client.wire, bucket_table.CACHE.stream, f"$KV.{bucket_table.CACHE.name}.>"
        ):
            # Statistics have keys of their own there; an operation is a removal.
            if "KV-Operation" not in entry.headers and b'"content_hash"' in entry.body:
                entries[entry.subject.removeprefix(f"$KV.{bucket_table.CACHE.name}.")] = (
                    entry.body,
                    entry.sequence,
                )
        return entries


async def _start(env: Mapping[str, str], *args: str) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "infra.cli",
        *args,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=env,
        preexec_fn=before_exec(),
    )


@contextlib.asynccontextmanager
async def working(**settings: str) -> AsyncGenerator[User]:
    """Start `understudy up` in an empty folder; at the end its processes and the folder are gone.

    Args:
        **settings: environment variables, without their prefix.
    """
    with TemporaryDirectory(prefix="understudy-user-") as folder:
        env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("UNDERSTUDY_", "USE_LOCAL"))
        }
        env |= {"UNDERSTUDY_DATA_DIR": folder, "UNDERSTUDY_LOG_LEVEL": "error"}
        env |= {
            name if name == "USE_LOCAL_MODEL" else f"UNDERSTUDY_{name}": each
            for name, each in settings.items()
        }
        output = (Path(folder) / "up.err").open("wb")
        with output:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "infra.cli",
                "up",
                "--json",
                stdout=asyncio.subprocess.PIPE,
                stderr=output,
                env=env,
                preexec_fn=before_exec(),
            )
        try:
            assert process.stdout is not None  # noqa: S101 - asked for above
            async with asyncio.timeout(_START_S):
                ready = json.loads(await process.stdout.readline() or b"{}")
            if not ready.get("ready"):
                raise CheckFailed(f"the pipeline does not start: {(Path(folder) / 'up.err').read_text()}")
            where = load(nats_url=ready["nats_url"], nats={"nkey": ready["nats_nkey"]})
            async with PipelineClient(where) as client:
                nats = await dial(where, name="plain-subscriber")
                try:
                    yield User(env, client, nats)
                finally:
                    await nats.close()
        finally:
            await _stop(process)


async def _stop(process: Process) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(_STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def wait_until(holds: Callable[[], bool], *, timeout_s: float) -> bool:
    """Wait until something holds; whether it does."""
    until = time.monotonic() + timeout_s
    while not holds() and time.monotonic() < until:  # noqa: ASYNC110 - any condition may be waited for
        await asyncio.sleep(0.02)
    return holds()
