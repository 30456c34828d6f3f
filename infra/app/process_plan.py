"""Process plan: the processes of the pipeline, their commands and their environment."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from pydantic import AliasChoices, BaseModel, SecretStr

from contracts.errors import UnderstudyError
from contracts.pipeline import EXPENSIVE, STAGE_ROWS, STAGES
from infra.settings.settings import Settings, stage_names

#: Names of the embedded broker and of the HTTP gateway among the processes.
BROKER: Final = "broker"
GATEWAY: Final = "gateway"
#: How readily a stage gives the processor away: on a small machine answers go first.
_NICE: Final = {
    "context-build": 2,
    "validate-repair": 2,
    "freeform-gen": 5,
    "structuring": 5,
    "fallback": 0,
    "audit": 10,
}


class SupervisorError(UnderstudyError):
    """The pipeline cannot be started; the text says which process and why.

    Args:
        text: for people.
        status: what ``understudy up`` exits with.
    """

    def __init__(self, text: str, *, status: int = 1) -> None:
        super().__init__(text)
        self.status = status


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One process of stages, or the gateway, as planned."""

    name: str
    #: Empty for the gateway.
    stages: tuple[str, ...]

    @property
    def nice(self) -> int:
        """How much more readily than the broker it gives the processor away, 0 to 19."""
        return min((_NICE[stage] for stage in self.stages), default=0)


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """One process as it is now."""

    name: str
    #: ``None`` while it is down.
    pid: int | None
    #: Empty for broker and gateway.
    stages: tuple[str, ...]
    restarts: int
    ready: bool


def all_ready(processes: Sequence[Running]) -> bool:
    """Is every process up, with its stages bound?"""
    return all(each.ready for each in processes)


def plan(
    *, split: bool = False, copies: Mapping[str, int] | None = None, gateway: bool = False
) -> tuple[Member, ...]:
    """The processes to run: model stages; what checks before and after them; fallback; audit.  Or each alone.

    Args:
        split: one process per stage.
        copies: how often a stage runs in all; every copy beyond the first is a process of its own.
        gateway: also the HTTP gateway.

    Raises:
        SettingsError: an unknown stage.
        SupervisorError: fewer than one copy.
    """
    wanted = dict(copies or {})
    stage_names(tuple(wanted))
    for stage, count in wanted.items():
        if count < 1:
            raise SupervisorError(f"--copies {stage}={count}: a stage needs at least one copy")
    groups = (
        tuple((stage,) for stage in STAGES)
        if split
        else (
            tuple(stage for stage in STAGES if stage in EXPENSIVE),
            tuple(row.name for row in STAGE_ROWS if not row.expensive and not row.apart),
            *((row.name,) for row in STAGE_ROWS if row.apart),
        )
    )
    first = [Member(name="+".join(stages), stages=stages) for stages in groups]
    more = [
        Member(name=f"{stage}#{number}", stages=(stage,))
        for stage in STAGES
        for number in range(2, wanted.get(stage, 1) + 1)
    ]
    doors = [Member(name=GATEWAY, stages=())] if gateway else []
    return (*first, *more, *doors)


def stage_command(stages: Sequence[str]) -> tuple[str, ...]:
    """The command that runs stages in a process; it prints ``{"ready": true}`` once they are bound.

    ``-P``: the working directory is not on the import path, whatever folders a user has there.
    """
    return (sys.executable, "-P", "-m", "infra.cli", "run", *stages, "--json")


def gateway_command() -> tuple[str, ...]:
    """The command that runs the gateway; it prints the same line."""
    return (sys.executable, "-P", "-m", "infra.cli", "serve", "--json")


def child_metrics(address: str) -> str:
    """The address of a child's metrics: the supervisor relays them, so nothing outside this machine asks for them."""
    return "127.0.0.1:0" if ":" in address else address


def environment(settings: Settings, nats_url: str, inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment that gives a child these settings, this broker, and a free port for its metrics."""
    own = {"data_dir": settings.data_dir.absolute(), "metrics": child_metrics(settings.metrics)}
    ours = _variables(settings.model_copy(update=own), "UNDERSTUDY_")
    ours["UNDERSTUDY_NATS_URL"] = nats_url
    sections = {f"UNDERSTUDY_{name.upper()}" for name in type(settings).model_fields}
    kept = {
        name: value
        for name, value in inherited.items()
        if name.upper().partition("__")[0] not in sections and name.upper() not in ours
    }
    # As -P, also for what a child starts: a folder `infra` in the working directory is a user's.
    return {**kept, **ours, "PYTHONSAFEPATH": "1"}


def _variables(model: BaseModel, prefix: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        alias = field.validation_alias
        variable = str(alias.choices[0]) if isinstance(alias, AliasChoices) else f"{prefix}{name.upper()}"
        match value:
            case None:
                continue
            case BaseModel():
                found |= _variables(value, f"{variable}__")
            case SecretStr():
                found[variable] = value.get_secret_value()
            case bool() | dict() | list() | tuple():
                found[variable] = json.dumps(value, default=_plain)
            case _:
                found[variable] = str(value)
    return found


def _plain(value: Any) -> Any:
    """What JSON has no word for, inside a list or a mapping of settings."""
    match value:
        case BaseModel():
            return {name: getattr(value, name) for name in type(value).model_fields}
        case SecretStr():
            return value.get_secret_value()
        case _:
            return str(value)
