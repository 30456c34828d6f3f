"""Experiments for every door of the pipeline: what there is, what it says, and its end."""

from __future__ import annotations

from pathlib import Path

import msgspec
from sqlalchemy import Engine

from contracts.experiments import Experiment
from infra.inspect import experiments as readings
from infra.inspect.experiment_results import collect_arms
from infra.inspect.experiments import ExperimentReading
from infra.inspect.stats import find_end
from infra.stores import experiments as store
from infra.stores.experiments import CheckedExperiment


class ArmRow(msgspec.Struct, frozen=True, kw_only=True):
    """One arm of a plan."""

    name: str
    weight: int
    set: tuple[str, ...]


class ExperimentRow(msgspec.Struct, frozen=True, kw_only=True):
    """One file of an experiment; without a plan where it cannot be used."""

    name: str
    #: Path of the file.
    file: str
    ok: bool
    error: str | None = None
    says: str | None = None
    unit: str | None = None
    goal: str | None = None
    kinds: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    arms: tuple[ArmRow, ...] = ()
    control: str | None = None
    minimum: int | None = None
    stopped: bool = False
    promoted: str | None = None
    #: Version of the split.
    revision: str | None = None


def list_experiments(folder: Path) -> tuple[ExperimentRow, ...]:
    """Every experiment of a folder, in the order of their names; empty where there is no folder."""
    return tuple(to_row(each) for each in store.check(folder)) if folder.is_dir() else ()


def to_row(checked: CheckedExperiment) -> ExperimentRow:
    """A checked file as a row of a listing."""
    plan = checked.plan
    if plan is None:
        return ExperimentRow(name=checked.name, file=checked.file, ok=False, error=checked.error)
    return ExperimentRow(
        name=plan.name,
        file=checked.file,
        ok=True,
        says=plan.says,
        unit=plan.unit,
        goal=plan.goal,
        kinds=tuple(plan.kinds),
        nodes=plan.nodes,
        arms=tuple(ArmRow(name=each.name, weight=each.weight, set=each.set) for each in plan.arms),
        control=plan.control_arm.name,
        minimum=plan.minimum,
        stopped=plan.stopped,
        promoted=plan.promoted,
        revision=plan.revision,
    )


def read(engine: Engine, plan: Experiment, *, since_ms: int | None, now_ms: int) -> ExperimentReading:
    """What the audit says of an experiment until now.

    Args:
        engine: the audit's database.
        plan: the experiment.
        since_ms: begin of the window, ms since the epoch; ``None``: the first result.
        now_ms: this machine's time, ms since the epoch.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    until_ms = find_end(engine, now_ms=now_ms)
    return readings.read_experiment(engine, plan, since_ms=since_ms or 0, until_ms=until_ms)


def read_nothing(plan: Experiment, *, now_ms: int) -> ExperimentReading:
    """The reading of an audit that does not exist yet."""
    return readings.make_reading(plan, collect_arms(plan, ()), until_ms=now_ms)


def describe_end(plan: Experiment) -> str:
    """What requests get from a stopped experiment, in words."""
    arm = plan.promoted or plan.control_arm.name
    why = "the promoted arm" if plan.promoted else "the control"
    return f"{plan.name} is stopped: every request of it gets {arm}, {why}, and counts for no arm"
