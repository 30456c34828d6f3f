"""llama.cpp in a child process: started when it is first needed, and again after it has ended.

A file that llama.cpp cannot read ends the child and not the stage.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import time
from collections import deque
from importlib import metadata
from typing import TYPE_CHECKING, Final

import msgspec

from infra.engine.files import Unloadable
from infra.engine.task import EngineError
from infra.host.parent_death import before_exec
from infra.providers.answer_limits import TINY_BYTES
from infra.providers.llama_child import ChildConfig

if TYPE_CHECKING:
    from infra.providers.gguf_files import GgufModel
    from infra.settings.narrative import Gguf

#: Seconds without a sign of life after which a load has failed; a file of many gigabytes takes minutes.
_LOAD_S: Final = 600.0
#: Seconds between the end of its connections and its exit status.
_STATUS_S: Final = 0.5
#: Lines of the child's standard error that are kept for a message, and characters of each.
_LINES: Final = 20
_WIDTH: Final = 300

_log = logging.getLogger(__name__)


class RunningChild(msgspec.Struct, frozen=True, kw_only=True):
    """A child that answers."""

    url: str
    process: asyncio.subprocess.Process


class LlamaServer:
    """The child that serves one model.

    Args:
        model: its files.
        settings: how many requests at once, and of what length.
        api_key: key that requests show.
    """

    def __init__(self, model: GgufModel, settings: Gguf, api_key: str) -> None:
        self._model = model
        self._settings = settings
        self._api_key = api_key
        #: The library with its version; it decides what a seed gives.
        self.identity = f"xllamacpp {metadata.version('xllamacpp')}"
        self._running: RunningChild | None = None
        #: Its start; each call waits as long as it has time, and none ends it.
        self._starting: asyncio.Task[RunningChild] | None = None
        self._said: deque[str] = deque(maxlen=_LINES)
        self._reader: asyncio.Task[None] | None = None

    async def ready(self) -> RunningChild:
        """The child, started if it does not run.

        Raises:
            Unloadable: the model's files cannot be used.
            EngineError: the child ended, or did not answer.
        """
        running = self._running
        if running is not None and running.process.returncode is None:
            return running
        if self._starting is None or self._starting.done():
            self._running = None
            self._model.check()
            self._starting = asyncio.create_task(self._start())
        return await asyncio.shield(self._starting)

    async def ended(self) -> int | None:
        """The child's exit status, if it has just ended by itself; ``None``: it runs."""
        if self._running is None:
            return None
        with contextlib.suppress(TimeoutError):
            # The connection breaks before the status is known.
            async with asyncio.timeout(_STATUS_S):
                return await self._running.process.wait()
        return None

    async def close(self) -> None:
        """End the child."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait({self._starting})
        running, self._running = self._running, None
        if running is not None:
            await _end(running.process)
        if self._reader is not None:
            self._reader.cancel()

    async def _start(self) -> RunningChild:
        settings = self._settings
        tiny = self._model.file.stat().st_size < TINY_BYTES
        config = ChildConfig(
            model=str(self._model.file),
            adapters=tuple(map(str, self._model.adapters)),
            merged=self._model.name if self._model.adapters and tiny else "",
            rows=settings.rows,
            max_len=settings.max_len,
            threads=settings.threads or os.cpu_count() or 1,
            gpu_layers=settings.gpu_layers,
            api_key=self._api_key,
        )
        process = await asyncio.create_subprocess_exec(
            # -P: a folder `infra` in the working directory must not be imported.
            *(sys.executable, "-P", "-m", "infra.providers.llama_child"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            # Threads that spin at a barrier while another program holds a core made one token take seconds.
            env={**os.environ, "OMP_WAIT_POLICY": "passive"},
            preexec_fn=before_exec(),
        )
        assert process.stdin is not None  # noqa: S101 - asked for above
        assert process.stdout is not None  # noqa: S101
        self._said.clear()
        self._reader = asyncio.create_task(self._read_errors(process))
        began = time.monotonic()
        try:
            process.stdin.write(msgspec.json.encode(config) + b"\n")
            async with asyncio.timeout(_LOAD_S):
                line = await process.stdout.readline()
        except (OSError, TimeoutError) as error:
            await _end(process)
            spent = time.monotonic() - began
            raise EngineError(
                f"llama.cpp did not load {self._model.file} in {spent:.0f} s", retryable=True
            ) from error
        except BaseException:
            process.kill()
            raise
        if not line:
            status = await process.wait()
            await asyncio.wait({self._reader}, timeout=1)
            raise Unloadable(
                f"llama.cpp cannot load {self._model.file} (it ended with status {status}): {self._last_words()}"
            )
        loaded: dict[str, str] = msgspec.json.decode(line)
        if loaded["unmerged"]:
            _log.warning("the adapters stay beside the model, which is slower: %s", loaded["unmerged"])
        # Here, and not by a call that waits: none may wait any more.
        self._running = RunningChild(url=loaded["url"], process=process)
        return self._running

    async def _read_errors(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None  # noqa: S101 - asked for at the start
        while True:
            try:
                line = await process.stderr.readline()
            except ValueError:
                # A line longer than the reader's buffer.
                continue
            if not line:
                return
            text = line.decode("utf-8", "replace").strip()
            if text:
                self._said.append(text[:_WIDTH])

    def _last_words(self) -> str:
        said = [each for each in self._said if "error" in each.lower()] or list(self._said)
        return "; ".join(said[-3:]) or "it said nothing"


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
