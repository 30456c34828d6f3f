"""`/api/v1/compare` and `/api/v1/reruns`: two requests or many side by side, and many run again to be compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Query
from starlette.responses import Response

from contracts.request_edits import EditError
from infra.app.rerun_desk import NotFound, RerunDesk, read_options
from infra.gateway import documents, lookup, ops_documents
from infra.gateway.access import AccessRole, Principal, require
from infra.gateway.answers import json_answer
from infra.gateway.changes import record_change
from infra.gateway.gateway import Gateway, Here
from infra.gateway.problems import Problem, not_found, parameter_problem
from infra.gateway.replay_orders import edits_problem, list_assignments, read_selection
from infra.gateway.rerun_orders import ManyComparisons, ManyReruns, check_shadows
from infra.inspect.comparison import Comparison, summarise
from infra.inspect.outcomes import ComparedPair
from infra.providers.names import ModelUnknown
from infra.replay.reruns import RerunError, make_job_name

router: Final = APIRouter(prefix="/api/v1", tags=["compare"])
_Viewer = Annotated[Principal, require(AccessRole.VIEWER)]
_Operator = Annotated[Principal, require(AccessRole.OPERATOR)]
_Id = Annotated[str | None, Query(min_length=1, max_length=255, description="Id of a request.")]


@router.get(
    "/compare",
    summary="Compare two requests, or all pairs of a rerun",
    responses=ops_documents.COMPARED | documents.problems(404, 422, 503),
)
async def compare(
    gateway: Here,
    principal: _Viewer,
    a: _Id = None,
    b: _Id = None,
    rerun: Annotated[str | None, Query(pattern="^[A-Za-z0-9]{1,24}$", description="Name of a rerun.")] = None,
) -> Response:
    """As `understudy compare --json`: what was asked differently, the fields of the contents that differ, and figures."""
    if (a is None) != (b is None) or (a is None) == (rerun is None):
        raise parameter_problem("a", "give a and b, or rerun")
    desk = RerunDesk(gateway.settings, gateway.client)
    async with gateway.wait():
        await gateway.require_broker()
        if a is not None and b is not None:
            (found,) = await _compare(desk, principal, [ComparedPair(a=a, b=b)])
            return json_answer(found)
        try:
            pairs = await desk.pairs_of(rerun or "")
            return _answer_many(await desk.compare(pairs, workspace=principal.workspace))
        except NotFound:
            raise not_found(f"rerun {rerun!r}") from None


@router.post(
    "/compare",
    summary="Compare many pairs of requests",
    responses=ops_documents.COMPARED_MANY | documents.problems(400, 404, 413, 415, 422, 503),
    openapi_extra=ops_documents.body_example({"pairs": [{"a": "forest-1", "b": "forest-2"}]}),
)
async def compare_many(wanted: ManyComparisons, gateway: Here, principal: _Viewer) -> Response:
    """As `understudy compare --pairs --json`: `fields` counts the fields that differ, `comparisons` has each pair."""
    desk = RerunDesk(gateway.settings, gateway.client)
    pairs = [ComparedPair(a=each.a, b=each.b) for each in wanted.pairs]
    async with gateway.wait():
        await gateway.require_broker()
        return _answer_many(await _compare(desk, principal, pairs))


@router.post(
    "/reruns",
    summary="Run many requests again, as shadows",
    status_code=202,
    responses=ops_documents.RERUN_PLAN
    | ops_documents.RERUNS_STARTED
    | documents.problems(400, 403, 404, 409, 413, 415, 422, 503),
    openapi_extra=ops_documents.body_example(
        {"filter": {"kind": "layout", "since": "1h"}, "set": {"params.temperature": 0.2}, "dry_run": True}
    ),
)
async def rerun_many(wanted: ManyReruns, gateway: Here, principal: _Operator) -> Response:
    """Publish shadows of past requests, some at a time: no subscriber, cache or statistic sees their results.

    202 while they run in the gateway, with the address of their comparison; 200 with the plan where `dry_run` is set.
    The same order with the name in `job` continues a rerun that a stop of the gateway interrupted.
    """
    if not wanted.dry_run:
        gateway.replays.check_room()
    where = read_selection(gateway, principal, wanted)
    start = None if wanted.from_stage == "context-build" else wanted.from_stage
    desk = RerunDesk(gateway.settings, gateway.client)
    job = wanted.job or make_job_name(gateway.clock())
    try:
        async with gateway.wait():
            await gateway.require_broker()
            options = read_options(gateway.settings, list_assignments(wanted.edits), start)
            ids = await _select(gateway, principal, desk, wanted, where)
            plan = await desk.plan(ids, options, job=job)
            check_shadows(principal, plan)
            body: dict[str, Any] = {
                "job": plan.job,
                "requests": [
                    {"original": each.original, "request_id": each.request_id} for each in plan.items
                ],
                "refused": plan.refused,
                "estimate": msgspec.to_builtins(desk.estimate(plan, options)),
                "links": {"compare": f"/api/v1/compare?rerun={plan.job}"},
            }
            if wanted.dry_run:
                return json_answer(body)
            if not plan.items:
                raise Problem(409, "conflict", "nothing was run", more={"plan": body})
            await record_change(gateway, principal, "reruns.create", plan.job)
            gateway.replays.start_rerun(plan.job, lambda: desk.run(plan.items, in_flight=wanted.in_flight))
    except (EditError, ModelUnknown, RerunError) as error:
        raise edits_problem(error) from None
    return json_answer(body, status=202, headers={"Location": body["links"]["compare"]})


async def _select(
    gateway: Gateway, principal: Principal, desk: RerunDesk, wanted: ManyReruns, where: Any
) -> list[str]:
    named = list(dict.fromkeys(map(str, wanted.ids or ())))
    for each in named:
        await lookup.check_visible(gateway, principal, each)
    if wanted.filter is None and named:
        return named if wanted.limit is None else named[-wanted.limit :]
    found = await desk.select(where, limit=wanted.limit)
    return [each for each in found if not named or each in set(named)]


async def _compare(desk: RerunDesk, principal: Principal, pairs: Sequence[ComparedPair]) -> list[Comparison]:
    try:
        return await desk.compare(pairs, workspace=principal.workspace)
    except NotFound as error:
        raise Problem(404, "not-found", str(error)) from None


def _answer_many(found: Sequence[Comparison]) -> Response:
    summary = msgspec.to_builtins(summarise(found))
    return json_answer(summary | {"comparisons": msgspec.to_builtins(found)})
