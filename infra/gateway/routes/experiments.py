"""`/api/v1/experiments`: what experiments there are, what they say, and their end."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from contracts.experiments import Experiment
from infra.app import experiment_desk
from infra.gateway import documents, observe_documents
from infra.gateway.access import AccessRole, Principal, require
from infra.gateway.answers import json_answer
from infra.gateway.changes import record_change
from infra.gateway.gateway import Gateway, Here
from infra.gateway.problems import FieldProblem, Problem, not_found, parameter_problem
from infra.inspect.experiments import ExperimentReading
from infra.inspect.request_filter import parse_moment
from infra.stores import experiments as store

router: Final = APIRouter(prefix="/api/v1/experiments", tags=["experiments"])
_Viewer = Annotated[Principal, require(AccessRole.VIEWER, everywhere=True)]
_Designer = Annotated[Principal, require(AccessRole.DESIGNER, everywhere=True)]
_Name = Annotated[
    str, Path(description="Name of the experiment.", openapi_examples={"tone": {"value": "layout-tone"}})
]
#: Seconds for which a reading is kept: it draws thousands of samples.
_KEPT_S: Final = 5.0


class Promotion(BaseModel):
    """Which arm every request gets from now on."""

    model_config = ConfigDict(extra="forbid")

    arm: str = Field(min_length=1, max_length=32, description="An arm of the experiment.", examples=["v2"])


@router.get("", summary="List experiments", responses=observe_documents.EXPERIMENTS | documents.problems(503))
async def list_all(gateway: Here, _: _Viewer) -> Response:
    """As `understudy experiments ls --json`; a file that cannot be used is listed with its error."""
    rows = await asyncio.to_thread(experiment_desk.list_experiments, gateway.settings.experiments_dir)
    return json_answer(rows)


@router.get(
    "/{name}",
    summary="What an experiment says",
    responses=observe_documents.EXPERIMENT | documents.problems(404, 409, 422, 503),
)
async def show(
    name: _Name,
    gateway: Here,
    _: _Viewer,
    since: Annotated[
        str | None,
        Query(
            max_length=64,
            description="Only results since then: an age or a time; default: all.",
            openapi_examples={"week": {"value": "7d"}},
        ),
    ] = None,
) -> Response:
    """As `understudy experiments show NAME --format json`."""
    plan = await _find(gateway, name)
    try:
        since_ms = None if since is None else parse_moment(since, gateway.now_ms())
    except ValueError as error:
        raise parameter_problem("since", f"{since!r} {error}") from None

    async def compute() -> ExperimentReading:
        now_ms = gateway.now_ms()
        return await gateway.query(
            lambda engine: experiment_desk.read(engine, plan, since_ms=since_ms, now_ms=now_ms),
            missing=experiment_desk.read_nothing(plan, now_ms=now_ms),
        )

    async with gateway.wait():
        key = ("experiment", plan.model_dump_json(), since)
        found = await gateway.shared.get(key, compute, kept_s=_KEPT_S, in_turn=True)
    return json_answer(found)


@router.post(
    "/{name}/stop",
    summary="Stop an experiment",
    responses=observe_documents.EXPERIMENT_ROW | documents.problems(404, 409, 503),
)
async def stop(name: _Name, gateway: Here, principal: _Designer) -> Response:
    """As `understudy experiments stop NAME`: every request gets the control from now on."""
    return await _end(gateway, principal, name, None)


@router.post(
    "/{name}/promote",
    summary="Promote an arm",
    responses=observe_documents.EXPERIMENT_ROW | documents.problems(404, 409, 415, 422, 503),
)
async def promote(name: _Name, order: Promotion, gateway: Here, principal: _Designer) -> Response:
    """As `understudy experiments promote NAME ARM`: the experiment stops, and every request gets the arm."""
    return await _end(gateway, principal, name, order.arm)


async def _end(gateway: Gateway, principal: Principal, name: str, arm: str | None) -> Response:
    plan = await _find(gateway, name)
    arms = [each.name for each in plan.arms]
    if arm is not None and arm not in arms:
        said = f"is no arm of {name}; use one of {', '.join(arms)}"
        fault = FieldProblem(pointer="/arm", detail=said)
        raise Problem(422, "invalid-parameter", f"{arm!r} {said}", errors=(fault,))
    target = name if arm is None else f"{name} {arm}"
    await record_change(gateway, principal, f"experiments.{'stop' if arm is None else 'promote'}", target)
    folder = gateway.settings.experiments_dir
    try:
        await asyncio.to_thread(store.stop, folder, name, promoted=arm)
    except store.ExperimentError as error:
        raise Problem(409, "conflict", str(error)) from None
    rows = await asyncio.to_thread(store.check, folder / f"{name}.toml")
    return json_answer(experiment_desk.to_row(rows[0]))


async def _find(gateway: Gateway, name: str) -> Experiment:
    """The plan of an experiment.

    Raises:
        Problem: 404, there is no such file; 409, it cannot be used.
    """
    try:
        return await asyncio.to_thread(store.find, gateway.settings.experiments_dir, name)
    except store.ExperimentUnknown:
        raise not_found(f"experiment {name!r}") from None
    except store.ExperimentError as error:
        raise Problem(409, "conflict", str(error)) from None
