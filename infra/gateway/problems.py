"""Problems: every error answer of the gateway, as RFC 9457 has it, and the errors of the pipeline as problems."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec
from fastapi.exceptions import HTTPException, RequestValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException as PlainHttpError
from starlette.requests import Request
from starlette.responses import Response
from understudy_client import errors as client_errors

from contracts.errors import ErrorCode, Misconfigured, Unavailable, UnderstudyError, Unreadable, error_text
from contracts.request import RequestError
from infra.inspect.archive import ContentGone
from infra.inspect.pointers import pointer_of
from infra.inspect.request_filter import FilterError
from infra.nats.log import StreamMissing
from infra.stores.database import DatabaseError

MEDIA_TYPE: Final = "application/problem+json"
#: Path below which the gateway explains each type of problem.
TYPES_PATH: Final = "/problems"
#: Seconds after which a client should ask again: while the broker is away, and while the pipeline is full.
AWAY_S: Final = 2
BUSY_S: Final = 1

#: Types of problems beside the error codes: slug, title, and what to do.
TYPES: Final[dict[str, tuple[str, str]]] = {
    "bad-request": (
        "Bad request",
        "The request is not one that HTTP or this path allows; the detail says why.",
    ),
    "unauthorized": ("No valid token", "Send a token in the header Authorization: Bearer us_…"),
    "forbidden": ("Not allowed", "The token's role or workspace does not allow this."),
    "not-found": ("Not found", "Check the path or the id; ids of other workspaces are not found either."),
    "method-not-allowed": ("Method not allowed", "The header Allow lists the methods of this path."),
    "body-timeout": ("Body too slow", "Send the whole body faster, or set gateway.body_seconds."),
    "conflict": ("Conflict", "The state of the resource does not allow this; the detail says why."),
    "gone": ("Gone", "The event log no longer has it; the detail says what is left."),
    "precondition-failed": (
        "Precondition failed",
        "The resource changed; read it again and repeat the change.",
    ),
    "content-too-large": (
        "Body too large",
        "Send a smaller body; the setting gateway.body_bytes is the limit.",
    ),
    "unsupported-media-type": ("Not JSON", "Send the body with Content-Type: application/json."),
    "misdirected-request": (
        "Unknown host",
        "Use localhost or the address of this machine, or set gateway.hosts.",
    ),
    "invalid-parameter": ("Invalid parameter", "The list `errors` names the parameter and what it allows."),
    "invalid-design": (
        "Node or graph has errors",
        "The list `errors` names each field and what to do; `POST /api/v1/nodes/validate` also has quick fixes.",
    ),
    "id-taken": (
        "Idempotency key used",
        "The key belongs to another request; send another key, or the same request again.",
    ),
    "precondition-required": (
        "Precondition required",
        "Send If-Match with the ETag of the version that you changed.",
    ),
    "too-many-requests": ("Too many requests", "Wait for the seconds in Retry-After."),
    "not-live": (
        "No model wrote it",
        "Send the request again later, or without Understudy-Require: live to get the stand-in.",
    ),
    "busy": ("Pipeline is full", "Nothing was stored; send the request again after Retry-After."),
    "broker-unavailable": (
        "Broker is away",
        "Send the same request with the same Idempotency-Key after Retry-After.",
    ),
    "audit-unavailable": ("Audit cannot be read", "The detail says what to do; requests work without it."),
    "stopping": ("Gateway is stopping", "Send the request again, with the same Idempotency-Key."),
    "no-result-in-time": (
        "No result in time",
        "The request goes on; its state is at the address in Location.",
    ),
    "took-too-long": (
        "It takes too long",
        "It is still being worked out: ask again after Retry-After.",
    ),
    "unreadable": (
        "Stored data cannot be read",
        "The detail names the message; `understudy doctor` checks the log.",
    ),
}
_SLUG_OF_STATUS: Final = {
    400: "bad-request",
    401: "unauthorized",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    408: "body-timeout",
    409: "conflict",
    410: "gone",
    412: "precondition-failed",
    413: "content-too-large",
    415: "unsupported-media-type",
    421: "misdirected-request",
    422: "invalid-parameter",
    428: "precondition-required",
    429: "too-many-requests",
    503: "broker-unavailable",
    504: "no-result-in-time",
}


class FieldProblem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One fault of a request."""

    detail: str
    #: JSON Pointer (RFC 6901) into the body; ``""`` is the whole body.
    pointer: str | None = None
    #: Name of the query parameter or header.
    parameter: str | None = None


