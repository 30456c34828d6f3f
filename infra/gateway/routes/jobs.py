"""`GET /api/generation-jobs/{job_id}`: the state of a request, and its result once there is one."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from infra.gateway import answers, documents, lookup
from infra.gateway.access import AccessRole, Principal, require
from infra.gateway.gateway import Gateway, Here
from infra.gateway.preferences import MOST_S

router: Final = APIRouter(tags=["requests"])
#: Parameter of a route: seconds of a long poll.
Wait = Annotated[int, Query(ge=0, le=MOST_S, description="Seconds to wait for the result.")]


@router.get(
    "/api/generation-jobs/{job_id}",
    summary="The state of a request, and its result",
    responses=documents.JOB | documents.problems(404, 410, 503),
)
async def job(
    job_id: str,
    request: Request,
    gateway: Here,
    principal: Annotated[Principal, require(AccessRole.CLIENT)],
    wait: Wait = 0,
) -> Response:
    """200 whatever the state is; before the result with `Retry-After`, afterwards with an `ETag`."""
    found = await lookup.find(gateway, principal, job_id, wait_s=wait)
    return await answer_found(gateway, request, found)


async def answer_found(gateway: Gateway, request: Request, found: lookup.FoundRequest) -> Response:
    """The answer about a request as it is now."""
    body: dict[str, Any] = {
        "job_id": found.request_id,
        "kind": found.kind,
        "status": found.status,
        "links": answers.links_of(found.request_id),
        "result": None,
    }
    ended = found.ended
    if ended is None:
        return answers.json_answer(
            body,
            headers={
                "Retry-After": "1",
                "Cache-Control": "no-store",
                "Understudy-Request-Id": found.request_id,
            },
        )
    tag = answers.etag_of(ended)
    headers = answers.label_headers(ended) | {"ETag": tag, "Cache-Control": "private, no-cache"}
    if answers.matches(request.headers.get("if-none-match"), tag):
        return Response(status_code=304, headers=headers)
    return answers.json_answer(body | {"result": await answers.whole(gateway, ended)}, headers=headers)
