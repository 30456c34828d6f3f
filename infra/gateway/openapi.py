"""OpenAPI document of the gateway: what FastAPI knows of the routes, and the schemas of bodies that they read themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastapi.openapi.utils import get_openapi

from infra.gateway.documents import component_schemas, problems

if TYPE_CHECKING:
    from fastapi import FastAPI

#: Version of the API, which is not that of the application.
VERSION: Final = "1"


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
    components["schemas"] = {
        name: found[name] for name in sorted(found) if name not in ("HTTPValidationError", "ValidationError")
    }
    return document
