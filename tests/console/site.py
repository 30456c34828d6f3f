"""A running pipeline with the scripted provider, as a user starts it, and calls of its gateway."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
import nats

from tests.ports import free_port

#: What the scripted provider does, by the beginning of a request's id.
RULES: Final[list[dict[str, Any]]] = [
    {"match": {"stage": "freeform-gen", "request_id": "late-*"}, "do": "timeout", "after_ms": 50},
    {"match": {"stage": "freeform-gen", "request_id": "slow-*"}, "do": "slow", "after_ms": 2500},
    {"match": {"stage": "structuring", "request_id": "odd-*"}, "do": "malformed", "text": "no document"},
]
#: An experiment about one node.
EXPERIMENT: Final = """\
says = "Are gates valid more often with less heat?"
unit = "request"
nodes = ["tone-gate"]
minimum = 30
[[arms]]
name = "as-is"
[[arms]]
name = "cool"
set = ["params.temperature=0.3"]
"""
KINDS: Final = ("layout", "plot", "scene", "dialogue", "transition", "custom")
#: Seconds within which everything is ready.
_START_S: Final = 60.0


class Site:
    """A pipeline's folder and its gateway.

    Args:
        folder: its working folder.
        url: address of its gateway.
        process: the supervisor.
    """

    def __init__(self, folder: Path, url: str, process: subprocess.Popen[bytes]) -> None:
        self.folder = folder
        self.url = url
        self.process = process

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The JSON of an answer."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = httpx2.request(method, self.url + path, json=body, headers=given, timeout=60)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def ask(
        self, request_id: str, prompt: str = "a forest with three coins", **fields: Any
    ) -> dict[str, Any]:
        """A request and its result."""
        found = self.call(
            "POST", "/generate", {"kind": "layout", "prompt": prompt, **fields}, Idempotency_Key=request_id
        )
        assert isinstance(found, dict)
        return found

    def wait_for_rows(self, number: int, query: str = "") -> None:
        """Wait until the audit lists so many requests."""
        until = time.monotonic() + 30
        while True:
            answer = httpx2.get(f"{self.url}/api/v1/generations?limit=1000{query}", timeout=60)
            # At first there is no database.
            if answer.is_success and len(answer.json()["items"]) >= number:
                return
            assert time.monotonic() < until, "the audit does not list the requests"
            time.sleep(0.1)

    def publish(self, subject: str, body: Any) -> None:
        """Put a message into the pipeline that no client checks."""

        async def send() -> None:
            connection = await nats.connect(self.nats_url)
            try:
                await connection.jetstream().publish(subject, json.dumps(body).encode())
            finally:
                await connection.close()

        # The browser's driver has the loop of this thread.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(asyncio.run, send()).result(60)

    def refuse(self, request_id: str) -> int:
        """A request that the pipeline refuses, and the number of its dead letter."""
        self.publish(f"gen.requested.layout.{request_id}", {"prompt": "a mill", "params": {"temperature": 9}})
        until = time.monotonic() + 30
        while not (found := self.call("GET", f"/api/v1/dead-letters?id={request_id}")["items"]):
            assert time.monotonic() < until, "there is no letter about the request"
            time.sleep(0.1)
        return int(found[0]["sequence"])

    @property
    def nats_url(self) -> str:
        """Address of its broker."""
        return str(self._runtime()["nats_url"])

    @property
    def nats_keys(self) -> str:
        """Folder with the keys of its broker's roles."""
        return str(self._runtime()["nats_keys"])

    def pids(self) -> Mapping[str, int]:
        """Processes by name."""
        return dict(self._runtime()["pids"])

    def _runtime(self) -> dict[str, Any]:
        found = json.loads((self.folder / ".understudy" / "runtime.json").read_text(encoding="utf-8"))
        assert isinstance(found, dict)
        return found


@contextmanager
def run_site(folder: Path, **variables: str) -> Generator[Site]:
    """Start a pipeline in a folder, and stop it."""
    script = folder / "script.json"
    script.write_text(json.dumps({"rules": RULES}), encoding="utf-8")
    plans = folder / "experiments"
    plans.mkdir()
    (plans / "tone.toml").write_text(EXPERIMENT, encoding="utf-8")
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("UNDERSTUDY_")}
    environment |= {
        "USE_LOCAL_MODEL": "true",
        "UNDERSTUDY_SCRIPT": str(script),
        "UNDERSTUDY_EXPERIMENTS_DIR": str(plans),
        "UNDERSTUDY_GATEWAY__PORT": str(port),
        "UNDERSTUDY_BROKER__PORT": str(free_port()),
        "UNDERSTUDY_BROKER__SYNC_INTERVAL": "2m",
        **{f"UNDERSTUDY_NARRATIVE__PROVIDERS__{kind.upper()}": "scripted" for kind in KINDS},
        **variables,
    }
    with (folder / "up.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "infra.cli", "up"], cwd=folder, env=environment, stdout=log, stderr=log
        )
    try:
        _wait_until_ready(f"http://127.0.0.1:{port}/readyz", process, folder / "up.log")
        yield Site(folder, f"http://127.0.0.1:{port}", process)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _START_S
    while True:
        try:
            httpx2.get(url, timeout=5).raise_for_status()
        except httpx2.HTTPError:
            if process.poll() is not None or time.monotonic() > until:
                raise AssertionError(log.read_text(encoding="utf-8")) from None
            time.sleep(0.1)
        else:
            return
