"""Ports of this machine that are free just now."""

from __future__ import annotations

import socket
from typing import Final

HOST: Final = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """Different ports; whoever takes one first makes the broker say so."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind((HOST, 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def free_port() -> int:
    """One port."""
    return free_ports(1)[0]
