"""What context-build would say of the arms of an experiment, tried without a pipeline."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from contracts.experiments import edit_body
from contracts.kinds import KINDS
from contracts.outcome import Reject
from contracts.request_edits import EditError
from infra.app.context_ports import load_ports, unsent
from infra.app.experiment_plans import prepare
from infra.stores.experiments import ExperimentError
from stages.context_build.handle import BriefPorts, build

if TYPE_CHECKING:
    from contracts.experiments import Experiment
    from infra.settings.settings import Settings


def find_problems(settings: Settings, plan: Experiment) -> list[str]:
    """What context-build would refuse of each arm: a prompt version that does not exist, a value that no field takes.

    Raises:
        UnderstudyError: samples, prompts or settings that cannot be used.
    """
    try:
        prepare(settings, plan)
    except ExperimentError as error:
        return [str(error)]
    return asyncio.run(_try_arms(plan, load_ports(settings)))


async def _try_arms(plan: Experiment, ports: BriefPorts) -> list[str]:
    found: list[str] = []
    for arm in plan.arms:
        for kind in plan.kinds or KINDS:
            fault = await _try(arm.edits, kind, ports)
            if fault is not None:
                found.append(f"{plan.name}.toml: arm {arm.name}: kind {kind}: {fault}")
                break
    return found


async def _try(edits: Any, kind: str, ports: BriefPorts) -> str | None:
    body: dict[str, Any] = {"prompt": "a request"}
    if kind == "custom":
        body["schema"] = {"type": "object", "properties": {"text": {"type": "string"}}}
    plain = await build(unsent(kind, msgspec.json.encode(body), now_ms=0), ports)
    if isinstance(plain, Reject):
        return None
    try:
        outcome = await build(unsent(kind, edit_body(body, edits), now_ms=0), ports)
    except EditError as error:
        return str(error)
    return outcome.message if isinstance(outcome, Reject) else None
