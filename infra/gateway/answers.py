"""Answers: how the result of a request reads over HTTP."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import msgspec
from starlette.responses import Response
from understudy_client.result import USABLE, Status

from contracts.errors import ErrorCode
from infra.gateway.problems import FieldProblem, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from understudy_client import Result

    from infra.gateway.gateway import Gateway

JSON: Final = "application/json"
#: Characters of a reason in a header.
_MAX_REASON: Final = 1000
_SLUG_OF_STATUS: Final = {Status.CANCELLED: "conflict", Status.REJECTED: ErrorCode.GEN_INVALID_REQUEST}
_HTTP_OF_STATUS: Final = {Status.CANCELLED: 409, Status.REJECTED: 422}
#: The content could not be made, and the request's fallback allows no stand-in.
_FAILED: Final = 502


def job_path(request_id: str) -> str:
    """Where the state of a request is."""
    return f"/api/generation-jobs/{quote(request_id, safe='')}"


def links_of(request_id: str) -> dict[str, str]:
    """Where a request's state, events and cancellation are."""
    one = f"/api/v1/generations/{quote(request_id, safe='')}"
    return {"self": job_path(request_id), "events": f"{one}/events", "cancel": f"{one}/cancel"}


def label_headers(result: Result) -> dict[str, str]:
    """The headers that label a result; the reason is percent-encoded."""
    headers = {
        "Understudy-Request-Id": result.request_id,
        "Understudy-Status": result.status,
        "Understudy-Origin": result.origin,
    }
    if result.reason:
        headers["Understudy-Reason"] = quote(result.reason[:_MAX_REASON], safe=" ,;:()'/=+@")
    return headers


async def whole(gateway: Gateway, result: Result) -> Result:
    """The result with its content inside, however large that is.

    Raises:
        Unavailable: the content cannot be fetched.
    """
    if result.content_ref is None:
        return result
    document = await gateway.client.document(result)
    return msgspec.structs.replace(result, content=document, content_ref=None)


async def answer_result(
    gateway: Gateway, result: Result, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """The answer for a client that waited: the result, or a problem with the result inside.

    Args:
        gateway: fetches large content.
        result: the result.
        status: the HTTP status of a usable one.
        headers: further headers.

    Raises:
        Problem: the result has no content and says that it should; or it was cancelled or rejected.
    """
    labels = label_headers(result) | dict(headers or {})
    if result.status in USABLE:
        body = msgspec.json.encode(await whole(gateway, result))
        return Response(body, status_code=status, media_type=JSON, headers=labels)
    raise problem_of(result, headers=labels)


def problem_of(result: Result, *, headers: Mapping[str, str] | None = None) -> Problem:
    """The problem for a result that nobody can use; the result is inside."""
    error = result.error
    detail = error.message if error is not None else result.reason or f"the request ended as {result.status}"
    code = error.code if error is not None else ErrorCode.GEN_INTERNAL
    slug = _SLUG_OF_STATUS.get(Status(result.status), code) if result.status in set(Status) else code
    if slug not in set(ErrorCode) and slug != "conflict":
        slug = ErrorCode.GEN_INTERNAL
    faults = (FieldProblem(detail=detail),) if result.status == Status.REJECTED else ()
    return Problem(
        _HTTP_OF_STATUS.get(Status(result.status), _FAILED) if result.status in set(Status) else _FAILED,
        slug,
        detail,
        request_id=result.request_id,
        errors=faults,
        headers=dict(headers or {}),
        more={"result": msgspec.to_builtins(result)},
    )


def etag_of(result: Result) -> str:
    """The entity tag of a result: the hash of its content, else of the result."""
    if result.content_hash is not None:
        return f'"{result.content_hash}"'
    return f'"{hashlib.sha256(msgspec.json.encode(result)).hexdigest()}"'


def matches(header: str | None, etag: str) -> bool:
    """Whether the value of ``If-None-Match`` names a tag."""
    if header is None:
        return False
    tags = {each.strip().removeprefix("W/") for each in header.split(",")}
    return "*" in tags or etag in tags


def json_answer(value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A value as JSON."""
    return Response(
        msgspec.json.encode(value), status_code=status, media_type=JSON, headers=dict(headers or {})
    )
