"""OpenAPI document of the gateway: what FastAPI knows of the routes, and the schemas of bodies that they read themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from infra.gateway.access import access_of
from infra.gateway.answer_schemas import open_objects
from infra.gateway.authentication import COOKIE
from infra.gateway.documents import component_schemas, problems
from infra.gateway.routes import ROUTERS

if TYPE_CHECKING:
    from fastapi import FastAPI

#: Version of the API, which is not that of the application.
VERSION: Final = "1"

_SCHEMES: Final = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "us_<id>_<43 characters>",
        "description": "`understudy tokens create` makes one.  A gateway without tokens needs none on its own machine.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": "From `POST /api/session`; changes also need the header `Origin`.",
    },
}


def build_document(app: FastAPI) -> dict[str, Any]:
    """The document of an application, OpenAPI 3.1."""
    document = get_openapi(title=app.title, version=VERSION, description=app.description, routes=app.routes)
    for path in document["paths"].values():
        for operation in path.values():
            # FastAPI's own validation answers with a problem, too.
            if "HTTPValidationError" in str(operation["responses"].get("422")):
                operation["responses"] |= {str(status): said for status, said in problems(422).items()}
    components = document.setdefault("components", {})
    found = component_schemas() | components.get("schemas", {})
    _add_access(document)
    _add_unreadable(document)
    components["schemas"] = {
        name: found[name] for name in sorted(found) if name not in ("HTTPValidationError", "ValidationError")
    }
    return open_objects(document)


def _add_unreadable(document: dict[str, Any]) -> None:
    """What FastAPI answers to a body that is no text."""
    for router in ROUTERS:
        for route in router.routes:
            if isinstance(route, APIRoute) and route.body_field is not None:
                for method in route.methods or ():
                    operation = document["paths"].get(route.path_format, {}).get(method.lower())
                    if operation is not None:
                        operation["responses"] |= {
                            str(status): said for status, said in problems(400).items()
                        }


def _add_access(document: dict[str, Any]) -> None:
    """The role that each operation needs, and how a sender shows that it has it."""
    for router in ROUTERS:
        for route in router.routes:
            access = access_of(route) if isinstance(route, APIRoute) else None
            if (
                access is None
                or not isinstance(route, APIRoute)
                or route.path_format not in document["paths"]
            ):
                continue
            for method in route.methods or ():
                operation = document["paths"][route.path_format][method.lower()]
                operation["security"] = [{"token": []}, {"session": []}]
                operation["x-role"] = access.role.label
                refusals = {str(status): said for status, said in problems(401, 403, 429).items()}
                operation["responses"] = refusals | operation["responses"]
    document["components"]["securitySchemes"] = _SCHEMES
