"""`/api/v1/replays`: plan, start, watch, pause, resume, stop and undo replay jobs."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from infra.app.replay_json import item_to_json, job_to_json, proposal_to_json
from infra.gateway import documents, listing, ops_documents
from infra.gateway.access import AccessRole, Principal, require
from infra.gateway.answers import json_answer
from infra.gateway.changes import record_change
from infra.gateway.gateway import Gateway, Here
from infra.gateway.problems import Problem
from infra.gateway.replay_access import describe, find_view, open_desk, path_of
from infra.gateway.replay_orders import ReplayOrder, ReplayPace, propose
from infra.replay import jobs, spending
from infra.replay.jobs import JobError, JobItem, JobLimits, JobState, ReplayJob
from infra.replay.plans import ItemState, PlanChanged
from infra.replay.spending import ReplayOutcome

router: Final = APIRouter(prefix="/api/v1/replays", tags=["replays"])
_Viewer = Annotated[Principal, require(AccessRole.VIEWER)]
_Operator = Annotated[Principal, require(AccessRole.OPERATOR)]
_Job = Annotated[int, Path(ge=1, le=2**31 - 1, description="The job's number.")]
_PATH: Final = "/api/v1/replays"
#: Rows of a page by default, and at most; and requests that a plan shows, of which the job has all.
_ROWS: Final = 100
_MOST_ROWS: Final = 1000


class UndoOrder(BaseModel):
    """How a job is undone."""

    model_config = ConfigDict(extra="forbid")

    dry_run: bool = Field(default=False, description="Say what would be undone, and what cannot be.")


@router.post(
    "",
    summary="Plan a replay, or start it as a job",
    status_code=202,
    responses=ops_documents.REPLAY_PLAN
    | ops_documents.REPLAY_STARTED
    | documents.problems(400, 403, 404, 409, 412, 413, 415, 422, 503),
    openapi_extra=ops_documents.REPLAY_ORDER,
)
async def create(order: ReplayOrder, gateway: Here, principal: _Operator) -> Response:
    """Repeat past requests or dead letters, each as a new request with its own id, as `understudy replay` does.

    With `dry_run` 200 and the plan; else 202 when the job runs in the gateway.  409 where nothing is to be published,
    or another job has the same plan.
    """
    if not order.dry_run:
        gateway.replays.check_room()
    async with gateway.wait():
        await gateway.require_broker()
        desk = await open_desk(gateway)
        proposal = await propose(gateway, principal, desk, order)
        if order.plan_hash is not None:
            await _require_plan(desk.require_plan(proposal, order.plan_hash))
        plan = proposal_to_json(proposal, None)
        plan["items"] = plan["items"][:_MOST_ROWS]
        if not proposal.plan.counts["planned"]:
            if order.dry_run:
                return json_answer(plan)
            counts = proposal.plan.counts
            raise Problem(
                409,
                "conflict",
                f"nothing was published: {counts['refused']:,} refused, {counts['present']:,} replayed before",
                more={"plan": plan},
            )
        if not order.dry_run:
            await record_change(gateway, principal, "replays.create", proposal.plan.plan_hash)
        job = await desk.create(proposal, order.limits)
        if order.dry_run:
            return json_answer(plan | {"job": job.job})
        await gateway.replays.start(
            job.job, lambda begin: desk.run(job.job, proposal=proposal, on_begin=begin)
        )
    return await _answer_started(gateway, principal, job.job)


@router.get(
    "",
    summary="List replay jobs, newest first",
    responses=ops_documents.REPLAYS | documents.problems(422, 503),
)
async def list_replays(
    request: Request,
    gateway: Here,
    principal: _Viewer,
    limit: Annotated[int, Query(ge=1, le=_MOST_ROWS, description="Rows of a page.")] = _ROWS,
    cursor: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="From the page before.")] = None,
) -> Response:
    """A page of what `understudy replay ls --json` prints; a token of one workspace sees the jobs of its own."""
    found = await gateway.query(
        partial(jobs.list_jobs, limit=limit + 1, before=cursor, workspace=principal.workspace),
        missing=list[ReplayJob](),
    )
    token = str(found[limit - 1].job) if len(found) > limit else None
    headers = {} if token is None else {"Link": listing.link_next(_PATH, request.query_params, token)}
    items = [job_to_json(each) for each in found[:limit]]
    return json_answer({"items": items, "next": token}, headers=headers)


@router.get(
    "/{job}", summary="A replay job", responses=ops_documents.REPLAY | documents.problems(404, 422, 503)
)
async def show(job: _Job, gateway: Here, principal: _Viewer) -> Response:
    """As `understudy replay show --json` without the requests, which are at `items`."""
    return json_answer(describe(await find_view(gateway, principal, job)))


@router.get(
    "/{job}/items",
    summary="The requests of a replay job, and how each has ended",
    responses=ops_documents.REPLAY_ITEMS | documents.problems(404, 422, 503),
)
async def items(
    job: _Job,
    request: Request,
    gateway: Here,
    principal: _Viewer,
    state: Annotated[ItemState | None, Query(description="Only requests in this state.")] = None,
    limit: Annotated[int, Query(ge=1, le=_MOST_ROWS, description="Rows of a page.")] = _ROWS,
    cursor: Annotated[int | None, Query(ge=0, le=2**31 - 1, description="From the page before.")] = None,
) -> Response:
    """A page in the order of the plan; `outcome` is null until the audit has the result."""
    await find_view(gateway, principal, job)
    after = -1 if cursor is None else cursor
    states = () if state is None else (state,)
    found = await gateway.query(
        partial(jobs.read_items, job=job, states=states, after=after, limit=limit + 1),
        missing=list[JobItem](),
    )
    page = found[:limit]
    outcomes = await gateway.query(
        partial(spending.read_outcomes, request_ids=[each.request_id for each in page]),
        missing=dict[str, ReplayOutcome](),
    )
    token = str(page[-1].position) if len(found) > limit else None
    path = f"{path_of(job)}/items"
    headers = {} if token is None else {"Link": listing.link_next(path, request.query_params, token)}
    rows = [
        item_to_json(each) | {"position": each.position, "outcome": outcomes.get(each.request_id)}
        for each in page
    ]
    return json_answer({"items": rows, "next": token}, headers=headers)


@router.post(
    "/{job}/pause",
    summary="Pause a replay job",
    responses=ops_documents.REPLAY | documents.problems(404, 409, 422, 503),
)
async def pause(job: _Job, gateway: Here, principal: _Operator) -> Response:
    """The process that runs it, wherever that is, stops after the batch at hand."""
    return await _change(gateway, principal, job, "pause")


@router.post(
    "/{job}/stop",
    summary="Stop a replay job for good",
    responses=ops_documents.REPLAY | documents.problems(404, 409, 422, 503),
)
async def stop(job: _Job, gateway: Here, principal: _Operator) -> Response:
    """What it has published stays."""
    return await _change(gateway, principal, job, "stop")


@router.post(
    "/{job}/resume",
    summary="Start a planned replay job, or continue it",
    status_code=202,
    responses=ops_documents.REPLAY_STARTED | documents.problems(400, 404, 409, 412, 413, 415, 422, 503),
)
async def resume(job: _Job, gateway: Here, principal: _Operator, pace: ReplayPace | None = None) -> Response:
    """The job runs in the gateway, also one that the command line began; nothing is published twice.

    409 where it has ended or another process runs it; 412 where a plan is no longer what it was.
    """
    async with gateway.wait():
        await gateway.require_broker()
        view = await find_view(gateway, principal, job)
        _check_resume(view.job)
        await gateway.replays.join(job)
        gateway.replays.check_room()
        await record_change(gateway, principal, "replays.resume", str(job))
        desk = await open_desk(gateway)
        if pace is not None and pace.limits != JobLimits():
            await desk.change_limits(job, pace.limits)
        await _require_plan(
            gateway.replays.start(job, lambda begin: desk.run(job, on_begin=begin)), only=PlanChanged
        )
    return await _answer_started(gateway, principal, job)


@router.post(
    "/{job}/undo",
    summary="Undo a replay job, as far as that is possible",
    responses=ops_documents.REPLAY_UNDONE | documents.problems(400, 404, 409, 413, 415, 422, 503),
)
async def undo(job: _Job, gateway: Here, principal: _Operator, order: UndoOrder | None = None) -> Response:
    """Cancel what runs, remove cache entries, publish the earlier results again; `cannot` lists what cannot be undone."""
    dry = order is not None and order.dry_run
    async with gateway.wait():
        await gateway.require_broker()
        await find_view(gateway, principal, job)
        if not dry:
            await gateway.query(partial(jobs.check_undo, job=job), missing=None)
            await record_change(gateway, principal, "replays.undo", str(job))
        desk = await open_desk(gateway)
        return json_answer(await desk.undo(job, dry_run=dry))


async def _answer_started(gateway: Gateway, principal: Principal, job: int) -> Response:
    view = await find_view(gateway, principal, job)
    return json_answer(describe(view), status=202, headers={"Location": path_of(job)})


async def _change(gateway: Gateway, principal: Principal, job: int, verb: str) -> Response:
    view = await find_view(gateway, principal, job)
    if view.job.state in jobs.RESUMABLE:
        # Others are refused, which is no change.
        await record_change(gateway, principal, f"replays.{verb}", str(job))
    desk = await open_desk(gateway)
    await (desk.pause(job) if verb == "pause" else desk.stop(job))
    return json_answer(describe(await find_view(gateway, principal, job)))


async def _require_plan(
    work: Awaitable[None], *, only: type[Exception] | tuple[type[Exception], ...] = (PlanChanged, JobError)
) -> None:
    """412 where a plan has changed, or is not known."""
    try:
        await work
    except only as error:
        differences = error.differences if isinstance(error, PlanChanged) else ()
        raise Problem(
            412, "precondition-failed", str(error), more={"differences": list(differences)}
        ) from None


def _check_resume(job: ReplayJob) -> None:
    """409 at once for a job that has ended, or that a process has just said that it runs."""
    jobs.check_resume(job)
    now_ms = round(time.time() * 1000)
    if job.state is JobState.RUNNING and (job.beat_ms or 0) > now_ms - jobs.LEASE_MS:
        raise JobError(f"job {job.job} runs already: try again when it has ended, or pause it")
