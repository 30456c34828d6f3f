"""`/api/v1/generations`: create, list, read, explain, cancel and rerun requests."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from understudy_client import NoResult

from contracts.request_edits import EditError
from infra.app.rerun_desk import RerunDesk, read_options
from infra.gateway import answers, documents, listing, lookup
from infra.gateway.access import AccessRole, Principal, require
from infra.gateway.answers import json_answer
from infra.gateway.changes import record_change
from infra.gateway.gateway import Here
from infra.gateway.orders import read_order
from infra.gateway.problems import Problem, not_found
from infra.gateway.replay_orders import edits_problem, list_assignments
from infra.gateway.rerun_orders import check_shadows
from infra.gateway.routes.generate import answer_order
from infra.gateway.routes.jobs import Wait, answer_found
from infra.inspect import audit_listing, explanation
from infra.inspect.filter_conditions import check_text
from infra.providers.names import ModelUnknown
from infra.replay.reruns import RerunError, make_job_name

router: Final = APIRouter(prefix="/api/v1/generations", tags=["generations"])
_Client = Annotated[Principal, require(AccessRole.CLIENT)]
_Viewer = Annotated[Principal, require(AccessRole.VIEWER)]
_Operator = Annotated[Principal, require(AccessRole.OPERATOR)]
#: Who asks can also stop paying, for requests of its workspace.
_Canceller = Annotated[Principal, require(AccessRole.CLIENT, unbound=AccessRole.OPERATOR)]
#: Rows of a page by default, and at most.
_ROWS: Final = 100
_MOST_ROWS: Final = 1000
#: Seconds within which a running fallback answers a cancellation.
_ANSWER_S: Final = 3.0
_PATH: Final = "/api/v1/generations"


class CancelRequest(BaseModel):
    """Why a request is cancelled."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(default="cancelled over HTTP", min_length=1, max_length=1000)


