"""Experiments of some settings: plans with the providers that their models mean, and what is wrong with them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from contracts.experiments import Experiment, PlannedArm, RunnableExperiment, edit_body
from contracts.kinds import KINDS
from contracts.outcome import Reject
from contracts.request_edits import EditError
from infra.app.context_ports import load_ports, unsent
from infra.providers import names, routing
from infra.stores.experiments import ExperimentError, ExperimentStore
from stages.context_build.handle import BriefPorts, build

if TYPE_CHECKING:
    from infra.settings.settings import Settings


def open_store(settings: Settings, *, on_problem: Callable[[str], object]) -> ExperimentStore:
    """The experiments of these settings, which follow their files.

    Args:
        settings: this process's settings.
        on_problem: gets what is wrong with files that have changed.

    Raises:
        ExperimentError: an experiment cannot be used.
    """
    return ExperimentStore(
        settings.experiments_dir, prepare=lambda plan: prepare(settings, plan), on_problem=on_problem
    )


def prepare(settings: Settings, plan: Experiment) -> RunnableExperiment:
    """Find the provider of each arm.

    Raises:
        ExperimentError: naming the arm and the models that there are.
    """
    arms: list[PlannedArm] = []
    for arm in plan.arms:
        provider = None
        if arm.edits.model is not None:
            try:
                provider = names.choose(settings, arm.edits.model)
            except names.ModelUnknown as error:
                raise ExperimentError(f"{plan.name}.toml: arm {arm.name}: {error}") from None
        route = None if provider is None else routing.identify(settings, provider)
        arms.append(PlannedArm(arm=arm, provider=provider, route=route))
    return RunnableExperiment(plan=plan, arms=tuple(arms))


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


def find_overlaps(plans: Sequence[Experiment]) -> list[str]:
    """Which experiments take requests from others: a request is in one experiment alone."""
    found: list[str] = []
    running = [each for each in plans if not each.stopped]
    for index, first in enumerate(running):
        for other in running[index + 1 :]:
            kinds = not first.kinds or not other.kinds or set(first.kinds) & set(other.kinds)
            nodes = not first.nodes or not other.nodes or set(first.nodes) & set(other.nodes)
            if kinds and nodes:
                found.append(
                    f"{first.name} and {other.name} are about the same requests: those of both are in {first.name} alone"
                )
    return found


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
