"""Checks and findings: the types that all validation modules share."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Literal

import msgspec

from contracts.nodes.field_aliases import Path
from contracts.nodes.layers import DEFAULTS
from contracts.nodes.node import Node, Rating


class Severity(StrEnum):
    """The consequence of a finding for the node."""

    #: The node is refused.
    ERROR = "error"
    #: It runs, and the result lists the finding.
    WARNING = "warning"
    #: It could be better.
    SUGGESTION = "suggestion"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One problem, with a suggestion."""

    #: Which check found it; a code never changes its meaning.
    code: str
    severity: Severity
    #: The dotted path of the field, in its author's spelling; empty for the whole node.
    path: str
    #: What is wrong, with the value.
    message: str
    #: What to do.
    suggestion: str

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        return f"{self.code} {where}{self.message}; {self.suggestion}"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All findings, and the checks that were skipped."""

    errors: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()
    suggestions: tuple[Finding, ...] = ()
    #: Codes of the checks that were skipped, because a fact that they need was unknown.
    unchecked: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the node may run."""
        return not self.errors

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings, the most severe first."""
        return (*self.errors, *self.warnings, *self.suggestions)


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Facts from outside the node; ``None``: unknown, and the checks that need it are skipped."""

    #: The content kind that the request's subject names.
    kind: str | None = None
    #: Whether its author writes camelCase, if the node's own names do not show it.
    camel: bool = True
    #: ``mood_from`` and ``mood_to`` of the adjacent scenes, used if no layer sets them.
    moods: Mapping[str, str] = {}
    #: Ids of the default contents that exist.
    default_contents: Container[str] | None = None
    #: Ids of the templates that exist.
    templates: Sequence[str] | None = None
    #: Highest rating that the world and the user allow.
    max_rating: Rating | None = None
    #: Whether the request has a social context.
    social: bool | None = None
    #: 95th percentile of the node's latency, ms.
    p95_ms: float | None = None
    #: Whether the provider that writes the node's kind answers.
    provider_available: bool | None = None


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """A value that a node cannot have."""

    kind: Literal["object", "field", "twice", "type", "bounds", "word"]
    path: Path
    message: str
    suggestion: str


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """A node as checks see it: all layers merged, without invalid values."""

    node: Node
    faults: tuple[Fault, ...]
    #: The layer that set each value, by its dotted path in snake_case.
    set_by: Mapping[str, str]
    #: The node names a template whose content is unknown.
    below_unknown: bool
    #: It sets one of :data:`contracts.nodes.layers.OWN`; otherwise it only adds to a request.
    own: bool
    facts: Facts

    def assumed(self, name: str) -> bool:
        """Whether no layer sets it, so that the node gets the default."""
        said = self.set_by.get(name) not in (None, DEFAULTS) or self.below_unknown or self.spoilt(name)
        return self.own and not said

    def spoilt(self, *path: str | int) -> bool:
        """Whether an invalid value was given at the path or around it."""
        return any(path[: len(fault.path)] == fault.path for fault in self.faults)


class CheckResult(msgspec.Struct, frozen=True):
    """The result of a check; its code and severity are in the table."""

    path: Path
    message: str
    suggestion: str


class CheckExample(msgspec.Struct, frozen=True, kw_only=True):
    """A node that demonstrates a check."""

    node: Any
    #: Facts from outside the node.
    facts: Facts = Facts()


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table of checks."""

    code: str
    severity: Severity
    #: What it finds, in a few words.
    title: str
    #: Why that matters, in a sentence or two.
    why: str
    find: Callable[[Reading], Iterable[CheckResult]]
    failing: CheckExample
    passing: CheckExample
    #: The fact that it needs.
    needs: str | None = None


#: A node without findings, the base of the examples.
SOUND: Mapping[str, Any] = {
    "generationType": "dialogue",
    "purpose": "adaptive",
    "strategy": "per_player",
    "seedSource": "player",
    "fallback": {"mode": "golden_sample"},
}
#: The same, as a transition.
SOUND_TRANSITION: Mapping[str, Any] = {
    "generationType": "transition",
    "purpose": "gap_fill",
    "style": {"moodFrom": "calm", "moodTo": "tense", "pacing": "medium", "transitionType": "gradual"},
    "duration": {"min": 10, "max": 30, "target": 20},
    "strategy": "per_playthrough",
    "seedSource": "playthrough",
    "fallback": {"mode": "default_content", "defaultContentId": "transition_01"},
}


def but(sound: Mapping[str, Any], *without: str, **changes: Any) -> dict[str, Any]:
    """A copy of a valid node, without some fields and with some changes."""
    return {name: value for name, value in sound.items() if name not in without} | changes


def example(*without: str, facts: Facts | None = None, **changes: Any) -> CheckExample:
    """The valid dialogue, changed."""
    return CheckExample(node=but(SOUND, *without, **changes), facts=facts or Facts())


def transition(*without: str, facts: Facts | None = None, **changes: Any) -> CheckExample:
    """The valid transition, changed."""
    return CheckExample(node=but(SOUND_TRANSITION, *without, **changes), facts=facts or Facts())
