"""Checks of requests' own schemas within limits: small ones here, others in a process that can be killed."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final, TypeVar

import msgspec
from cachetools import LRUCache

from contracts.content import conformance, custom
from contracts.content.conformance import Budget, TooMuchWork
from contracts.content.registry import CUSTOM, Registry
from contracts.content.verdict import Verdict
from contracts.errors import Unavailable
from infra.app.schema_worker import DEFECT, MEMORY, STARTED, Job, WorkerReply

T = TypeVar("T")

#: CPU seconds of one job: a short try first, so that large jobs do not delay small ones.
_SHORT_S: Final = 0.1
_LONG_S: Final = 1.0
#: Jobs that may wait for each of the two tries, and seconds that one may wait.
_WAITING: Final = 32
_WAIT_S: Final = 5.0
#: Seconds that the start of a server may take on a busy machine.
_START_S: Final = 30.0
#: Answers that are remembered.
_KNOWN: Final = 512
#: Seconds that a placeholder may take.
_STAND_IN_S: Final = 1.0
#: Limits of the work that is done here: bytes of schema (and for a grammar) and document, steps, checks, patterns.
_SMALL_SCHEMA: Final = 32 * 1024
_SMALL_GRAMMAR: Final = 4096
_SMALL_DOCUMENT: Final = 16_384
_SMALL_STEPS: Final = 1500
_SMALL_CHECKS: Final = 100
_SMALL_PATTERNS: Final = 2000
#: Keywords that a grammar combines, which takes work that is not counted in steps.
_HEAVY_GRAMMAR: Final = frozenset(
    {"allOf", "anyOf", "dependentSchemas", "if", "patternProperties", "oneOf", "multipleOf"}
)
_TOO_MUCH: Final = (
    f"schema: takes more than {_LONG_S:g} s or {MEMORY // 2**20} MB to check; make it simpler: fewer regular "
    "expressions, alternatives and listed values"
)


class _Ended(Exception):  # noqa: N818 - a state of a job
    """The kernel ended the child: it exceeded its time or memory."""


class _Lane:
    """Runs one job at a time, behind a bounded queue."""

    def __init__(self, cpu_s: float) -> None:
        self.cpu_s = cpu_s
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def run(self, work: Callable[[float], Awaitable[T]], *, wait_s: float) -> T:
        """Wait for the turn, then run the job.

        Raises:
            Unavailable: the queue is full, or the turn did not come in time.
        """
        if self._waiting >= _WAITING:
            raise Unavailable(f"{_WAITING} schemas wait to be checked")
        self._waiting += 1
        try:
            async with asyncio.timeout(wait_s):
                await self._turn.acquire()
        except TimeoutError:
            raise Unavailable(f"a schema waited {wait_s:g} s to be checked") from None
        finally:
            self._waiting -= 1
        try:
            return await work(self.cpu_s)
        finally:
            self._turn.release()


class SchemaWorker:
    """Server that forks a child for each job; it starts with the first job, and again after it was lost.

    Args:
        short_s: CPU seconds of a job's first try.
        long_s: CPU seconds of its second try.
        memory: bytes that a job may take.
    """

    def __init__(self, *, short_s: float = _SHORT_S, long_s: float = _LONG_S, memory: int = MEMORY) -> None:
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._lanes = (_Lane(short_s), _Lane(long_s))
        self._memory = memory

    @property
    def pid(self) -> int | None:
        """Process id of the server; ``None`` before its start."""
        return None if self._server is None else self._server.pid

    def start(self) -> None:
        """Start the server ahead of the first job, which then does not wait for it."""
        self._require_server()

    def _require_server(self) -> None:
        """Start the server unless it runs."""
        if self._server is not None and self._server.poll() is None:
            return
        self.close()
        self._control, far = socket.socketpair()
        with far:
            self._server = subprocess.Popen(  # noqa: S603 - a module of this application
                # -P: a folder `infra` in the working directory must not be imported.
                (sys.executable, "-P", "-m", "infra.app.schema_worker", str(far.fileno())),
                pass_fds=(far.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )

    async def run(self, job: Job, *, wait_s: float = _WAIT_S) -> WorkerReply | None:
        """Run a job; ``None``: it exceeded its time or memory.

        Args:
            job: the job; its limits are set here.
            wait_s: seconds to wait for the turn.

        Raises:
            Unavailable: too many jobs wait, or no child could be started.
        """
        for lane in self._lanes:
            try:
                return await lane.run(partial(self._child, job), wait_s=wait_s)
            except _Ended:
                continue
        return None

    def close(self) -> None:
        """End the server."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None

    async def _child(self, job: Job, cpu_s: float) -> WorkerReply:
        job = msgspec.structs.replace(job, cpu_s=cpu_s, memory=self._memory)
        near, far = socket.socketpair()
        try:
            with far:
                self._send(far)
            reader, writer = await asyncio.open_unix_connection(sock=near)
        except OSError as error:
            near.close()
            raise Unavailable(f"no worker for schemas: {error}") from error
        try:
            return await self._talk(reader, writer, job)
        except OSError:
            raise _Ended from None
        finally:
            writer.close()

    async def _talk(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, job: Job
    ) -> WorkerReply:
        try:
            async with asyncio.timeout(_START_S):
                started = await reader.read(1) == STARTED
        except TimeoutError:
            started = False
        if not started:
            self.close()
            raise Unavailable("the worker for schemas did not start")
        writer.write(msgspec.json.encode(job))
        writer.write_eof()
        said = await reader.read(-1)
        if not said:
            raise _Ended
        if said.startswith(DEFECT):
            raise RuntimeError(f"the worker for schemas: {said[1:].decode('utf-8', 'replace')}")
        return msgspec.json.decode(said, type=WorkerReply)

    def _send(self, handle: socket.socket) -> None:
        """Send a child's end of its socket to the server."""
        self._require_server()
        control = self._control
        if control is None:
            raise OSError("it was closed")
        socket.send_fds(control, [b"j"], [handle.fileno()])


