"""Network of a bench: the servers of a cluster, and the pipeline, each in a network namespace, with cables to cut.

Everything is in namespaces that end with the bench: no address or route of this machine is touched.  Linux, as root.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Final

from infra.host import parent_death
from infra.nats.cluster import NODES, NodePorts

#: ``CLONE_NEWNET`` of ``unshare(2)``.
_NEW_NETWORK: Final = 0x40000000
_NETWORK: Final = "10.77.0"
#: In a namespace of its own every port is free.
PORTS: Final = NodePorts(client=4222, route=6222)
#: ``ESTABLISHED`` in ``/proc/net/tcp``.
_ESTABLISHED: Final = "01"
#: Seconds for a namespace to come up.
_UP_S: Final = 10.0


class NoNamespaces(Exception):  # noqa: N818 - names what the machine lacks
    """This machine gives no network namespaces; the text says why."""


class BenchNetwork:
    """Namespaces of the servers, joined with this process's own by a switch.

    Made by :func:`laid`.
    """

    def __init__(self, switch: int, nodes: tuple[int, ...]) -> None:
        self._switch = switch
        self._nodes = nodes

    @property
    def hosts(self) -> tuple[str, ...]:
        """Address of each server."""
        return tuple(_address(node) for node in range(NODES))

    @property
    def inside(self) -> tuple[tuple[str, ...], ...]:
        """What the command of each server begins with."""
        return tuple(_enter(pid) for pid in self._nodes)

    async def cut(self, node: int | None, seconds: float) -> None:
        """Cut the cable of a server, or of this process and its children (``None``), for some seconds."""
        cable = _cable(node)
        await asyncio.to_thread(_run, *_enter(self._switch), "ip", "link", "set", cable, "down")
        try:
            await asyncio.sleep(seconds)
        finally:
            _run(*_enter(self._switch), "ip", "link", "set", cable, "up")


@contextlib.contextmanager
def laid() -> Generator[BenchNetwork]:
    """Move this process into a namespace of its own, and lay cables from there to one for each server.

    Call it in the main thread, before anything connects or listens: what was opened before stays outside.

    Raises:
        NoNamespaces: the machine does not permit it.
    """
    if sys.platform != "linux":
        raise NoNamespaces("network namespaces are Linux's")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_NETWORK):
        raise NoNamespaces(f"a network namespace was refused: {os.strerror(ctypes.get_errno())}; run as root")
    holders: list[subprocess.Popen[bytes]] = []
    try:
        try:
            holders += [_hold() for _ in range(NODES + 1)]
            switch, *nodes = (each.pid for each in holders)
            _lay(switch, tuple(nodes))
        except (OSError, subprocess.CalledProcessError) as error:
            raise NoNamespaces(f"the namespaces cannot be joined: {error}") from error
        yield BenchNetwork(switch, tuple(nodes))
    finally:
        for each in holders:
            each.send_signal(signal.SIGKILL)
            each.wait()


def _hold() -> subprocess.Popen[bytes]:
    """A process that keeps a namespace; it ends with this one."""
    holder = subprocess.Popen(
        ["unshare", "--net", "sleep", "infinity"],  # noqa: S607 - util-linux
        preexec_fn=parent_death.before_exec(),  # noqa: PLW1509 - no other thread runs yet
    )
    give_up = time.monotonic() + _UP_S
    while _namespace(holder.pid) == _namespace(os.getpid()):
        if holder.poll() is not None or time.monotonic() > give_up:
            raise OSError(f"unshare ended with status {holder.poll()}")
        time.sleep(0.01)
    return holder


def _namespace(pid: int) -> str:
    return str(Path(f"/proc/{pid}/ns/net").readlink())


def _lay(switch: int, nodes: tuple[int, ...]) -> None:
    on_switch = _enter(switch)
    _run(*on_switch, "ip", "link", "add", "switch", "type", "bridge")
    _run(*on_switch, "ip", "link", "set", "switch", "up")
    for node, pid in ((None, os.getpid()), *enumerate(nodes)):
        cable = _cable(node)
        end = ("type", "veth", "peer", "name", "up0", "netns", str(pid))
        _run(*on_switch, "ip", "link", "add", cable, *end)
        _run(*on_switch, "ip", "link", "set", cable, "master", "switch", "up")
        inside = _enter(pid)
        _run(*inside, "ip", "link", "set", "lo", "up")
        _run(*inside, "ip", "address", "add", f"{_address(node)}/24", "dev", "up0")
        _run(*inside, "ip", "link", "set", "up0", "up")


def _enter(pid: int) -> tuple[str, ...]:
    return ("nsenter", "--target", str(pid), "--net")


def _cable(node: int | None) -> str:
    return "stages" if node is None else f"node{node}"


def _address(node: int | None) -> str:
    return f"{_NETWORK}.{1 if node is None else 10 + node}"


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - commands of this module


def remote_ends(pid: int) -> set[str]:
    """``host:port`` of what a process is connected to, from ``/proc`` (Linux)."""
    sockets = set()
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            sockets.add(str(each.readlink()).removeprefix("socket:[").removesuffix("]"))
    found: set[str] = set()
    for line in Path(f"/proc/{pid}/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        fields = line.split()
        if fields[3] == _ESTABLISHED and fields[9] in sockets:
            address, port = fields[2].split(":")
            # The kernel prints the address as a number of this machine's byte order.
            host = ".".join(str(part) for part in bytes.fromhex(address)[::-1])
            found.add(f"{host}:{int(port, 16)}")
    return found
