"""Direct routes: those that read their request themselves are called without FastAPI, which costs as much as their work.

FastAPI keeps them for its document, and for all that has another method.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

import msgspec
from fastapi.routing import APIRoute
from starlette.requests import Request

from infra.gateway.problems import CONVERTED, convert

if TYPE_CHECKING:
    from fastapi import APIRouter
    from fastapi.dependencies.models import Dependant
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

#: Lists of a route's, or a dependency's, parameters.
_PARAMETERS: Final = ("path_params", "query_params", "header_params", "cookie_params", "body_params")
#: Names of the other parameters that FastAPI gives a value.
_GIVEN: Final = (
    "websocket_param_name",
    "http_connection_param_name",
    "response_param_name",
    "background_tasks_param_name",
    "security_scopes_param_name",
)


class DirectRoute(msgspec.Struct, frozen=True, kw_only=True):
    """A route whose parameters are the request, and what functions make of the request."""

    route: Any
    request_name: str | None
    #: By the parameter's name.
    made: dict[str, Callable[[Request], Awaitable[Any]]]

    async def answer(self, request: Request) -> Response:
        """Call it; errors are answered as FastAPI's handlers do."""
        try:
            values: dict[str, Any] = {name: await make(request) for name, make in self.made.items()}
            if self.request_name is not None:
                values[self.request_name] = request
            response: Response = await self.route.endpoint(**values)
        except CONVERTED as error:
            return convert(error).response()
        return response


class DirectRoutes:
    """Middleware that answers direct routes itself.

    Args:
        app: what answers everything else.
        routers: whose routes may be direct.
    """

    def __init__(self, app: ASGIApp, routers: Iterable[APIRouter]) -> None:
        self._app = app
        self._routes = find_direct(routers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        direct = self._routes.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if direct is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = direct.route
        response = await direct.answer(Request(scope, receive, send))
        await response(scope, receive, send)


def find_direct(routers: Iterable[APIRouter]) -> dict[tuple[str, str], DirectRoute]:
    """The direct routes among those of some routers, by method and path."""
    found: dict[tuple[str, str], DirectRoute] = {}
    for router in routers:
        for route in router.routes:
            if not isinstance(route, APIRoute) or "{" in route.path or not _is_direct(route.dependant):
                continue
            direct = DirectRoute(
                route=route,
                request_name=route.dependant.request_param_name,
                made={str(each.name): _maker(each) for each in route.dependant.dependencies},
            )
            found |= {(method, route.path): direct for method in route.methods or ()}
    return found


def _is_direct(dependant: Dependant) -> bool:
    return not _takes_more(dependant) and all(
        each.request_param_name is not None and not each.dependencies and not _takes_more(each)
        for each in dependant.dependencies
    )


def _takes_more(dependant: Dependant) -> bool:
    """Whether it has another parameter than the request and what dependencies make."""
    return any(getattr(dependant, name) for name in (*_PARAMETERS, *_GIVEN))


def _maker(dependency: Dependant) -> Callable[[Request], Awaitable[Any]]:
    call: Any = dependency.call
    return lambda request: call(**{str(dependency.request_param_name): request})