class CheckedContents:
    """The content kinds; implements :class:`contracts.ports.Contents`.

    Built-in kinds and small schemas are checked here, in less than 20 ms; other schemas in a worker, each within
    limits of time and memory.  Answers are remembered, so that a redelivery or an equal request repeats no work.

    Args:
        registry: the kinds.
        worker: runs large jobs; ``None``: everything runs here, limited in steps alone.
        grammar: whether a grammar must support every schema; ``registry`` then refuses the others.
        wait_s: seconds to wait for the worker's turn.
    """

    def __init__(
        self,
        registry: Registry,
        worker: SchemaWorker | None = None,
        *,
        grammar: bool = False,
        wait_s: float = _WAIT_S,
    ) -> None:
        self._registry = registry
        self._worker = worker
        self._grammar = grammar
        self._wait_s = wait_s
        self._known: LRUCache[str, Any] = LRUCache(_KNOWN)
        self._doing: dict[str, asyncio.Task[Any]] = {}

    def schema(self, kind: str, own: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """The JSON Schema of a kind, or the request's own."""
        return self._registry.schema(kind, own)

    async def verdict(self, own: Mapping[str, Any]) -> Verdict:
        """Whether a request's own JSON Schema can be used.

        Raises:
            Unavailable: too many jobs wait.
        """
        worker = self._worker
        if worker is None:
            return self._registry.verdict(own)
        try:
            encoded, schema = _read(own)
        except custom.Unusable as error:
            return Verdict(refusal=str(error))

        async def work() -> Verdict:
            found = await worker.run(
                Job(do="verdict", schema=encoded, grammar=self._grammar),
                wait_s=self._wait_s,
            )
            return Verdict(refusal=_TOO_MUCH) if found is None else found.verdict

        small = _small(schema)
        if self._grammar and schema is not None:
            small = (
                small
                and not schema.nested_values
                and not _HEAVY_GRAMMAR & schema.words
                and len(encoded) <= _SMALL_GRAMMAR
            )
        return await self._found(
            "verdict",
            encoded,
            b"",
            at_once=(lambda budget: self._registry.verdict(own, budget)) if small else None,
            work=work,
        )

    async def faults(self, kind: str, document: Any, own: Mapping[str, Any] | None) -> tuple[str, ...]:
        """Why the document is not valid, one line per fault with its path; empty when it is.

        Raises:
            Unavailable: too many jobs wait.
        """
        beyond = conformance.unsound(document)
        if beyond is not None:
            return (beyond,)
        worker = self._worker
        if kind != CUSTOM or own is None or worker is None:
            return self._registry.faults(kind, document, own)
        try:
            encoded, schema = _read(own)
        except custom.Unusable as error:
            return (f"schema: cannot be used: {error}",)
        written = msgspec.json.encode(document)

        async def work() -> tuple[str, ...]:
            found = await worker.run(
                Job(do="faults", schema=encoded, document=written),
                wait_s=self._wait_s,
            )
            return (_TOO_MUCH,) if found is None else found.faults

        small = _small(schema) and len(written) <= _SMALL_DOCUMENT
        return await self._found(
            "faults",
            encoded,
            written,
            at_once=(lambda budget: self._registry.faults(kind, document, own, budget)) if small else None,
            work=work,
        )

    async def placeholder(self, kind: str, own: Mapping[str, Any] | None) -> Any | None:
        """A valid, labelled placeholder document; ``None`` where none can be built in time."""
        worker = self._worker
        if kind != CUSTOM or own is None or worker is None:
            return self._registry.placeholder(kind, own)
        try:
            encoded, schema = _read(own)
        except custom.Unusable:
            return None

        async def work() -> Any | None:
            found = await worker.run(Job(do="placeholder", schema=encoded), wait_s=self._wait_s)
            return None if found is None else found.placeholder

        try:
            async with asyncio.timeout(_STAND_IN_S):
                return await self._found(
                    "placeholder",
                    encoded,
                    b"",
                    at_once=(lambda budget: self._registry.placeholder(kind, own, budget))
                    if _small(schema)
                    else None,
                    work=work,
                )
        except (TimeoutError, Unavailable):
            # A stand-in must not be late.
            return None

    async def _found(
        self,
        what: str,
        schema: bytes,
        document: bytes,
        *,
        at_once: Callable[[Budget], T] | None,
        work: Callable[[], Awaitable[T]],
    ) -> T:
        """The remembered answer, else one worked out here, else the worker's; equal jobs at a time run once."""
        key = f"{what} {hashlib.sha256(schema + b' ' + document).hexdigest()}"
        if key in self._known:
            return self._known[key]
        if at_once is not None:
            try:
                return self._remember(key, at_once(Budget(_SMALL_STEPS)))
            except TooMuchWork:
                pass
        doing = self._doing.get(key)
        if doing is None:
            doing = asyncio.ensure_future(self._work(key, work()))
            self._doing[key] = doing
            doing.add_done_callback(partial(self._done, key))
        return await asyncio.shield(doing)

    async def _work(self, key: str, work: Awaitable[T]) -> T:
        return self._remember(key, await work)

    def _done(self, key: str, doing: asyncio.Task[Any]) -> None:
        del self._doing[key]
        if not doing.cancelled():
            doing.exception()  # retrieved here, in case no caller waits any more

    def _remember(self, key: str, found: T) -> T:
        self._known[key] = found
        return found


def _read(own: Mapping[str, Any]) -> tuple[bytes, custom.Usable | None]:
    """A schema as JSON; and as checked, unless that takes long.

    Raises:
        Unusable: it cannot be used.
    """
    encoded = custom.encode(own)
    if len(encoded) > _SMALL_SCHEMA:
        return encoded, None
    return encoded, custom.usable(own)


def _small(schema: custom.Usable | None) -> bool:
    """Whether a schema is small in everything but its steps, which are counted as it is checked."""
    return schema is not None and schema.checks <= _SMALL_CHECKS and schema.pattern_weight <= _SMALL_PATTERNS
