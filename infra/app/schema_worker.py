"""Worker process for requests' own schemas, whose jobs can be killed.

A server imports what the jobs need, once, and forks a child for each job.  The kernel ends a child that exceeds its
time or memory; the server itself never decodes what a request brought.  A job comes over a socket of its own, and its
answer goes back the same way; no answer means that the child was ended.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from contracts.content.registry import Registry
from contracts.content.verdict import Verdict
from infra.host.parent_death import before_exec

if TYPE_CHECKING:
    from collections.abc import Mapping

#: First byte that a child sends: it has started, and an end after it is caused by the job.
STARTED: Final = b"+"
#: First byte of an answer that reports a defect.
DEFECT: Final = b"!"
#: Memory of a child above the server's, bytes.
MEMORY: Final = 512 * 1024 * 1024
#: Wall-clock seconds per CPU second, for a busy machine.
_WALL_FACTOR: Final = 5


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job."""

    do: Literal["verdict", "faults", "placeholder"]
    #: The request's own JSON Schema, as JSON.
    schema: bytes
    #: The document to check, as JSON.
    document: bytes = b"null"
    #: CPU seconds.
    cpu_s: float = 1.0
    #: Bytes of memory above those that the child begins with.
    memory: int = MEMORY
    #: Whether a grammar must support the schema.
    grammar: bool = False


class WorkerReply(msgspec.Struct, frozen=True, kw_only=True):
    """A child's answer."""

    verdict: Verdict = Verdict()
    faults: tuple[str, ...] = ()
    placeholder: Any = None


def serve(control: socket.socket) -> None:
    """Fork a child for each socket that comes over the control socket, until that is closed."""
    # A terminal's interrupt goes to the whole process group; this server ends when its socket is closed.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    _warm_up()
    # The objects so far stay shared with the children.
    gc.collect()
    gc.freeze()
    while True:
        message, (*handles,), *_ = socket.recv_fds(control, 1, 1)
        if not message:
            return
        prepare = before_exec(nice=5)
        if os.fork():
            for handle in handles:
                os.close(handle)
            continue
        control.close()
        prepare()
        try:
            with socket.socket(fileno=handles[0]) as line:
                _work(line)
        finally:
            # A child must never return to the server's loop.
            os._exit(0)


def _work(line: socket.socket) -> None:
    line.sendall(STARTED)
    job = msgspec.json.decode(_read(line), type=Job)
    _limit(job.cpu_s, job.memory)
    try:
        said = msgspec.json.encode(answer(job))
    except MemoryError:
        return
    except Exception as error:  # noqa: BLE001 - reported where the request is answered
        said = DEFECT + repr(error)[:500].encode("utf-8", "replace")
    line.sendall(said)


def _read(line: socket.socket) -> bytes:
    parts: list[bytes] = []
    while part := line.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


def _limit(cpu_s: float, memory: int) -> None:
    """Make the kernel end this process past its time or memory; both signals end it, as none is caught."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    most = _size() + memory
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    signal.setitimer(signal.ITIMER_PROF, cpu_s)
    signal.setitimer(signal.ITIMER_REAL, cpu_s * _WALL_FACTOR)
    # The engine prints while it is being ended; nothing reads that.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _size() -> int:
    """Bytes of this process's address space."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:
        return 1 << 30
    return pages * resource.getpagesize()


def answer(job: Job) -> WorkerReply:
    """Run one job in this process."""
    schema: Mapping[str, Any] = msgspec.json.decode(job.schema)
    registry = Registry(refuses=grammar_verdict if job.grammar else None)
    match job.do:
        case "verdict":
            return WorkerReply(verdict=registry.verdict(schema))
        case "faults":
            return WorkerReply(faults=registry.faults("custom", msgspec.json.decode(job.document), schema))
        case "placeholder":
            return WorkerReply(placeholder=registry.placeholder("custom", schema))


def grammar_verdict(schema: Mapping[str, Any]) -> Verdict:
    """What the local model's grammar says of a schema."""
    from infra.engine.grammar import check  # noqa: PLC0415 - part of the extra

    return check(schema)


def _warm_up() -> None:
    """Import and compile what the first job needs."""
    with contextlib.suppress(ImportError):
        grammar_verdict({"type": "object"})
    Registry().verdict({"type": "object", "properties": {"a": {"type": "string", "pattern": "a"}}})


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
