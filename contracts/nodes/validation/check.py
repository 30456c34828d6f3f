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
    """What a finding means for the node."""

    #: The node is refused.
    ERROR = "error"
    #: It runs, and the result says that this was found.
    WARNING = "warning"
    #: It could be better.
    SUGGESTION = "suggestion"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was found, and what to do about it."""

    #: Which check found it; a code never changes its meaning.
    code: str
    severity: Severity
    #: The field at fault, dotted, as its author spells it; empty for the node as a whole.
    path: str
    #: What is wrong, with the value.
    message: str
    #: What to do.
    suggestion: str

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        return f"{self.code} {where}{self.message}; {self.suggestion}"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was found, and what could not be looked at."""

    errors: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()
    suggestions: tuple[Finding, ...] = ()
    #: Codes of the checks that were left out, because what they need to know was not known.
    unchecked: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the node may run."""
        return not self.errors

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All of them, the worst first."""
        return (*self.errors, *self.warnings, *self.suggestions)


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known beside the node; ``None``: not known, and the checks that need it are left out."""

    #: The content kind that the request's subject names.
    kind: str | None = None
    #: Whether its author writes camelCase, where the node's own names do not tell.
    camel: bool = True
    #: ``mood_from`` and ``mood_to`` of the scenes beside the content, for where no layer names them.
    moods: Mapping[str, str] = {}
    #: Ids of the default contents that exist.
    default_contents: Container[str] | None = None
    #: Ids of the templates that exist.
    templates: Sequence[str] | None = None
    #: Highest rating that the world and the user allow.
    max_rating: Rating | None = None
    #: Whether the request tells the social context.
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
    """A node as checks see it: all layers merged, without the values that it cannot have."""

    node: Node
    faults: tuple[Fault, ...]
    #: The layer that set each value, by its dotted path in snake_case.
    set_by: Mapping[str, str]
    #: A template's name is given, and what it says is not known.
    below_unknown: bool
    #: Its designer named something of it (:data:`contracts.nodes.layers.OWN`); otherwise it only adds to a request.
    own: bool
    facts: Facts

    def assumed(self, name: str) -> bool:
        """Whether no layer says it, so that a node of its designer's own gets what is usual."""
        said = self.set_by.get(name) not in (None, DEFAULTS) or self.below_unknown or self.spoilt(name)
        return self.own and not said

    def spoilt(self, *path: str | int) -> bool:
        """Whether a value was given there, or around it, that a node cannot have."""
        return any(path[: len(fault.path)] == fault.path for fault in self.faults)


class CheckResult(msgspec.Struct, frozen=True):
    """What a check has to say; its code and severity are the table's."""

    path: Path
    message: str
    suggestion: str


class CheckExample(msgspec.Struct, frozen=True, kw_only=True):
    """A node that shows what a check means."""

    node: Any
    #: What is known beside it.
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


#: A node with nothing to find, for examples to depart from.
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
    """A node like a sound one, without some fields and with some changes."""
    return {name: value for name, value in sound.items() if name not in without} | changes


def example(*without: str, facts: Facts | None = None, **changes: Any) -> CheckExample:
    """The sound dialogue, changed."""
    return CheckExample(node=but(SOUND, *without, **changes), facts=facts or Facts())


def transition(*without: str, facts: Facts | None = None, **changes: Any) -> CheckExample:
    """The sound transition, changed."""
    return CheckExample(node=but(SOUND_TRANSITION, *without, **changes), facts=facts or Facts())
