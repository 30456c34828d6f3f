"""Rerun orders: what an HTTP request asks to run again as shadows, and its faults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from infra.gateway.letter_access import check_own
from infra.gateway.replay_orders import RequestSelection
from infra.replay.letters import read_workspace

if TYPE_CHECKING:
    from infra.gateway.access import Principal
    from infra.replay.reruns import RerunPlan

_Id = Annotated[str, StringConstraints(min_length=1, max_length=255)]


class ManyReruns(RequestSelection):
    """Which requests run again, and what changes."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    from_stage: Literal["context-build", "structuring", "validate-repair"] = Field(
        default="context-build", alias="from", description="The first stage that works."
    )
    edits: dict[str, Any] = Field(
        default={},
        alias="set",
        max_length=100,
        description="Fields to change, such as `params.temperature`, `prompt` or `model`.",
    )
    job: str | None = Field(
        default=None,
        description="Name of the rerun; the same name continues one that was interrupted.",
        pattern="^[A-Za-z0-9]{1,24}$",
    )
    in_flight: int = Field(default=4, ge=1, le=1000, description="Shadows without a result at a time.")
    dry_run: bool = Field(default=False, description="Say what would run; publish nothing.")


class PairedIds(BaseModel):
    """Two requests."""

    model_config = ConfigDict(extra="forbid")

    a: _Id
    b: _Id


class ManyComparisons(BaseModel):
    """The pairs to compare."""

    model_config = ConfigDict(extra="forbid")

    pairs: list[PairedIds] = Field(min_length=1, max_length=1000)


def check_shadows(principal: Principal, plan: RerunPlan) -> None:
    """Refuse a rerun whose edits move requests into another workspace.

    Raises:
        Problem: 403.
    """
    if principal.workspace is not None:
        for each in plan.items:
            check_own(principal, read_workspace(each.body), field="/set")
