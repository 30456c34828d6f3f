"""Type checks: values of the wrong type or outside their range."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from contracts.nodes.validation.check import (
    SOUND,
    Check,
    CheckExample,
    CheckResult,
    Reading,
    Severity,
    but,
    example,
    transition,
)


def _faults(kind: str) -> Callable[[Reading], Iterable[CheckResult]]:
    def find(reading: Reading) -> Iterable[CheckResult]:
        return [
            CheckResult(fault.path, fault.message, fault.suggestion)
            for fault in reading.faults
            if fault.kind == kind
        ]

    return find


CHECKS: Final = (
    Check(
        code="NOD001",
        severity=Severity.ERROR,
        title="no object",
        why="A node is a JSON object; a text, a number or a list says nothing about fields.",
        find=_faults("object"),
        failing=CheckExample(node="transition"),
        passing=example(),
    ),
    Check(
        code="NOD002",
        severity=Severity.ERROR,
        title="unknown field",
        why="A misspelt field would be ignored without notice.",
        find=_faults("field"),
        failing=example(pacing="slow"),
        passing=example(style={"pacing": "slow"}),
    ),
    Check(
        code="NOD003",
        severity=Severity.ERROR,
        title="field given in both spellings",
        why="snake_case and camelCase are one field; two values for it contradict each other.",
        find=_faults("twice"),
        failing=example(seed_source="fixed"),
        passing=CheckExample(node=but(SOUND, "seedSource", seed_source="player")),
    ),
    Check(
        code="NOD004",
        severity=Severity.ERROR,
        title="wrong type",
        why='A number is no text: `"15"` is not `15`, and nothing is converted silently.',
        find=_faults("type"),
        failing=transition(duration={"min": "10", "max": 30, "target": 20}),
        passing=transition(),
    ),
    Check(
        code="NOD005",
        severity=Severity.ERROR,
        title="out of bounds",
        why="Texts, lists and numbers have bounds, and names a fixed alphabet; see the schema.",
        find=_faults("bounds"),
        failing=example(version=0),
        passing=example(version=2),
    ),
    Check(
        code="ENU001",
        severity=Severity.ERROR,
        title="unknown word",
        why="Types, strategies, seed sources, fallback modes, pacing, transition types and ratings are fixed words.",
        find=_faults("word"),
        failing=example(strategy="per_plyer"),
        passing=example(strategy="per_player"),
    ),
)
