"""Answers of the gateway: results, jobs, and problems (RFC 9457) as the errors of this client."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final, TypeVar

import msgspec

from understudy_client.errors import (
    AccessDenied,
    Busy,
    ClientError,
    IdTaken,
    InvalidRequest,
    Unavailable,
    Unreachable,
    Unreadable,
)
from understudy_client.http.retry import PassingTrouble, read_retry_after
from understudy_client.result import Result

T = TypeVar("T")

#: Where they have no problem of the gateway's, a proxy cannot reach it.
_PROXY: Final = frozenset({502, 503, 504})
#: Types of problems with 503 that pass; for some of them the pipeline itself is away.
_BUSY: Final = "busy"
_AWAY: Final = frozenset({"broker-unavailable", "stopping"})
_PASSING: Final = _AWAY | {"audit-unavailable"}
_REFUSED: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
#: Characters of a text from elsewhere in a message.
_SHOWN: Final = 300


class HttpAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One answer, read to its end."""

    status: int
    #: By their names in lower case.
    headers: dict[str, str]
    body: bytes = b""


class JobState(msgspec.Struct, frozen=True, kw_only=True):
    """A request as the gateway knows it."""

    job_id: str
    kind: str
    status: str
    result: Result | None = None


class AcceptedJob(msgspec.Struct, frozen=True, kw_only=True):
    """A request that the gateway has published."""

    job_id: str
    kind: str
    #: In REQUESTS; 0: it was not asked for.
    sequence: int = 0
    duplicate: bool = False
    trace_id: str | None = None


class _Fault(msgspec.Struct, frozen=True, kw_only=True):
    detail: str = ""
    pointer: str | None = None
    parameter: str | None = None

    @property
    def field(self) -> str:
        path = (self.pointer or "").removeprefix("/").replace("/", ".")
        return self.parameter or path.replace("~1", "/").replace("~0", "~") or "body"

    @property
    def text(self) -> str:
        return self.detail.removeprefix(f"{self.field}: ")


class GatewayProblem(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway says of an error."""

    type: str = ""
    detail: str = ""
    request_id: str = ""
    errors: tuple[_Fault, ...] = ()
    #: The request's result, where that is the error.
    result: Result | None = None
    #: Of the request that has the id.
    kind: str = ""
    sequence: int | None = None

    @property
    def slug(self) -> str:
        """Its type without the path before it."""
        return self.type.rpartition("/")[2]


def decode(answer: HttpAnswer, type: type[T]) -> T:
    """The body as JSON.

    Raises:
        Unreadable: it is not what the gateway answers.
    """
    try:
        return msgspec.json.decode(answer.body, type=type)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise Unreadable(
            f"the answer with status {answer.status} cannot be read ({error}); is that URL the gateway's?"
        ) from None


def read_problem(answer: HttpAnswer) -> GatewayProblem | None:
    """The problem in an answer; ``None``: it has none, so it is not the gateway's own."""
    if answer.headers.get("content-type", "").partition(";")[0].strip() != "application/problem+json":
        return None
    try:
        return msgspec.json.decode(answer.body, type=GatewayProblem)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None


def find_trouble(answer: HttpAnswer) -> PassingTrouble | None:
    """The trouble behind an answer, where it passes by itself; ``None``: the answer is final."""
    problem = read_problem(answer)
    after_s = read_retry_after(answer.headers.get("retry-after"))
    said = problem.detail if problem is not None else f"status {answer.status}"
    unavailable = Unavailable(f"{said}; send the same request again, under the same id")
    match answer.status:
        case HTTPStatus.TOO_MANY_REQUESTS:
            return PassingTrouble(Busy(said), lost=False, after_s=after_s)
        case HTTPStatus.REQUEST_TIMEOUT:
            return PassingTrouble(unavailable, lost=False, after_s=after_s)
        case status if status in _PROXY and problem is None:
            return PassingTrouble(unavailable, lost=True, after_s=after_s)
        case HTTPStatus.SERVICE_UNAVAILABLE if problem is not None and problem.slug == _BUSY:
            return PassingTrouble(Busy(said), lost=False, after_s=after_s)
        case HTTPStatus.SERVICE_UNAVAILABLE if problem is not None and problem.slug in _PASSING:
            return PassingTrouble(unavailable, lost=problem.slug in _AWAY, after_s=after_s)
        case _:
            return None


def error_of(answer: HttpAnswer, *, expected_kind: str | None = None) -> ClientError:  # noqa: PLR0911 - one for each
    """The error that an answer means which is no success.

    Args:
        answer: the answer.
        expected_kind: the content kind that the caller meant.
    """
    problem = read_problem(answer)
    said = problem.detail if problem is not None else _shown(answer)
    match answer.status, problem:
        case status, _ if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
            where = answer.headers.get("location", "")[:_SHOWN]
            return Unreachable(
                f"the URL answers with a redirect to {where!r}, which is not followed: a token must not go there "
                "unasked; use the gateway's own URL"
            )
        case status, _ if status in _REFUSED:
            return AccessDenied(said)
        case HTTPStatus.UNPROCESSABLE_ENTITY, GatewayProblem() if problem.slug == "id-taken":
            return IdTaken(problem.request_id, problem.kind, problem.sequence, expected=expected_kind)
        case HTTPStatus.UNPROCESSABLE_ENTITY, GatewayProblem():
            return _invalid(problem)
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _:
            return InvalidRequest("body", said)
        case HTTPStatus.MISDIRECTED_REQUEST, _:
            return Unreachable(said)
        case ((HTTPStatus.GONE | HTTPStatus.BAD_GATEWAY), _):
            return Unreadable(said)
        case _:
            return ClientError(f"the gateway answers {answer.status}: {said}")


def _invalid(problem: GatewayProblem) -> InvalidRequest:
    if not problem.errors:
        return InvalidRequest("request", problem.detail)
    first, *others = problem.errors
    more = "".join(f" | {each.field}: {each.text}" for each in others)
    return InvalidRequest(first.field, first.text + more)


def read_result(answer: HttpAnswer, *, kind: str) -> Result:
    """The result in an answer, as such or within a problem.

    Raises:
        ClientError: there is none.
    """
    if answer.status in (HTTPStatus.OK, HTTPStatus.CREATED):
        return decode(answer, Result)
    problem = read_problem(answer)
    if problem is not None and problem.result is not None:
        return problem.result
    raise error_of(answer, expected_kind=kind)


def _shown(answer: HttpAnswer) -> str:
    text = answer.body[:_SHOWN].decode(errors="replace")
    return "".join(each if each.isprintable() else " " for each in text).strip() or "nothing more"
