"""Console: its pages and files, as they were built into the package."""

from __future__ import annotations

from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fastapi import APIRouter, Depends, HTTPException
from starlette.datastructures import MutableHeaders
from starlette.middleware.gzip import GZipMiddleware

# FastAPI reads the annotations of what it calls.
from starlette.requests import Request

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Built from ``infra/console``, and committed: users need no Node.js.
FOLDER: Final = Path(str(files("infra") / "console" / "static"))
#: Files whose names change with their content.
_HASHED: Final = "/assets/"
#: Those of them that are not compressed already.
_TEXT: Final = (".css", ".js")
#: First parts of paths below which the console has no page.
_NO_PAGES: Final = frozenset({"api", "generate", "livez", "openapi.json", "problems", "readyz", "v1"})
#: Pages load nothing from elsewhere, and run no script that is not a file of the console.  Drawings of content have
#: styles of their own.
POLICY: Final = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


def serve_console(app: FastAPI) -> None:
    """Answer paths that no route has with the console's files, and pages with its one page.

    A page is asked for by browsers that navigate.  Everything else that is unknown stays a problem 404, and so does an
    unknown path of the API for a browser too.
    """
    router = APIRouter(dependencies=[Depends(_refuse_page)])
    router.frontend("/", directory=FOLDER, check_dir=True)
    app.include_router(router)


def _refuse_page(request: Request) -> None:
    """Refuse what has no page; the console has no files there."""
    if request.url.path.split("/")[1] in _NO_PAGES:
        raise HTTPException(404)


class ConsoleHeaders:
    """Says for how long the console's files can be kept and what its pages may load, and compresses its code.

    Args:
        app: what is inside.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._compressed = GZipMiddleware(app, compresslevel=6)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def kept(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if headers.get("content-type", "").startswith("text/html"):
                    headers["Cache-Control"] = "no-cache"
                    headers["Content-Security-Policy"] = POLICY
                    headers["Referrer-Policy"] = "no-referrer"
                elif message["status"] == HTTPStatus.OK and scope["path"].startswith(_HASHED):
                    headers["Cache-Control"] = "public, max-age=31536000, immutable"
            await send(message)

        hashed = scope["path"].startswith(_HASHED)
        app = self._compressed if hashed and scope["path"].endswith(_TEXT) else self._app
        await app(scope, receive, kept)
