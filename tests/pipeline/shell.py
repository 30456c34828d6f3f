"""The command line against a pipeline that it started itself."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import nats
import pytest
import pytest_asyncio
from nats.aio.client import Client

from tests.command_line import understudy
from tests.import_path import IMPORT_PATH


def accept_interrupts() -> None:
    """Let Ctrl-C reach a process also where a shell runs the tests in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Shell:
    """``understudy`` in one data folder."""

    def __init__(self, folder: Path) -> None:
        self.env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("UNDERSTUDY_", "USE_LOCAL"))
        } | {
            "UNDERSTUDY_DATA_DIR": str(folder),
            "UNDERSTUDY_BROKER__SYNC_INTERVAL": "2m",
            "PYTHONPATH": IMPORT_PATH,
        }
        self.nats_url = ""
        #: File with the operator's key.
        self.nats_nkey = ""

    async def start(self, *args: str, program: Sequence[str] = ("-m", "infra.cli")) -> Process:
        """A process of its own, which Ctrl-C reaches also where a shell runs the tests in the background."""
        return await asyncio.create_subprocess_exec(
            *(sys.executable, *program, *args),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=self.env,
            preexec_fn=accept_interrupts,
        )

    async def run(self, *args: str, stdin: str = "", **environment: str) -> tuple[int, str, str]:
        """Exit status, standard output and standard error of a command in this process."""
        done = await asyncio.to_thread(understudy, *args, environment=self.env | environment, stdin=stdin)
        return done.status, done.out, done.err

    async def run_process(self, *args: str) -> tuple[int, str, str]:
        """The same of a process of its own."""
        process = await self.start(*args)
        async with asyncio.timeout(100):
            out, err = await process.communicate()
        assert process.returncode is not None
        assert b"Traceback" not in err, err.decode()
        return process.returncode, out.decode(), err.decode()

    async def json(self, *args: str, stdin: str = "") -> Any:
        """The one JSON value that a command prints when all is well."""
        status, out, err = await self.run(*args, "--json", stdin=stdin)
        assert status == 0, err
        return json.loads(out)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shell(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shell]:
    """A pipeline without a model, started with ``up``; it ends with status 0."""
    folder = tmp_path_factory.mktemp("cli")
    shell = Shell(folder)
    with socket.socket() as probe:
        # Free just now; whoever takes it first makes the broker choose another.
        probe.bind(("127.0.0.1", 0))
        shell.env["UNDERSTUDY_BROKER__PORT"] = str(probe.getsockname()[1])
    process = await shell.start("up", "--json")
    assert process.stdout is not None
    async with asyncio.timeout(60):
        ready = json.loads(await process.stdout.readline())
    assert ready["ready"] is True
    shell.nats_url, shell.nats_nkey = ready["nats_url"], ready["nats_nkey"]
    assert json.loads((folder / "runtime.json").read_bytes())["nats_url"] == shell.nats_url
    yield shell
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(60):
        _, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert not (folder / "runtime.json").exists()


async def ask_plainly(url: str, subject: str, body: bytes) -> dict[str, Any]:
    """Publish with nats-py alone, and wait for the result."""
    _, _, kind, request_id = subject.split(".")
    nc = await nats.connect(url)
    results = await nc.subscribe(f"gen.result.{kind}.{request_id}")
    await nc.jetstream().publish(subject, body)
    result = await results.next_msg(timeout=30)
    await nc.close()
    return json.loads(result.data)


async def operate(shell: Shell) -> Client:
    """A plain connection with the operator's key, for what a client may not see."""
    return await nats.connect(shell.nats_url, nkeys_seed=shell.nats_nkey, inbox_prefix="_INBOX_operator")


async def letter_of(shell: Shell, request_id: str) -> dict[str, Any]:
    """The letter of a request, when it is there."""
    nc = await operate(shell)
    letters = await nc.jetstream().subscribe(f"dead.*.*.{request_id}", stream="DEAD", ordered_consumer=True)
    await letters.next_msg(timeout=30)
    await nc.close()
    (letter,) = await shell.json("dead", "ls", "--id", request_id)
    return letter


async def audited(shell: Shell, request_id: str) -> dict[str, Any]:
    """The audit's row once it is complete: audit has acknowledged all there is."""
    nc = await operate(shell)
    js = nc.jetstream()
    async with asyncio.timeout(60):
        for stream in ("REQUESTS", "EVENTS"):
            info = await js.consumer_info(stream, "audit")
            while info.num_pending or info.num_ack_pending:
                info = await js.consumer_info(stream, "audit")
    await nc.close()
    return await shell.json("audit", "show", request_id)
