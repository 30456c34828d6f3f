"""A FastAPI endpoint that does nothing, under the gateway's uvicorn: the most that a gateway of this kind could do.

``python -m infra.lab.bench.bare_endpoint BYTES`` prints its URL, and answers ``POST /generate`` with JSON of that size
until it is killed.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Final

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from infra.gateway import server
from infra.settings.gateway import GatewaySettings

_JSON: Final = "application/json"


def make_app(size: int) -> FastAPI:
    """The application.

    Args:
        size: bytes of each answer.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    answer = b'{"content":"' + b"x" * max(0, size - 14) + b'"}'

    @app.post("/generate")
    async def generate(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction] - a route
        await request.body()
        return Response(answer, media_type=_JSON)

    return app


async def _serve(size: int) -> None:
    settings = GatewaySettings(port=0)
    listening = server.bind(settings)
    sys.stdout.write(f"{server.url_of(listening)}\n")
    sys.stdout.flush()
    await server.make_server(make_app(size), settings).serve(sockets=[listening])


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
