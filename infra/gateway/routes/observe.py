"""`/api/v1/telemetry`, `board`, `topology`, `doctor` and others: the state of the pipeline, and figures of it.

Many consoles ask for the same every second, so each answer is computed once for all and kept for a moment.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final, Literal

import msgspec
from fastapi import APIRouter, Query
from starlette.responses import Response

from contracts import timestamp
from infra.app import board, broker_state, doctor, provider_state
from infra.app.doctor_check import DoctorCheck
from infra.gateway import documents, observe_documents
from infra.gateway.access import AccessRole, Principal, require
from infra.gateway.answers import json_answer
from infra.gateway.gateway import Here
from infra.gateway.problems import Problem, parameter_problem
from infra.inspect import budget_accounts, provider_errors, stats_series
from infra.inspect.provider_errors import ProviderFailure
from infra.inspect.stats import StatsFilter, find_end
from infra.nats import accounts
from infra.stores import cache_listing

router: Final = APIRouter(prefix="/api/v1", tags=["observe"])
_Viewer = Annotated[Principal, require(AccessRole.VIEWER)]
_ViewerOfAll = Annotated[Principal, require(AccessRole.VIEWER, everywhere=True)]
_Window = Annotated[
    Literal["5m", "1h", "24h"],
    Query(description="The window, which ends now.", openapi_examples={"hour": {"value": "1h"}}),
]
#: Seconds for which an answer is kept: what moves, what moves slowly, and what takes others some work.
_LIVE_S: Final = 1.0
_SLOW_S: Final = 5.0
_COSTLY_S: Final = 10.0
#: Seconds that a client waits for doctor.
_PATIENCE_S: Final = 20.0
_AGAIN_S: Final = 5


def _named(said: str, example: str) -> Any:
    return Query(max_length=256, description=said, openapi_examples={example: {"value": example}})


@router.get(
    "/telemetry",
    summary="Latency, success, errors, tokens and cost",
    responses=observe_documents.TELEMETRY | documents.problems(422, 503),
)
async def telemetry(
    gateway: Here,
    principal: _Viewer,
    window: _Window = "1h",
    kind: Annotated[str | None, _named("Only this content kind.", "layout")] = None,
    provider: Annotated[str | None, _named("Only this provider, or `result cache`.", "local")] = None,
    model: Annotated[str | None, _named("Only this model.", "house")] = None,
    node: Annotated[str | None, _named("Only this node.", "forest-gate")] = None,
    workspace: Annotated[str | None, _named("Only this workspace.", "red")] = None,
) -> Response:
    """As `understudy stats --json` with one window, and a series: its requests by the time at which they came.

    `since` and `until` of `/api/v1/generations` with the times of a bucket list the requests of it.
    """
    where = StatsFilter(
        workspace=_within(principal, workspace), kind=kind, provider=provider, model=model, node=node
    )

    async def compute() -> msgspec.Raw:
        now_ms = gateway.now_ms()
        found = await gateway.query(
            lambda engine: stats_series.collect_series(
                engine, until_ms=find_end(engine, now_ms=now_ms), window=window, where=where
            ),
            missing=stats_series.empty_series(until_ms=now_ms, window=window),
        )
        return msgspec.Raw(msgspec.json.encode(found))

    async with gateway.wait():
        key = ("telemetry", window, where)
        found = await gateway.shared.get(key, compute, kept_s=_LIVE_S, in_turn=True)
    return json_answer(found)


@router.get(
    "/cache/stats",
    summary="Size and use of the result cache",
    responses=observe_documents.CACHE | documents.problems(503),
)
async def cache(gateway: Here, _: _ViewerOfAll) -> Response:
    """As `understudy cache stats --json`."""
    async with gateway.wait():
        await gateway.require_broker()
        found = await gateway.shared.get(
            "cache", lambda: cache_listing.statistics(gateway.wire), kept_s=_SLOW_S
        )
    return json_answer(found)


@router.get(
    "/providers",
    summary="Providers: models, circuit breakers, last errors",
    responses=observe_documents.PROVIDERS | documents.problems(409, 503),
)
async def providers(gateway: Here, _: _ViewerOfAll) -> Response:
    """As `understudy models check --json`, with the circuit breakers and the last error of each provider."""

    async def compute() -> provider_state.ProviderReport:
        now_ms = gateway.now_ms()
        errors = await gateway.query(
            lambda engine: provider_errors.find_last_errors(engine, now_ms=now_ms),
            missing=dict[str, ProviderFailure](),
        )
        return await provider_state.read_providers(gateway.settings, errors)

    async with gateway.wait():
        found = await gateway.shared.get("providers", compute, kept_s=_COSTLY_S)
    return json_answer(found)


@router.get(
    "/budgets",
    summary="Budgets: limits, spent and reserved amounts",
    responses=observe_documents.BUDGETS | documents.problems(503),
)
async def budgets(gateway: Here, principal: _Viewer) -> Response:
    """The accounts are those of `understudy budgets ls --json`; a token of one workspace sees those of its own."""
    async with gateway.wait():
        await gateway.require_broker()
        kept = await gateway.shared.get(
            "budgets", lambda: accounts.current(gateway.wire, gateway.now_ms()), kept_s=_LIVE_S
        )
    now_ms = gateway.now_ms()
    rows = [
        budget_accounts.to_json(each, now_ms)
        for each in kept
        if each.named.ends_ms > now_ms and principal.workspace in (None, each.named.workspace)
    ]
    limits = budget_accounts.limits_to_json(gateway.settings.budgets.limits())
    return json_answer({"limits": limits, "accounts": rows})


@router.get(
    "/topology",
    summary="Streams, consumers and buckets",
    responses=observe_documents.TOPOLOGY | documents.problems(409, 503),
)
async def topology(gateway: Here, _: _ViewerOfAll) -> Response:
    """State of the broker; `differences` are those of `understudy topology check --json`."""
    async with gateway.wait():
        await gateway.require_broker()
        found = await gateway.shared.get(
            "topology",
            lambda: broker_state.read_broker_state(gateway.wire, gateway.settings),
            kept_s=_LIVE_S,
        )
    return json_answer(found)


@router.get(
    "/doctor",
    summary="Check the installation and its environment",
    responses=observe_documents.DOCTOR | documents.problems(503),
)
async def examine(gateway: Here, _: _ViewerOfAll) -> Response:
    """As `understudy doctor --json`: every check, the worst first, each with its fix; 200 whatever they find."""

    async def compute() -> tuple[str, tuple[DoctorCheck, ...]]:
        # It has a loop of its own: some checks start programs and read many files.
        rows = await asyncio.to_thread(lambda: asyncio.run(doctor.examine(gateway.settings)))
        return timestamp.format_ms(gateway.now_ms()), rows

    async with gateway.wait():
        try:
            async with asyncio.timeout(_PATIENCE_S):
                checked_at, rows = await gateway.shared.get("doctor", compute, kept_s=_COSTLY_S, pause=1)
        except TimeoutError:
            raise Problem(
                503,
                "took-too-long",
                f"the checks have not ended within {_PATIENCE_S:g} s",
                headers={"Retry-After": str(_AGAIN_S)},
            ) from None
    return json_answer({"ok": all(each.ok for each in rows), "checked_at": checked_at, "checks": rows})


@router.get(
    "/board",
    summary="What each stage has to do now",
    responses=observe_documents.BOARD | documents.problems(409, 503),
)
async def show_board(gateway: Here, _: _ViewerOfAll) -> Response:
    """The lanes of the stages, throughput, and the share of stand-ins in the last five minutes with their reasons."""

    async def figures() -> board.BoardFigures:
        now_ms = gateway.now_ms()
        return await gateway.query(
            lambda engine: board.collect_figures(engine, now_ms=now_ms), missing=board.BoardFigures()
        )

    async def lanes() -> tuple[str, tuple[board.StageLane, ...]]:
        found = await gateway.lanes.read()
        return timestamp.format_ms(gateway.now_ms()), found

    async with gateway.wait():
        await gateway.require_broker()
        (at, stages), ended = await asyncio.gather(
            gateway.shared.get("lanes", lanes, kept_s=_LIVE_S, pause=1),
            gateway.shared.get("board figures", figures, kept_s=_LIVE_S),
        )
    return json_answer({"at": at, "stages": stages, **msgspec.structs.asdict(ended)})


def _within(principal: Principal, workspace: str | None) -> str | None:
    """The workspace that counts.

    Raises:
        Problem: 422, the token sees another one.
    """
    if principal.workspace is None:
        return workspace
    if workspace not in (None, principal.workspace):
        raise parameter_problem("workspace", f"the token sees workspace {principal.workspace!r} alone")
    return principal.workspace
