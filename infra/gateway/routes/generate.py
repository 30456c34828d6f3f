"""`POST /generate` and `POST /api/generate-content`: ask, and wait for the result or for a while."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from infra.gateway import answers, documents, submission
from infra.gateway.access import AccessRole, Principal, require
from infra.gateway.gateway import Gateway, Here
from infra.gateway.orders import GenerationOrder, read_order
from infra.gateway.preferences import read_preference
from infra.gateway.problems import Problem

router: Final = APIRouter(tags=["requests"])
_Client = Annotated[Principal, require(AccessRole.CLIENT)]


@router.post(
    "/generate",
    summary="Generate content, and wait for the result",
    responses=documents.RESULT | documents.problems(409, 413, 415, 422, 502, 503, 504),
    openapi_extra=documents.ORDER,
)
async def generate(request: Request, gateway: Here, principal: _Client) -> Response:
    """Publish a request and wait for its one result, until its deadline and two seconds more.

    With an `Idempotency-Key` the same request can be sent again: it is generated once, and each call gets its result.
    """
    order = await read_order(gateway, principal, request)
    result = await submission.ask(gateway, order, await submission.patience_s(gateway, order))
    if result is None:
        raise Problem(
            504,
            "no-result-in-time",
            f"no result for {order.request_id} within its deadline; the request goes on",
            request_id=order.request_id,
            headers={"Location": answers.job_path(order.request_id)},
        )
    return await answers.answer_result(gateway, result)


@router.post(
    "/api/generate-content",
    summary="Generate content, and wait for a while",
    responses=documents.RESULT | documents.ACCEPTED | documents.problems(409, 413, 415, 422, 502, 503),
    openapi_extra=documents.ORDER_PREFER,
)
async def generate_content(request: Request, gateway: Here, principal: _Client) -> Response:
    """Publish a request; its result if it comes within `Prefer: wait=N` seconds (default 5, at most 60), else 202."""
    order = await read_order(gateway, principal, request)
    return await answer_order(gateway, request, order)


async def answer_order(
    gateway: Gateway,
    request: Request,
    order: GenerationOrder,
    *,
    usual_s: int | None = None,
    done: int = 200,
) -> Response:
    """Publish an order, and answer with its result or with where the result will be.

    Args:
        gateway: the gateway.
        request: whose ``Prefer`` counts.
        order: the order.
        usual_s: seconds to wait where the client names none; none: those of :mod:`infra.gateway.preferences`.
        done: the status of the answer with a result.

    Raises:
        Problem: as :func:`infra.gateway.answers.answer_result`.
    """
    values = request.headers.getlist("prefer")
    preference = read_preference(values) if usual_s is None else read_preference(values, usual_s=usual_s)
    headers = preference.headers
    result = submitted = None
    if preference.wait_s:
        result = await submission.ask(gateway, order, preference.wait_s)
    else:
        submitted = await submission.submit(gateway, order)
    location = answers.job_path(order.request_id)
    if result is not None:
        more = {"Location": location} if done == HTTPStatus.CREATED else {}
        return await answers.answer_result(gateway, result, status=done, headers=headers | more)
    accepted: dict[str, Any] = {
        "job_id": order.request_id,
        "kind": order.kind,
        "status": "pending",
        "links": answers.links_of(order.request_id),
    }
    if submitted is not None:
        accepted |= {
            "sequence": submitted.sequence,
            "duplicate": submitted.duplicate,
            "trace_id": submitted.trace_id,
        }
    labels = {"Location": location, "Retry-After": "1", "Understudy-Request-Id": order.request_id}
    return answers.json_answer(accepted, status=202, headers=headers | labels)
