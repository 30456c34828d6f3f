"""ASGI application of the gateway: routes, problems and middleware around one :class:`Gateway`."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.middleware import Middleware

from infra.gateway import problems
from infra.gateway.console import ConsoleHeaders, serve_console
from infra.gateway.direct_routes import DirectRoutes
from infra.gateway.middleware import GuardedApp, ObservedApp
from infra.gateway.openai_api.error_form import OpenAIErrorForm
from infra.gateway.openapi import build_document
from infra.gateway.routes import ROUTERS
from infra.gateway.sse import StreamsOutside
from infra.host.extras import installed_version

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from infra.gateway.gateway import Gateway

TITLE: Final = "Understudy"
_ABOUT: Final = (
    "Every accepted request ends in exactly one labelled result.  Errors are problems (RFC 9457); their `type` is a "
    "path of this server that explains them."
)


async def _refuse_method(request: Request, error: Exception) -> Response:
    """405 with all methods of the path: the framework names those of its first route alone."""
    methods = {
        method
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute) and route.path_regex.match(request.url.path)
        for method in route.methods or ()
    }
    response = problems.convert(error).response()
    if methods:
        response.headers["Allow"] = ", ".join(sorted(methods))
    return response


def create_app(gateway: Gateway) -> FastAPI:
    """The application; its lifespan opens and closes the gateway.

    A server that has opened the gateway itself runs it without lifespan.

    Args:
        gateway: what all routes share; routes get it as ``request.app.state.gateway``.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None, None]:
        async with gateway:
            yield

    app = FastAPI(
        title=TITLE,
        description=_ABOUT,
        version=installed_version(),
        lifespan=lifespan,
        middleware=[
            Middleware(ObservedApp, gateway=gateway),
            Middleware(StreamsOutside),
            Middleware(OpenAIErrorForm),
            Middleware(GuardedApp, gateway=gateway),
            Middleware(ConsoleHeaders),
            Middleware(DirectRoutes, routers=ROUTERS),
        ],
        # Pages that load scripts from other hosts.
        docs_url=None,
        redoc_url=None,
        # A path with a slash at its end is another path: no redirect of a POST.
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.gateway = gateway
    for error in problems.CONVERTED:
        app.add_exception_handler(error, problems.answer)
    app.add_exception_handler(HTTPStatus.METHOD_NOT_ALLOWED, _refuse_method)
    for router in ROUTERS:
        app.include_router(router)
    serve_console(app)

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = build_document(app)
        return app.openapi_schema

    # FastAPI's way to replace its document.
    app.openapi = openapi  # type: ignore[method-assign]
    return app
