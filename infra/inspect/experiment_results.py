"""Results of an experiment's arms, unit by unit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from contracts.experiments import Experiment
from infra.inspect.experiment_math import UnitResults
from infra.inspect.figures import SUCCESSES, UNANSWERED


class ArmResults:
    """The results of one arm, unit by unit."""

    def __init__(self) -> None:
        self.units: dict[str, UnitResults] = {}
        self.failures: Counter[tuple[str, str | None]] = Counter()
        self.results = 0
        self.tokens: int | None = None
        self.spent: float | None = None
        self.cost_known = True

    @property
    def mean_cost(self) -> float:
        """Money for each result, as far as it is known."""
        return (self.spent or 0.0) / max(1, self.results)

    def add(
        self,
        unit: str,
        status: str,
        code: str | None,
        latency_ms: float | None,
        cost: float | None,
        prompt_tokens: int | None = None,
        completion_tokens: int | None = None,
    ) -> None:
        """Add a result."""
        found = self.units.get(unit)
        if found is None:
            found = self.units[unit] = UnitResults()
        self.results += 1
        found.results += 1
        if status in SUCCESSES:
            found.successes += 1
        else:
            self.failures[status, code] += 1
        if latency_ms is not None and status not in UNANSWERED:
            found.latencies.append(latency_ms)
        tokens = (prompt_tokens or 0) + (completion_tokens or 0)
        if tokens:
            self.tokens = (self.tokens or 0) + tokens
        if cost is not None:
            found.cost += cost
            self.spent = (self.spent or 0.0) + cost
        elif tokens or status in SUCCESSES:
            # What had no call costs nothing; what had one and names no price is not known.
            self.cost_known = False


def collect_arms(plan: Experiment, rows: Iterable[Any]) -> dict[str, ArmResults]:
    """The results of each arm.

    Args:
        plan: the experiment.
        rows: arm, unit, status, error code, latency, cost, tokens of the prompts and of the answers.
    """
    found = {each.name: ArmResults() for each in plan.arms}
    for arm, unit, *outcome in rows:
        # The result's writer names the arm; a name that the plan does not have is no result of it.
        if arm in found:
            found[arm].add(unit or "", *outcome)
    return found
