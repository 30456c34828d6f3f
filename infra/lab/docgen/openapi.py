"""docs/schemas/openapi.json: the paths of the HTTP gateway, their bodies and answers."""

from __future__ import annotations

import json

from infra.gateway.app import create_app
from infra.gateway.gateway import Gateway
from infra.settings.settings import Settings


def page() -> str:
    """The document, OpenAPI 3.1 as JSON."""
    # The defaults alone: what this machine's environment sets is no part of the document.
    app = create_app(Gateway(Settings.model_construct()))
    return json.dumps(app.openapi(), indent=2, ensure_ascii=False) + "\n"