class RerunRequest(BaseModel):
    """What a rerun changes."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    from_stage: Literal["context-build", "structuring", "validate-repair"] = Field(
        default="context-build", alias="from", description="The first stage that works."
    )
    edits: dict[str, Any] = Field(
        default={},
        alias="set",
        max_length=100,
        description="Fields to change, such as `params.temperature`, `prompt` or `model`.",
        examples=[{"params.temperature": 0.2}],
    )
    job: str | None = Field(
        default=None,
        description="Name of the rerun; the same name is the same shadow.",
        pattern="^[A-Za-z0-9]{1,24}$",
    )
    dry_run: bool = Field(default=False, description="Say what would run; publish nothing.")


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
    "",
    summary="List requests, newest first",
    responses=documents.PAGE | documents.problems(422, 503),
    openapi_extra={"parameters": listing.filter_parameters()},
)
async def list_generations(
    request: Request,
    gateway: Here,
    principal: _Viewer,
    limit: Annotated[int, Query(ge=1, le=_MOST_ROWS, description="Rows of a page.")] = _ROWS,
    cursor: Annotated[str | None, Query(max_length=400, description="From the page before.")] = None,
) -> Response:
    """A page of the audit, which is some hundred milliseconds behind the pipeline; `Link` has the next one."""
    query = request.query_params
    where = listing.read_filter(query, principal, now_ms=gateway.now_ms())
    check_text(where, stored=gateway.settings.audit.store_prompts)
    after = None if cursor is None else listing.read_cursor(cursor)
    rows, following = await gateway.query(
        lambda engine: audit_listing.read_page(engine, where=where, limit=limit, after=after),
        missing=([], None),
    )
    token = None if following is None else listing.write_cursor(following)
    headers = {} if token is None else {"Link": listing.link_next(_PATH, query, token)}
    return json_answer({"items": rows, "next": token}, headers=headers)


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


@router.get(
    "/{request_id}/content",
    summary="The content of a request",
    responses=documents.CONTENT | documents.problems(404, 410, 503),
)
async def content(
    request_id: str, request: Request, gateway: Here, principal: _Client, wait: Wait = 0
) -> Response:
    """The document alone, with its labels as headers; 404 while there is none."""
    found = await lookup.find(gateway, principal, request_id, wait_s=wait)
    ended = found.ended
    if ended is None:
        raise Problem(
            404,
            "not-found",
            f"request {request_id!r} has no result yet",
            request_id=request_id,
            headers={"Retry-After": "1"},
        )
    tag = answers.etag_of(ended)
    headers = answers.label_headers(ended) | {"ETag": tag, "Cache-Control": "private, no-cache"}
    if answers.matches(request.headers.get("if-none-match"), tag):
        return Response(status_code=304, headers=headers)
    document = await gateway.client.document(ended)
    if document is None:
        raise Problem(
            404,
            "not-found",
            f"request {request_id!r} ended as {ended.status}, without content",
            request_id=request_id,
        )
    return json_answer(document, headers=headers)


@router.get(
    "/{request_id}/why",
    summary="The history of a request",
    responses=documents.WHY | documents.problems(404, 503),
)
async def why(request_id: str, gateway: Here, principal: _Client) -> Response:
    """Everything that the event log has about a request: events, latencies, attempts, and why it fell back."""
    async with gateway.wait(request_id):
        await gateway.require_broker()
        await lookup.check_visible(gateway, principal, request_id)
        found = await explanation.explain(gateway.wire, request_id, audit=gateway.open_audit)
    if found is None:
        raise Problem(410, "gone", f"request {request_id!r} is no longer in the event log, only in the audit")
    return json_answer(explanation.to_json(found))


@router.post(
    "/{request_id}/cancel",
    summary="Cancel a request",
    responses=documents.CANCELLED | documents.problems(400, 404, 413, 415, 422, 503),
)
async def cancel(
    request_id: str, gateway: Here, principal: _Canceller, cancellation: CancelRequest | None = None
) -> Response:
    """No effect once there is a result. 200 with the status if the request has ended, else 202: it ends soon.

    A token of one workspace may cancel the requests of that workspace, whatever its role; any other one needs the role
    operator.
    """
    reason = (cancellation or CancelRequest()).reason
    async with gateway.wait(request_id):
        await gateway.require_broker()
        await lookup.check_visible(gateway, principal, request_id)
        ended = await gateway.client.look(request_id)
        if ended is None:
            await record_change(gateway, principal, "generations.cancel", request_id)
            published = await gateway.client.cancel(request_id, reason=reason)
            if published is None:
                raise not_found(f"request {request_id!r}")
            try:
                ended = await gateway.client.wait(request_id, timeout_s=_ANSWER_S)
            except NoResult:
                return json_answer({"request_id": request_id, "status": None}, status=202)
    return json_answer({"request_id": request_id, "status": ended.status})


@router.post(
    "/{request_id}/rerun",
    summary="Run a request again, as a shadow",
    responses=documents.RERUN | documents.problems(400, 404, 409, 413, 415, 422, 503),
)
async def rerun(
    request_id: str, gateway: Here, principal: _Operator, wanted: RerunRequest | None = None
) -> Response:
    """Publish a shadow of a past request: no subscriber, cache or statistic sees its result.

    202 with the address of the shadow; 200 with the plan where `dry_run` is set.
    """
    asked = wanted or RerunRequest()
    start = None if asked.from_stage == "context-build" else asked.from_stage
    desk = RerunDesk(gateway.settings, gateway.client)
    job = asked.job or make_job_name(gateway.clock())
    try:
        async with gateway.wait(request_id):
            await gateway.require_broker()
            await lookup.check_visible(gateway, principal, request_id)
            options = read_options(gateway.settings, list_assignments(asked.edits), start)
            plan = await desk.plan([request_id], options, job=job)
            check_shadows(principal, plan)
            if plan.items and not asked.dry_run:
                await record_change(gateway, principal, "generations.rerun", request_id)
                await desk.publish(plan.items)
    except (EditError, ModelUnknown, RerunError) as error:
        raise edits_problem(error) from None
    if plan.refused:
        raise Problem(409, "conflict", plan.refused[0].reason, request_id=request_id)
    (shadow,) = plan.items
    body = {
        "job": plan.job,
        "original": request_id,
        "request_id": shadow.request_id,
        "estimate": msgspec.to_builtins(desk.estimate(plan, options)),
        "links": answers.links_of(shadow.request_id),
    }
    if asked.dry_run:
        return json_answer(body)
    return json_answer(body, status=202, headers={"Location": answers.job_path(shadow.request_id)})
