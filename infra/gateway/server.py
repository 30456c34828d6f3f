"""Server of the gateway: from its socket to its orderly stop; what ``understudy serve`` does."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import socket
import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from understudy_client.tasks import end_tasks

from contracts.errors import Misconfigured
from infra.gateway.app import create_app
from infra.gateway.audit_database import GatewayDatabase
from infra.gateway.gateway import Gateway
from infra.gateway.http_protocol import with_head_limit
from infra.gateway.monitor import GatewayMonitor
from infra.stores.access_tokens import has_valid_token
from infra.telemetry.gateway_events import GatewayMoved, GatewayReady, GatewayStopped, GatewayStopping

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from infra.settings.gateway import GatewaySettings
    from infra.settings.settings import Settings

#: Seconds that waiting requests get after a signal before they end with 503, and that all of them get before their
#: connections are cut.
DRAIN_S: Final = 3.0
_CUT_S: Final = 5
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
#: Bytes of the head of a request.
_HEAD_BYTES: Final = 32 * 1024
_BACKLOG: Final = 2048


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: a signal has more to do than it knows."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


async def serve(
    settings: Settings,
    *,
    on_ready: Callable[[dict[str, Any]], None] | None = None,
) -> int:
    """Serve HTTP until SIGTERM, SIGINT or SIGHUP; in the main thread.

    Args:
        settings: this process's settings.
        on_ready: gets ``{"ready": true, "http_url": …, "metrics": "HOST:PORT"}`` once it listens.

    Returns:
        the exit status.

    Raises:
        Misconfigured: it may not, or cannot, listen at the address of the settings.
        Unreachable: no broker answers.
    """
    await check_address(settings)
    gateway = Gateway(settings)
    monitor = GatewayMonitor(gateway)
    async with gateway:
        listening = bind(settings.gateway)
        url = url_of(listening)
        if listening.getsockname()[1] != settings.gateway.port != 0:
            gateway.telemetry.emit(GatewayMoved(port=settings.gateway.port, url=url))
        try:
            monitor.start()
            await _run(gateway, monitor, listening, url, on_ready)
        finally:
            monitor.stop()
            listening.close()
    return 0


async def _run(
    gateway: Gateway,
    monitor: GatewayMonitor,
    listening: socket.socket,
    url: str,
    on_ready: Callable[[dict[str, Any]], None] | None,
) -> None:
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    for number in _SIGNALS:
        loop.add_signal_handler(number, asked.set)
    server = make_server(create_app(gateway), gateway.settings.gateway)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    asking = asyncio.create_task(asked.wait())
    try:
        gateway.telemetry.emit(
            GatewayReady(url=url, broker=gateway.client.url, metrics=monitor.address or "")
        )
        if on_ready is not None:
            # The socket listens already: what connects now is answered.
            on_ready({"ready": True, "http_url": url, "metrics": monitor.address})
        await asyncio.wait((serving, asking), return_when=asyncio.FIRST_COMPLETED)
        began_s = time.monotonic()
        gateway.telemetry.emit(GatewayStopping(waiting=gateway.waiting))
        await gateway.begin_stop()
        loop.call_later(DRAIN_S, gateway.end_waits)
        server.should_exit = True
        await serving
        seconds = round(time.monotonic() - began_s, 1)
        gateway.telemetry.emit(GatewayStopped(seconds=seconds))
    finally:
        await end_tasks(asking, serving)
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


def make_server(app: ASGIApp, settings: GatewaySettings) -> uvicorn.Server:
    """Uvicorn with the gateway's limits, without its signal handlers."""
    config = uvicorn.Config(
        app,
        http=with_head_limit(settings.head_seconds),
        # The gateway is open already: a broker that is not there is an error for people, not a traceback.
        lifespan="off",
        log_config=None,
        access_log=False,
        ws="none",
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=_HEAD_BYTES,
        timeout_keep_alive=settings.idle_seconds,
        timeout_graceful_shutdown=_CUT_S,
    )
    return _Server(config)


async def check_address(settings: Settings) -> None:
    """Refuse an address that other machines reach while no token says who asks.

    Raises:
        Misconfigured: naming the setting.
        DatabaseError: the tokens cannot be read.
    """
    where = settings.gateway
    if where.loopback:
        return
    reached = f"gateway.host is {where.host}, which other machines reach"
    if where.tokens == "off":
        raise Misconfigured(
            f"{reached}, and gateway.tokens is off: set gateway.host to 127.0.0.1, or gateway.tokens to auto"
        )
    audit = GatewayDatabase(settings.database)
    now_ms = round(time.time() * 1000)
    try:
        found = await audit.query(lambda engine: has_valid_token(engine, now_ms), missing=False)
    finally:
        audit.close()
    if not found:
        raise Misconfigured(
            f"{reached}, and there is no valid token: create one with 'understudy tokens create', or set gateway.host "
            "to 127.0.0.1"
        )


def bind(settings: GatewaySettings) -> socket.socket:
    """The socket that the gateway listens on: at the port of the settings, or at a free one if that is taken.

    Raises:
        Misconfigured: there is no such address on this machine.
    """
    host = settings.host.strip("[]")
    try:
        family, *_, address = socket.getaddrinfo(host, settings.port, type=socket.SOCK_STREAM)[0]
        try:
            return _listen(family, (str(address[0]), settings.port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return _listen(family, (str(address[0]), 0))
    except OSError as error:
        raise Misconfigured(
            f"the gateway cannot listen at {settings.host}:{settings.port} (gateway.host, gateway.port): "
            f"{error.strerror or error}"
        ) from None


def url_of(listening: socket.socket) -> str:
    """The URL of a socket."""
    host, port, *_ = listening.getsockname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _listen(family: int, address: tuple[str, int]) -> socket.socket:
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        # A port that the gateway had until a moment ago is free.
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(_BACKLOG)
        found.setblocking(False)  # noqa: FBT003 - takes no names
    except BaseException:
        found.close()
        raise
    return found
