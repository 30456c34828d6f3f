"""`/api/v1/generations`: create, read, explain and cancel requests."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from infra.gateway import documents, lookup
from infra.gateway.access import Principal, Role, require
from infra.gateway.gateway import Here
from infra.gateway.orders import read_order
from infra.gateway.routes.generate import answer_order
from infra.gateway.routes.jobs import Wait, answer_found

router: Final = APIRouter(prefix="/api/v1/generations", tags=["generations"])
_Client = Annotated[Principal, require(Role.CLIENT)]


@router.post(
    "",
    summary="Create a request",
    status_code=202,
    responses=documents.CREATED | documents.ACCEPTED | documents.problems(409, 413, 415, 422, 502, 503),
    openapi_extra=documents.ORDER_PREFER,
)
async def create(request: Request, gateway: Here, principal: _Client) -> Response:
    """Publish a request: 202 with its address; with `Prefer: wait=N`, 201 with the result if it comes in time."""
    order = await read_order(gateway, principal, request)
    return await answer_order(gateway, request, order, usual_s=0, done=201)


@router.get(
    "/{request_id}",
    summary="The state of a request, and its result",
    responses=documents.JOB | documents.problems(404, 410, 503),
)
async def get(
    request_id: str, request: Request, gateway: Here, principal: _Client, wait: Wait = 0
) -> Response:
    """As `/api/generation-jobs/{job_id}`."""
    found = await lookup.find(gateway, principal, request_id, wait_s=wait)
    return await answer_found(gateway, request, found)
