"""Experiments of some settings: plans with the providers that their models mean, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from contracts.experiments import Experiment, PlannedArm, RunnableExperiment
from infra.providers import names, routing
from infra.stores.experiments import ExperimentError, ExperimentStore

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
