"""Settings of budgets: what provider calls may take."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from contracts.policy.budget import Cap
from contracts.policy.budget_scope import Limits


class Budgets(BaseModel):
    """What provider calls may take in one window (docs/budgets.md); none: no bound, and nothing is counted."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    #: Seconds of a window; it begins at each multiple of its length since 1970, so a day begins at midnight UTC.
    window: int = Field(default=86_400, ge=1, le=31 * 86_400)
    #: Tokens of all requests together.
    total_tokens: int | None = Field(default=None, ge=0)
    #: Money of all requests together, in the unit of the servers' prices.
    total_cost: float | None = Field(default=None, ge=0)
    #: Tokens of each workspace; requests that name none share one budget.
    workspace_tokens: int | None = Field(default=None, ge=0)
    #: Money of each workspace.
    workspace_cost: float | None = Field(default=None, ge=0)
    #: Tokens of each node that has a name; its own `budget` can only be stricter.
    node_tokens: int | None = Field(default=None, ge=0)
    #: Money of each node that has a name.
    node_cost: float | None = Field(default=None, ge=0)
    #: Generations a minute of each workspace by nodes with strategy `always`.
    always_per_workspace: int | None = Field(default=None, ge=0)
    #: Generations a minute of each node with strategy `always`.
    always_per_node: int | None = Field(default=None, ge=0)

    def limits(self) -> Limits:
        """The same in whole numbers."""
        return Limits(
            window_ms=self.window * 1000,
            total=Cap.of(self.total_tokens, self.total_cost),
            workspace=Cap.of(self.workspace_tokens, self.workspace_cost),
            node=Cap.of(self.node_tokens, self.node_cost),
            always_workspace=Cap(generations=self.always_per_workspace),
            always_node=Cap(generations=self.always_per_node),
        )
