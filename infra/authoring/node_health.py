"""Health of nodes: counts over all of them, and warnings that concern them together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, Literal

import msgspec

from contracts.nodes.node import FallbackMode, Node, Strategy
from contracts.nodes.validation import Report

NodeStatus = Literal["ok", "warnings", "errors", "disabled"]
#: Share of enabled nodes that may generate anew for each request.
MOST_FRESH: Final = 0.5
#: Nodes from which a share says something.
FEWEST: Final = 4
#: Ids in a warning.
_MOST_NAMED: Final = 100


class JudgedNode(msgspec.Struct, frozen=True, kw_only=True):
    """A node with all layers merged, and its findings."""

    node: Node
    report: Report
    #: No layer names a fallback: the default answers.
    assumed_fallback: bool

    def status(self, *, disabled: bool = False) -> NodeStatus:
        """What its badge shows.

        Args:
            disabled: it is disabled from outside.
        """
        if disabled or not self.node.enabled:
            return "disabled"
        if not self.report.ok:
            return "errors"
        return "warnings" if self.report.warnings else "ok"


class HealthNode(msgspec.Struct, frozen=True, kw_only=True):
    """A node as the health panel sees it."""

    name: str
    judged: JudgedNode
    disabled: bool = False
    published: bool = False
    #: The draft differs from what is published.
    changed: bool = False
    #: What is published has errors now: a template or a default content is gone.
    broken: bool = False


class HealthWarning(msgspec.Struct, frozen=True, kw_only=True):
    """A warning that concerns several nodes."""

    code: str
    message: str
    suggestion: str
    #: Ids of the nodes; a hundred at most.
    nodes: tuple[str, ...]


class NodesHealth(msgspec.Struct, frozen=True, kw_only=True):
    """Counts and warnings over all nodes."""

    nodes: int
    published: int
    #: Nodes whose draft differs from what is published.
    changed: int
    statuses: Mapping[str, int]
    kinds: Mapping[str, int]
    strategies: Mapping[str, int]
    errors: int
    warnings: tuple[HealthWarning, ...]


def measure_health(nodes: Iterable[HealthNode]) -> NodesHealth:
    """Counts and warnings over some nodes."""
    every = list(nodes)
    statuses = Counter(each.judged.status(disabled=each.disabled) for each in every)
    return NodesHealth(
        nodes=len(every),
        published=sum(each.published for each in every),
        changed=sum(each.published and each.changed for each in every),
        statuses={name: statuses[name] for name in ("ok", "warnings", "errors", "disabled")},
        kinds=_count(each.judged.node.generation_type for each in every),
        strategies=_count(each.judged.node.strategy for each in every),
        errors=sum(len(each.judged.report.errors) for each in every),
        warnings=tuple(_warnings(every)),
    )


def _count(values: Iterable[str | None]) -> dict[str, int]:
    return dict(sorted(Counter(str(each) for each in values if each is not None).items()))


def _warnings(every: list[HealthNode]) -> Iterable[HealthWarning]:
    used = [each for each in every if each.judged.status(disabled=each.disabled) != "disabled"]
    fresh = [each for each in used if each.judged.node.strategy is Strategy.ALWAYS]
    if len(used) >= FEWEST and len(fresh) > MOST_FRESH * len(used):
        yield _warning(
            "HLT001",
            f"{len(fresh)} of {len(used)} nodes generate anew for every request",
            "share what can be shared: 'per_player', 'per_playthrough' or 'once'",
            fresh,
        )
    missing = [each for each in used if each.judged.assumed_fallback]
    if missing:
        yield _warning(
            "HLT002",
            f"{len(missing)} nodes name no fallback, so a golden sample of their kind answers",
            "name the fallback that fits each node",
            missing,
        )
    visible = [each for each in used if _fails_visibly(each.judged.node)]
    if visible:
        yield _warning(
            "HLT003",
            f"{len(visible)} nodes have no fallback: players see their failures",
            "choose another mode than 'none'",
            visible,
        )
    broken = [each for each in every if each.broken and not each.disabled]
    if broken:
        yield _warning(
            "HLT004",
            f"{len(broken)} published nodes have errors now, so their requests are rejected",
            "correct and publish them, or disable them",
            broken,
        )


def _fails_visibly(node: Node) -> bool:
    fallback = node.fallback
    if fallback is None or fallback.mode is None:
        return True
    return FallbackMode.NONE in (
        fallback.mode,
        fallback.then if fallback.mode is FallbackMode.RETRY else None,
    )


def _warning(code: str, message: str, suggestion: str, about: list[HealthNode]) -> HealthWarning:
    named = tuple(each.name for each in about[:_MOST_NAMED])
    return HealthWarning(code=code, message=message, suggestion=suggestion, nodes=named)
