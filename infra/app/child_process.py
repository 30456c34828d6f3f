"""One run of a child process, from its start to its end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Self, cast

from contracts.errors import UnderstudyError
from infra.host import heartbeat, parent_death

#: What a child creates is its owner's alone.
UMASK: Final = 0o077
#: Bytes; of a longer line on standard output the end is a line of its own.
_LINE: Final = 1024 * 1024
#: Seconds in which the last words of an ended process arrive.
_LAST_WORDS_S: Final = 0.5


class StartError(UnderstudyError):
    """A process cannot be started; the text is the system's reason.

    Args:
        error: the reason.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error) or type(error).__name__)
        #: False where another try is no use: the program is not there.
        self.passing = not isinstance(error, FileNotFoundError | PermissionError)


class ChildProcess(asyncio.SubprocessProtocol):
    """A child process that beats (see :mod:`infra.host.heartbeat`) and prints lines.

    Its end is its own: what it started may hold its output open for longer.
    """

    def __init__(self, told: Callable[[bytes], None], beats_from: int) -> None:
        self._told = told
        self._beats = beats_from
        self._rest = b""
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._silent = asyncio.Event()
        self._transport: asyncio.SubprocessTransport

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        nice: int,
        told: Callable[[bytes], None],
    ) -> Self:
        """Start a process.

        Args:
            command: program and arguments.
            env: its whole environment, but for where to beat.
            nice: how much more readily than its parent it gives the processor away.
            told: gets every line of its standard output.

        Raises:
            StartError: the system refuses.
        """
        try:
            reading, writing = os.pipe()
        except OSError as error:
            raise StartError(error) from error
        os.set_blocking(reading, False)
        try:
            _, life = await asyncio.get_running_loop().subprocess_exec(
                lambda: cls(told, reading),
                *command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=None,
                env={**env, heartbeat.VARIABLE: str(writing)},
                pass_fds=(writing,),
                umask=UMASK,
                preexec_fn=parent_death.before_exec(nice=nice),
                # Ctrl-C in a terminal is for the supervisor, which stops them in order.
                process_group=0,
            )
        except (OSError, subprocess.SubprocessError, RuntimeError) as error:
            # RuntimeError: no thread for whoever waits for the process' end.
            os.close(reading)
            raise StartError(error) from error
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        return life

    @property
    def pid(self) -> int:
        """Process id."""
        return self._transport.get_pid()

    @property
    def alive(self) -> bool:
        """Has it not ended yet?"""
        return not self._ended.done()

    def beaten(self) -> bool:
        """Did it beat since the last look?"""
        return self.alive and heartbeat.heard(self._beats)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it is still there."""
        if self.alive:
            with suppress(ProcessLookupError):
                self._transport.send_signal(number)

    def kill(self) -> None:
        """End it at once, and what it started with it."""
        if self.alive:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    async def wait(self) -> int:
        """Wait for its end; its exit status, negative for a signal."""
        try:
            status = await asyncio.shield(self._ended)
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORDS_S):
                    await self._silent.wait()
        finally:
            if not self.alive:
                self._transport.close()
                os.close(self._beats)
        if self._rest:
            self._told(self._rest)
        return status

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop when the process is there."""
        self._transport = cast("asyncio.SubprocessTransport", transport)

    def pipe_data_received(self, fd: int, data: Any) -> None:
        """Called by the loop with a part of the output."""
        del fd
        *lines, self._rest = (self._rest + bytes(data)).split(b"\n")
        if len(self._rest) > _LINE:
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            self._told(line)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """Called by the loop when nobody holds the output any more."""
        del fd, exc
        self._silent.set()

    def process_exited(self) -> None:
        """Called by the loop at the end of the process, whoever still holds its output."""
        status = self._transport.get_returncode()
        if not self._ended.done():
            self._ended.set_result(-signal.SIGKILL if status is None else status)
