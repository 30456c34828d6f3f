"""Health of a nats-server, read over HTTP.

A server answers HTTP whatever its clients do: no answer means that it is frozen.
"""

from __future__ import annotations

import asyncio
from typing import Final, TypeVar

import msgspec

#: Share of the store's limit from which on the server may refuse messages.
_FULL_SHARE: Final = 0.95


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """State of a server's store; that the server answers at all means that it is alive."""

    #: Streams that the server closed after a failed write; they store nothing until it is restarted.
    broken: tuple[str, ...]
    #: Bytes in its store, and bytes at which it refuses more.
    stored: int
    limit: int

    @property
    def full(self) -> bool:
        """Whether the store is at the limit that was set when the server started."""
        return self.stored >= self.limit * _FULL_SHARE


async def ask(host: str, port: int, path: str) -> Health:
    """Ask a server for its health; waits for the answer without a limit.

    Args:
        host: of its HTTP port.
        port: of its HTTP port.
        path: below which it answers (``http_base_path``).

    Raises:
        OSError: the server is down, or ended before it answered.
    """
    state = _decode(await _get(host, port, f"{path}/healthz?details=true"), _Healthz)
    store = _decode(await _get(host, port, f"{path}/jsz"), _Jsz)
    return Health(
        broken=tuple(sorted({each.stream for each in state.errors if each.type == "STREAM"})),
        stored=store.storage,
        limit=store.config.max_storage,
    )


class _Fault(msgspec.Struct, frozen=True):
    type: str = ""
    stream: str = ""


class _Healthz(msgspec.Struct, frozen=True):
    errors: tuple[_Fault, ...] = ()


class _StoreConfig(msgspec.Struct, frozen=True):
    max_storage: int


class _Jsz(msgspec.Struct, frozen=True):
    config: _StoreConfig
    storage: int


async def _get(host: str, port: int, path: str) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        return (await reader.read()).partition(b"\r\n\r\n")[2]
    finally:
        writer.close()


_T = TypeVar("_T")


def _decode(body: bytes, to: type[_T]) -> _T:
    try:
        return msgspec.json.decode(body, type=to)
    except msgspec.MsgspecError as error:
        # Cut off: the server ended while it answered.
        raise ConnectionResetError(f"the broker's answer cannot be read: {error}") from None
