"""Process that works on strangers' schemas and can be killed.

A server imports what the work needs, once, and forks a child for each job.  The kernel ends a child that takes
too much time or memory; the server itself never looks at what a stranger wrote.  A job comes over a socket of
its own, and its answer goes back the same way: no answer means that the child was ended.
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

#: First byte of a line: the child is there, so what comes after it is its own doing.
STARTED: Final = b"+"
#: First byte of an answer that tells of a defect.
DEFECT: Final = b"!"
#: Memory of a child beside the server's, bytes.
MEMORY: Final = 512 * 1024 * 1024
#: Seconds by the clock for each second of computing: a busy machine is nobody's fault.
_PATIENCE: Final = 5


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What a child is asked."""

    do: Literal["verdict", "faults", "placeholder"]
    #: The request's own JSON Schema, as JSON.
    schema: bytes
    #: What is held against it, as JSON.
    document: bytes = b"null"
    #: Seconds of computing.
    cpu_s: float = 1.0
    #: Bytes of memory beside those that the child begins with.
    memory: int = MEMORY
    #: Whether a grammar has to hold the schema.
    grammar: bool = False


class WorkerReply(msgspec.Struct, frozen=True, kw_only=True):
    """What a child found."""

    verdict: Verdict = Verdict()
    faults: tuple[str, ...] = ()
    placeholder: Any = None


def serve(control: socket.socket) -> None:
    """Fork a child for each socket that comes over the control socket, until that is closed."""
    # Whoever waits for the children of a terminal's process group ends this one by closing its socket.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    _warm_up()
    # What is there by now stays shared with the children.
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
            # Whatever happens, a child never comes back to the server's loop.
            os._exit(0)


def _work(line: socket.socket) -> None:
    line.sendall(STARTED)
    job = msgspec.json.decode(_read(line), type=Job)
    _limit(job.cpu_s, job.memory)
    try:
        said = msgspec.json.encode(answer(job))
    except MemoryError:
        return
    except Exception as error:  # noqa: BLE001 - told where the request is answered
        said = DEFECT + repr(error)[:500].encode("utf-8", "replace")
    line.sendall(said)


def _read(line: socket.socket) -> bytes:
    parts: list[bytes] = []
    while part := line.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


def _limit(cpu_s: float, memory: int) -> None:
    """Let the kernel end this process past its time or memory; both signals end it unless they are caught."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    most = _size() + memory
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    signal.setitimer(signal.ITIMER_PROF, cpu_s)
    signal.setitimer(signal.ITIMER_REAL, cpu_s * _PATIENCE)
    # The engine's last words are for nobody.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _size() -> int:
    """Bytes of addresses that this process has."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:
        return 1 << 30
    return pages * resource.getpagesize()


def answer(job: Job) -> WorkerReply:
    """Do one job, here and now."""
    schema: Mapping[str, Any] = msgspec.json.decode(job.schema)
    registry = Registry(refuses=grammar_refusal if job.grammar else None)
    match job.do:
        case "verdict":
            return WorkerReply(verdict=registry.verdict(schema))
        case "faults":
            return WorkerReply(faults=registry.faults("custom", msgspec.json.decode(job.document), schema))
        case "placeholder":
            return WorkerReply(placeholder=registry.placeholder("custom", schema))


def grammar_refusal(schema: Mapping[str, Any]) -> str | None:
    """Why the local model's grammar cannot hold a schema; ``None`` when it can."""
    from infra.engine.grammar import unsupported  # noqa: PLC0415 - part of the extra

    why = unsupported(schema)
    return None if why is None else f"the local model cannot be held to it: {why}"


def _warm_up() -> None:
    """Import and compile what the first job would."""
    with contextlib.suppress(ImportError):
        grammar_refusal({"type": "object"})
    Registry().verdict({"type": "object", "properties": {"a": {"type": "string", "pattern": "a"}}})


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
