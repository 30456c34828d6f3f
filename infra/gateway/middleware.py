"""Middleware: what holds for every request before a route sees it; pure ASGI, so that streams and disconnects work."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from starlette.datastructures import Headers, MutableHeaders

from infra.gateway import problems
from infra.gateway.limits import FINALLY, HEADERS
from infra.gateway.problems import BUSY_S, Problem
from infra.settings.gateway import is_loopback
from infra.telemetry.events import DefectFound
from infra.telemetry.gateway_events import HttpAnswered

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from infra.gateway.gateway import Gateway

#: Paths that answer while the gateway stops.
HEALTH_PATHS: Final = frozenset({"/livez", "/readyz"})
#: Methods that change nothing.
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
#: Key of the scope under which a route notes the generation request that it is about.
REQUEST_ID: Final = "understudy.request_id"


_USUAL: Final = {"X-Content-Type-Options": "nosniff"}


class ObservedApp:
    """Outermost: reports every answer, and answers a defect with a problem.

    Args:
        app: what is inside.
        gateway: whose telemetry gets the reports.
    """

    def __init__(self, app: ASGIApp, gateway: Gateway) -> None:
        self._app = app
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s = time.perf_counter()
        status = 0

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in (_USUAL | scope.get(HEADERS, {})).items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception as error:  # noqa: BLE001 - emitted, and the client gets an answer
            self._gateway.telemetry.emit(DefectFound(part="the gateway", raised=error))
            if not status:
                await problems.convert(error).response()(scope, receive, noted)
        finally:
            for each in scope.get(FINALLY, ()):
                each()
            self._report(scope, status, (time.perf_counter() - began_s) * 1000)

    def _report(self, scope: Scope, status: int, duration_ms: float) -> None:
        telemetry = self._gateway.telemetry
        if telemetry.takes(HttpAnswered, HttpAnswered.LEVEL):
            route: Any = scope.get("route")
            telemetry.emit(
                HttpAnswered(
                    method=scope["method"],
                    route=getattr(route, "path", ""),
                    status=status,
                    duration_ms=duration_ms,
                    request_id=scope.get(REQUEST_ID, ""),
                )
            )


class GuardedApp:
    """Refuses requests by their headers: an unknown ``Host``, a foreign ``Origin``, too large a body, work during a stop.

    Args:
        app: what is inside.
        gateway: whose state and settings count.
    """

    def __init__(self, app: ASGIApp, gateway: Gateway) -> None:
        self._app = app
        self._gateway = gateway
        settings = gateway.settings.gateway
        self._most = settings.body_bytes
        self._hosts = frozenset(each.lower() for each in settings.hosts)
        #: Without a list of names, a gateway that other machines reach accepts every name.
        self._checks_host = settings.loopback or bool(settings.hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refuse(scope)
        if refusal is not None:
            await refusal.response()(scope, receive, send)
            return
        await self._app(scope, self._limit(receive), send)

    def _refuse(self, scope: Scope) -> Problem | None:
        headers = Headers(scope=scope)
        if self._checks_host:
            hosts = headers.getlist("host")
            if len(hosts) != 1 or not knows_host(hosts[0], self._hosts):
                return Problem(
                    421,
                    "misdirected-request",
                    "the gateway does not answer under this name; use http://localhost, or add the name to gateway.hosts",
                )
        if self._gateway.stopping and scope["path"] not in HEALTH_PATHS:
            return Problem(
                503,
                "stopping",
                "the gateway stops; send the request again",
                headers={"Retry-After": str(BUSY_S), "Connection": "close"},
            )
        if scope["method"] not in _SAFE and not self._same_origin(headers):
            return Problem(
                403,
                "forbidden",
                "a page of another site must not change anything here; add its host to gateway.hosts if it may",
            )
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self._most:
            return self._too_large()
        return None

    def _same_origin(self, headers: Headers) -> bool:
        """Whether a page of this gateway sends the request, or no page at all: browsers name the page's origin."""
        origin = headers.get("origin")
        if origin is None:
            return True
        place = origin.rpartition("//")[2].lower()
        return place == headers.get("host", "").lower() or place.partition(":")[0] in self._hosts

    def _limit(self, receive: Receive) -> Receive:
        size = 0

        async def limited() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self._most:
                raise self._too_large()
            return message

        return limited

    def _too_large(self) -> Problem:
        return Problem(
            413,
            "content-too-large",
            f"the body has more than {self._most} bytes (gateway.body_bytes)",
            headers={"Connection": "close"},
        )


def knows_host(header: str, names: Iterable[str]) -> bool:
    """Whether the value of ``Host`` names this machine's loopback or one of some names, with or without a port."""
    host, colon, port = header.rpartition(":")
    if not colon or header.endswith("]"):
        host, port = header, "0"
    return port.isdecimal() and (is_loopback(host) or host.lower() in names)
