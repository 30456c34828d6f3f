"""Target file: the processes that Prometheus scrapes, for its ``file_sd_configs``.

``<data_dir>/prometheus-targets.json``, written by ``understudy up``.
Source: https://prometheus.io/docs/prometheus/latest/configuration/configuration/#file_sd_config
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from infra.host import atomic_file

FILE: Final = "prometheus-targets.json"


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses that share labels."""

    #: Each ``HOST:PORT``.
    targets: tuple[str, ...]
    labels: dict[str, str]


def write(folder: Path, targets: Sequence[Target]) -> None:
    """Write the file atomically.

    Raises:
        OSError: it cannot be written.
    """
    atomic_file.write(folder / FILE, msgspec.json.format(msgspec.json.encode(targets)) + b"\n")


def read(folder: Path) -> list[Target]:
    """What the file of a data folder says."""
    return msgspec.json.decode((folder / FILE).read_bytes(), type=list[Target])


def clear(folder: Path) -> None:
    """Remove the file: Prometheus drops its targets."""
    with suppress(OSError):
        (folder / FILE).unlink()
