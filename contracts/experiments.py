"""Experiments: designers' plans of which requests are split, and what each arm sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Final, Protocol, Self

import msgspec
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from contracts.kinds import KindName
from contracts.nodes.node import PLAIN, ContentId
from contracts.policy import experiments as policy
from contracts.policy import fingerprint
from contracts.policy.experiments import ExperimentArm, Treatment
from contracts.request import GenerationRequest
from contracts.request_edits import MODEL, EditError, Edits, apply_edits, parse_edits

#: Most arms, and the least units of each before anything is said about them.
MAX_ARMS: Final = 8
LEAST_UNITS: Final = 30
#: Units of each arm before a winner is named, where the plan names no number.
DEFAULT_UNITS: Final = 200
#: Fields that an arm may set. What the fallback reads is the same in every arm, or stand-ins would differ.
SETTABLE: Final = ("prompt", "prompt_config", "params", "seed", "node")
_REVISION_DIGITS: Final = 12
_ArmName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,32}$")]
_Text = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=PLAIN)]
_Salt = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=PLAIN)]


class SplitUnit(StrEnum):
    """What is split: all requests of one unit get the same arm."""

    PLAYER = "player"
    PLAYTHROUGH = "playthrough"
    REQUEST = "request"


class ExperimentGoal(StrEnum):
    """The figure by which arms are compared."""

    #: Share of the results with a model's content; more is better.
    SUCCESS = "success"
    #: 95th percentile of the latency; less is better.
    P95 = "p95"
    #: Money for each result; less is better.
    COST = "cost"


class Arm(BaseModel):
    """One variant."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: _ArmName
    #: Share of the units, relative to the other arms.
    weight: int = Field(default=1, ge=1, le=1000)
    #: What its requests get, as ``understudy rerun --set`` takes it: ``prompt=layout@2``.
    set: tuple[Annotated[str, StringConstraints(max_length=4000)], ...] = Field(default=(), max_length=32)

    @field_validator("set")
    @classmethod
    def _possible(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        try:
            edits = parse_edits(given)
        except EditError as error:
            raise ValueError(str(error)) from None
        for each in edits.fields:
            if (
                each.path[0] not in SETTABLE
                or each.path == ("node",)
                or each.path[:2] == ("node", "fallback")
            ):
                raise ValueError(
                    f"{each.key!r} cannot differ between arms; use {MODEL} and fields of {', '.join(SETTABLE)}, "
                    "without node.fallback"
                )
        return given

    @cached_property
    def edits(self) -> Edits:
        """What :attr:`set` means."""
        return parse_edits(self.set)


class Experiment(BaseModel):
    """One experiment; ``library/experiments/<name>.toml``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: ContentId
    #: What it is to find out.
    says: _Text | None = None
    unit: SplitUnit = SplitUnit.PLAYER
    #: Splits the units; by default the name. Another salt splits them anew.
    salt: _Salt | None = None
    #: Content kinds of its requests; empty: all.
    kinds: tuple[KindName, ...] = ()
    #: Nodes or templates of its requests, by id; empty: all.
    nodes: tuple[ContentId, ...] = Field(default=(), max_length=1000)
    arms: tuple[Arm, ...] = Field(min_length=2, max_length=MAX_ARMS)
    #: The arm that the others are compared with; by default the first.
    control: _ArmName | None = None
    goal: ExperimentGoal = ExperimentGoal.SUCCESS
    #: Units of each arm before a winner is named.
    minimum: int = Field(default=DEFAULT_UNITS, ge=LEAST_UNITS, le=1_000_000)
    #: Every request gets the promoted arm, else the control, and counts for none.
    stopped: bool = False
    #: The arm that every request gets once the experiment is stopped.
    promoted: _ArmName | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [each.name for each in self.arms]
        if len(set(names)) != len(names):
            raise ValueError("arms: two have the same name; rename one")
        for field, given in (("control", self.control), ("promoted", self.promoted)):
            if given is not None and given not in names:
                raise ValueError(f"{field}: no arm is called {given!r}; use one of {', '.join(names)}")
        if self.promoted is not None and not self.stopped:
            raise ValueError("promoted: the experiment still runs; add stopped = true, or leave it out")
        return self

    @property
    def control_arm(self) -> Arm:
        """The arm that the others are compared with."""
        return self.arm(self.control or self.arms[0].name)

    def arm(self, name: str) -> Arm:
        """The arm with a name, which must exist."""
        return next(each for each in self.arms if each.name == name)

    @cached_property
    def revision(self) -> str:
        """Version of the split: digits that change with everything that decides who gets what."""
        shaping = self.model_dump(mode="json", include={"unit", "kinds", "nodes", "arms"})
        return fingerprint.digest(shaping | {"salt": self.salt or self.name})[:_REVISION_DIGITS]

    def takes(self, asked: GenerationRequest, kind: str) -> bool:
        """Whether it is about a request."""
        node = asked.node.id if asked.node and asked.node.id else asked.template_id
        return (not self.kinds or kind in self.kinds) and (not self.nodes or node in self.nodes)

    def unit_of(self, asked: GenerationRequest, request_id: str) -> str | None:
        """The unit that a request belongs to; ``None``: the request does not name it.

        A plot and its scenes are one unit of unit ``request``, and so are a request and its replays.
        """
        player = asked.player_context
        match self.unit:
            case SplitUnit.PLAYER:
                return player and player.player_id
            case SplitUnit.PLAYTHROUGH:
                return player and player.playthrough_id
            case SplitUnit.REQUEST:
                return asked.scene_of or asked.replay_of or request_id


class PlannedArm(msgspec.Struct, frozen=True, kw_only=True):
    """An arm with the provider that its model means."""

    arm: Arm
    provider: str | None = None
    #: What writes then, in words that change when it does.
    route: str | None = None


class RunnableExperiment(msgspec.Struct, frozen=True, kw_only=True):
    """An experiment that requests can get."""

    plan: Experiment
    #: In the order of the plan.
    arms: tuple[PlannedArm, ...]


class Experiments(Protocol):
    """The experiments that there are."""

    def current(self) -> Sequence[RunnableExperiment]:
        """All of them, in the order of their names."""
        ...


class NoExperiments:
    """None; implements :class:`Experiments`."""

    def current(self) -> Sequence[RunnableExperiment]:
        """Nothing."""
        return ()


NO_EXPERIMENTS: Final = NoExperiments()


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """What the experiments decide about one request."""

    treatment: Treatment | None = None
    edits: Edits = Edits()
    warnings: tuple[str, ...] = ()


def assign(
    experiments: Sequence[RunnableExperiment], asked: GenerationRequest, kind: str, request_id: str
) -> Assignment:
    """Decide which arm of which experiment a request gets: of the first that is about it, running ones first.

    Shadows get none: an operator says what they are made with.
    """
    if asked.shadow or not experiments:
        return Assignment()
    about = [each for each in experiments if each.plan.takes(asked, kind)]
    found = min(about, key=lambda each: each.plan.stopped, default=None)
    if found is None:
        return Assignment()
    plan = found.plan
    salt = plan.salt or plan.name
    unit = plan.unit_of(asked, request_id)
    counts = not plan.stopped and asked.replay_of is None
    if plan.stopped:
        wanted = (plan.arm(plan.promoted) if plan.promoted else plan.control_arm).name
        chosen = next(each for each in found.arms if each.arm.name == wanted)
    elif unit is None:
        field = f"player_context.{plan.unit}_id"
        return Assignment(
            warnings=(f"experiment {plan.name} needs {field}; without it the request is in no arm",)
        )
    else:
        chosen = found.arms[policy.split(salt, unit, [each.arm.weight for each in found.arms])]
    given = ExperimentArm(
        name=plan.name,
        arm=chosen.arm.name,
        unit="" if unit is None else policy.name_unit(salt, unit),
        revision=plan.revision,
    )
    treatment = Treatment(given=given, provider=chosen.provider, route=chosen.route, counts=counts)
    return Assignment(treatment=treatment, edits=chosen.arm.edits)


def edit_body(body: Mapping[str, Any], edits: Edits) -> bytes:
    """The bytes of a request's body with what an arm sets.

    Raises:
        EditError: a field that holds other fields has another value in this body.
    """
    return msgspec.json.encode(apply_edits(body, edits))
