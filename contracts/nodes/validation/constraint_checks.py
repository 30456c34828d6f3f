"""Constraint checks: contradictions and too many requirements."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from contracts.nodes import required_terms
from contracts.nodes.node import Constraints
from contracts.nodes.validation import limits
from contracts.nodes.validation.check import Check, CheckResult, Reading, Severity, example

_LISTS: Final = ("required_elements", "avoid_elements", "content_rules")
#: First words of a rule that forbids what follows them.
FORBIDDING: Final = ("avoid", "never", "no", "not", "without")


def _constraints(reading: Reading) -> Constraints:
    return reading.node.constraints or Constraints()


def _conflict(reading: Reading) -> Iterable[CheckResult]:
    constraints = _constraints(reading)
    for index, wanted in enumerate(constraints.required_elements):
        for avoided in constraints.avoid_elements:
            if required_terms.term_includes(wanted, avoided):
                same = wanted.casefold() == avoided.casefold()
                yield CheckResult(
                    ("constraints", "required_elements", index),
                    f"{wanted!r} is required, and {'it' if same else repr(avoided)} is to be avoided"
                    f"{'' if same else ', which naming it would name'}",
                    "leave it out of one of the two lists",
                )
                break


def _contradiction(reading: Reading) -> Iterable[CheckResult]:
    constraints = _constraints(reading)
    said = {required_terms.normalise_term(rule): rule for rule in constraints.content_rules}
    for index, rule in enumerate(constraints.content_rules):
        first, _, rest = required_terms.normalise_term(rule).partition(" ")
        if first not in FORBIDDING or not rest:
            continue
        wanted = [each for each in constraints.required_elements if required_terms.term_includes(each, rest)]
        if rest in said:
            wanted.insert(0, said[rest])
        if wanted:
            yield CheckResult(
                ("constraints", "content_rules", index),
                f"{rule!r} forbids what {wanted[0]!r} asks for",
                "keep one of the two",
            )


def _empty(reading: Reading) -> Iterable[CheckResult]:
    for name in _LISTS:
        given = reading.node.constraints is not None and name in reading.node.constraints.model_fields_set
        if given and not getattr(_constraints(reading), name) and not reading.spoilt("constraints", name):
            yield CheckResult(
                ("constraints", name),
                "the list is empty, and replaces the one below it",
                "leave it out or fill it",
            )


def _many(reading: Reading) -> Iterable[CheckResult]:
    constraints = _constraints(reading)
    count = sum(len(getattr(constraints, name)) for name in _LISTS)
    if count > limits.MOST_CONSTRAINTS:
        yield CheckResult(
            ("constraints",),
            f"{count} constraints are more than {limits.MOST_CONSTRAINTS}",
            "keep the essential ones",
        )


def _complex(reading: Reading) -> Iterable[CheckResult]:
    constraints, duration = _constraints(reading), reading.node.duration
    span = (duration.max or 0) - (duration.min or 0) if duration and duration.max is not None else 0
    score = limits.complexity(
        rules=len(constraints.content_rules), required=len(constraints.required_elements), span_s=span
    )
    if score > limits.MOST_COMPLEX:
        yield CheckResult(
            (),
            f"the complexity score is {score:.1f}, above {limits.MOST_COMPLEX}",
            "ask for fewer things, or narrow the duration; two nodes may do better than one",
        )


CHECKS: Final = (
    Check(
        code="CON001",
        severity=Severity.ERROR,
        title="required and to be avoided",
        why="No content can meet both; case, underscores and a plural s make no difference, and content that names "
        "`phone_ring` also names `phone`.",
        find=_conflict,
        failing=example(constraints={"requiredElements": ["phone_ring"], "avoidElements": ["Phone ring"]}),
        passing=example(constraints={"requiredElements": ["phone_ring"], "avoidElements": ["violence"]}),
    ),
    Check(
        code="CON002",
        severity=Severity.ERROR,
        title="contradictory rules",
        why=f"A rule that begins with {', '.join(FORBIDDING)} forbids what another rule or a required element asks.",
        find=_contradiction,
        failing=example(constraints={"contentRules": ["mention_the_war", "never_mention_the_war"]}),
        passing=example(constraints={"contentRules": ["mention_the_war", "never_mention_the_peace"]}),
    ),
    Check(
        code="CON003",
        severity=Severity.WARNING,
        title="empty list of constraints",
        why="It removes the template's list, which is rarely intended.",
        find=_empty,
        failing=example(constraints={"avoidElements": []}),
        passing=example(constraints={"avoidElements": ["violence"]}),
    ),
    Check(
        code="CON004",
        severity=Severity.WARNING,
        title="too many constraints",
        why=f"With more than {limits.MOST_CONSTRAINTS} the drafts miss some, and each miss costs another draft.",
        find=_many,
        failing=example(
            constraints={
                "requiredElements": [f"clue_{letter}" for letter in "abcdefg"],
                "avoidElements": [f"spoiler_{letter}" for letter in "abcdefg"],
            }
        ),
        passing=example(constraints={"requiredElements": [f"clue_{letter}" for letter in "abcdefg"]}),
    ),
    Check(
        code="CPX001",
        severity=Severity.WARNING,
        title="too complex",
        why="The score is content rules + required elements + one for every "
        f"{limits.SPAN_STEP_S} s between the shortest and the longest duration; above {limits.MOST_COMPLEX} "
        "models often fail.",
        find=_complex,
        failing=example(
            duration={"min": 10, "max": 130, "target": 60},
            constraints={"requiredElements": ["lamp", "key", "map"], "contentRules": ["keep_it_light"]},
        ),
        passing=example(
            duration={"min": 10, "max": 40, "target": 30},
            constraints={"requiredElements": ["lamp", "key", "map"], "contentRules": ["keep_it_light"]},
        ),
    ),
)
