"""Error form of OpenAI: every problem below ``/v1/`` as the official clients read errors."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgspec
from starlette.datastructures import Headers
from starlette.responses import Response

from infra.gateway import problems
from infra.gateway.problems import MEDIA_TYPE, FieldProblem, Problem
from infra.inspect.pointers import pointer_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Begin of the paths that belong to OpenAI's API.
PREFIX: Final = "/v1/"
#: Member of a problem with OpenAI's own code for it.
OPENAI_CODE: Final = "openai_code"
#: Member of a problem with the labels of the result behind it.
LABELS: Final = "understudy"
#: Header by which a server keeps the official clients from trying again.
NO_RETRY: Final = {"x-should-retry": "false"}
#: OpenAI has no 422: what is wrong in a body is a bad request.
_OTHER_STATUS: Final = {HTTPStatus.UNPROCESSABLE_ENTITY: HTTPStatus.BAD_REQUEST}
_CODES: Final = {
    HTTPStatus.UNAUTHORIZED: "invalid_api_key",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_exceeded",
}
#: Headers of the problem that describe its body.
_OF_BODY: Final = frozenset({b"content-length", b"content-type"})


def refuse_parameter(name: str, detail: str, *, code: str | None = None, status: int = 400) -> Problem:
    """An error about a parameter of OpenAI's API.

    Args:
        name: the parameter, such as ``messages.0.content``.
        detail: what is wrong and what to do.
        code: OpenAI's code, where it has one.
        status: the HTTP status.
    """
    return Problem(
        status,
        "not-found" if status == HTTPStatus.NOT_FOUND else "bad-request",
        f"{name}: {detail}" if name else detail,
        errors=(FieldProblem(pointer=pointer_of(name), detail=detail),),
        more={OPENAI_CODE: code or "invalid_value"},
    )


def format_error(problem: Mapping[str, Any]) -> dict[str, Any]:
    """The members of OpenAI's ``error`` for the members of a problem."""
    status = problem["status"]
    slug = problem["type"].rpartition("/")[2]
    faults = problem.get("errors") or ({},)
    pointer, parameter = faults[0].get("pointer"), faults[0].get("parameter")
    kind = "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        kind = "requests"
    error = {
        "message": problem["detail"],
        "type": kind,
        "param": pointer.strip("/").replace("/", ".") or None if pointer else parameter,
        "code": problem.get(OPENAI_CODE)
        or _CODES.get(status)
        or problem.get("code")
        or slug.replace("-", "_"),
    }
    labels = problem.get(LABELS) or (
        {"request_id": problem["request_id"]} if "request_id" in problem else None
    )
    return error if labels is None else error | {LABELS: labels}


def status_of(status: int) -> int:
    """The HTTP status that OpenAI has for the status of a problem."""
    return _OTHER_STATUS.get(HTTPStatus(status), status)


class OpenAIErrorForm:
    """Middleware: below ``/v1/`` a problem becomes an error in OpenAI's form, whoever raised it.

    Args:
        app: what is inside.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or not f"{scope['path']}/".startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        rewriting = _Rewriting(scope, receive, send)
        try:
            await self._app(scope, receive, rewriting.send)
        except Exception as error:
            # The middleware around this one reports it.
            if not rewriting.started:
                await problems.convert(error).response()(scope, receive, rewriting.send)
            raise


class _Rewriting:
    """The answer to one request, on its way to the client."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._begin: Message | None = None
        self._body = b""
        self.started = False

    async def send(self, message: Message) -> None:
        """Pass a message on, except those of a problem: they become one error at its end."""
        if message["type"] == "http.response.start":
            self.started = True
            if Headers(raw=message["headers"]).get("content-type", "").startswith(MEDIA_TYPE):
                self._begin = message
                return
        if self._begin is None:
            await self._send(message)
            return
        self._body += message.get("body", b"")
        if not message.get("more_body"):
            await self._answer(self._begin)

    async def _answer(self, begin: Message) -> None:
        error = format_error(json.loads(self._body))
        answer = Response(
            json.dumps({"error": error}),
            status_code=status_of(begin["status"]),
            media_type="application/json",
        )
        answer.raw_headers.extend(each for each in begin["headers"] if each[0].lower() not in _OF_BODY)
        await answer(self._scope, self._receive, self._send)


def encode(value: Any) -> bytes:
    """A value as JSON, whatever texts of a client are in it."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        # Half of a surrogate pair.
        return json.dumps(value).encode()