class Problem(HTTPException):
    """An error answer; raise it anywhere below a route.

    Args:
        status: HTTP status.
        slug: a key of :data:`TYPES`, or an error code.
        detail: what happened here, and what to do.
        request_id: the generation request that it is about.
        errors: the faults of the body or the parameters.
        headers: further headers.
        more: further members of the body.
    """

    def __init__(
        self,
        status: int,
        slug: str,
        detail: str,
        *,
        request_id: str | None = None,
        errors: Iterable[FieldProblem] = (),
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(status_code=status, detail=detail, headers=dict(headers or {}))
        self.slug = slug
        self.request_id = request_id
        self.errors = tuple(errors)
        self.more = dict(more or {})

    def to_json(self) -> dict[str, Any]:
        """The members of the body."""
        code = self.slug if self.slug in set(ErrorCode) else None
        known = {
            "type": f"{TYPES_PATH}/{self.slug}",
            "title": title_of(self.slug),
            "status": self.status_code,
            "detail": self.detail,
            "code": code,
            "request_id": self.request_id,
            "errors": msgspec.to_builtins(self.errors) or None,
        }
        return {name: value for name, value in known.items() if value is not None} | self.more

    def response(self) -> Response:
        """The answer."""
        headers = dict(self.headers or {})
        if self.request_id is not None:
            headers.setdefault("Understudy-Request-Id", self.request_id)
        body = self.to_json()
        try:
            text = msgspec.json.encode(body)
        except UnicodeEncodeError:
            # A client's name or value with half of a surrogate pair.
            text = json.dumps(body).encode()
        return Response(
            text,
            status_code=self.status_code,
            media_type=MEDIA_TYPE,
            headers=headers,
        )


def title_of(slug: str) -> str:
    """The title of a type of problem."""
    if slug in TYPES:
        return TYPES[slug][0]
    return slug.removeprefix("GEN_").replace("_", " ").capitalize()


def not_found(what: str) -> Problem:
    """404 for a resource that does not exist, or that the token must not see."""
    return Problem(404, "not-found", f"there is no {what}")


def parameter_problem(name: str, detail: str) -> Problem:
    """422 for a query parameter or a header."""
    return Problem(
        422,
        "invalid-parameter",
        f"{name}: {detail}",
        errors=(FieldProblem(parameter=name, detail=detail),),
    )


def convert(error: Exception) -> Problem:  # noqa: C901, PLR0911, PLR0912 - one case for each error
    """The problem that an error of the pipeline or the client means."""
    text = error_text(error)
    match error:
        case Problem():
            return error
        case RequestError():
            faults = tuple(FieldProblem(pointer=pointer_of(path), detail=said) for path, said in error.faults)
            return Problem(422, ErrorCode.GEN_INVALID_REQUEST, text, errors=faults)
        case client_errors.InvalidRequest():
            fault = FieldProblem(pointer=pointer_of(error.field), detail=text)
            return Problem(422, ErrorCode.GEN_INVALID_REQUEST, text, errors=(fault,))
        case FilterError():
            name = text.partition(" ")[0]
            return Problem(
                422, "invalid-parameter", text, errors=(FieldProblem(parameter=name, detail=text),)
            )
        case client_errors.IdTaken():
            owner = {"kind": error.kind, "sequence": error.sequence}
            return Problem(422, "id-taken", text, request_id=error.request_id, more=owner)
        case client_errors.NoResult():
            return Problem(504, "no-result-in-time", text, request_id=error.request_id)
        case client_errors.Busy():
            return Problem(503, "busy", text, headers={"Retry-After": str(BUSY_S)})
        case client_errors.BrokerLost():
            return Problem(
                503,
                "broker-unavailable",
                text,
                request_id=error.request_id,
                headers={"Retry-After": str(AWAY_S)},
            )
        case (
            client_errors.Unavailable()
            | client_errors.Unreachable()
            | client_errors.NotSetUp()
            | Unavailable()
            | StreamMissing()
        ):
            return Problem(503, "broker-unavailable", text, headers={"Retry-After": str(AWAY_S)})
        case DatabaseError() | SQLAlchemyError():
            said = str(getattr(error, "orig", None) or error).splitlines()[0]
            return Problem(503, "audit-unavailable", said, headers={"Retry-After": str(AWAY_S)})
        case ContentGone():
            return Problem(410, "gone", text)
        case client_errors.Unreadable() | Unreadable():
            return Problem(502, "unreadable", text)
        case Misconfigured():
            return Problem(503, "conflict", text)
        case UnderstudyError() | client_errors.ClientError():
            return Problem(409, "conflict", text)
        case RequestValidationError():
            return _convert_validation(error)
        case PlainHttpError():
            slug = _SLUG_OF_STATUS.get(error.status_code, "bad-request")
            return Problem(
                error.status_code, slug, _detail_of(error), headers=getattr(error, "headers", None) or {}
            )
        case _:
            return Problem(500, ErrorCode.GEN_INTERNAL, "a defect in Understudy; the log has it")


#: Errors that :func:`convert` knows; all others are defects.
CONVERTED: Final = (
    UnderstudyError,
    client_errors.ClientError,
    RequestError,
    SQLAlchemyError,
    PlainHttpError,
    RequestValidationError,
)


async def answer(_: Request, error: Exception) -> Response:
    """The exception handler of every error in :data:`CONVERTED`."""
    return convert(error).response()


def _detail_of(error: PlainHttpError) -> str:
    if error.status_code == HTTPStatus.NOT_FOUND:
        return "there is no such path; /openapi.json lists all"
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return "this path does not have that method"
    return str(error.detail)


def _convert_validation(error: RequestValidationError) -> Problem:
    """FastAPI's own validation: a body's fault has a pointer, any other one a parameter."""
    if isinstance(error.body, bytes):
        # It was not declared as JSON, so FastAPI has not read it.
        return Problem(415, "unsupported-media-type", "send the body with Content-Type: application/json")
    faults: list[FieldProblem] = []
    for each in error.errors():
        place, *path = each["loc"]
        said = str(each["msg"])
        if place == "body":
            pointer = "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in path)
            faults.append(
                FieldProblem(pointer="" if each["type"] == "json_invalid" else pointer, detail=said)
            )
        else:
            faults.append(FieldProblem(parameter=".".join(map(str, path)), detail=said))
    of_body = any(each.pointer is not None for each in faults)
    named = [f"{each.parameter or each.pointer or 'body'}: {each.detail}" for each in faults]
    slug = ErrorCode.GEN_INVALID_REQUEST if of_body else "invalid-parameter"
    return Problem(422, slug, " | ".join(named), errors=faults)
