"""CPU time of processes (Linux)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from infra.lab.bench.sampler import children

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
#: User and system time among the fields of ``/proc/<pid>/stat`` that follow the command's name.
_USER, _SYSTEM = 11, 12


def used_s(pid: int) -> float:
    """Seconds of CPU time that a process has used, its ended children left out; 0 where there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0.0
    fields = stat.rpartition(")")[2].split()
    return (int(fields[_USER]) + int(fields[_SYSTEM])) / _TICKS_PER_S


def used_by(processes: Mapping[str, int]) -> dict[str, float]:
    """Seconds of CPU time by name, of each process with its running children.

    Args:
        processes: process ids by name.
    """
    below = children()
    return {
        name: used_s(pid) + sum(used_s(one) for one in below.get(pid, ())) for name, pid in processes.items()
    }


def per_request_ms(
    before: Mapping[str, float], after: Mapping[str, float], requests: int
) -> dict[str, float]:
    """Milliseconds of CPU time per request by process, and their sum as ``total``.

    Args:
        before: seconds used by name, before the requests.
        after: the same, after them.
        requests: how many there were.
    """
    each = {name: (after[name] - used) * 1000 / requests for name, used in before.items()}
    return {**each, "total": sum(each.values())}
