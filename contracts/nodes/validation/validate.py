"""What is wrong with a node, what is risky about it, and what could be better?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from contracts.nodes.field_aliases import Spelled
from contracts.nodes.node import Node
from contracts.nodes.validation import (
    constraint_checks,
    cost_checks,
    fallback_checks,
    identity_checks,
    style_checks,
    type_checks,
)
from contracts.nodes.validation.check import Check, Facts, Finding, Reading, Report, Severity
from contracts.nodes.validation.normalise import read

#: Every check that there is; docs/validation.md is written from it.
CHECKS: Final[tuple[Check, ...]] = (
    *type_checks.CHECKS,
    *identity_checks.CHECKS,
    *style_checks.CHECKS,
    *constraint_checks.CHECKS,
    *fallback_checks.CHECKS,
    *cost_checks.CHECKS,
)
_OBJECT: Final = "NOD001"


class Examined(msgspec.Struct, frozen=True, kw_only=True):
    """A node with everything merged, and what was found."""

    #: Without the values that it cannot have; fit for use when the report is ``ok``.
    node: Node
    report: Report
    #: The layer that set each value, by its dotted path in snake_case.
    set_by: Mapping[str, str]


def validate(
    node: Any,
    *,
    template: Mapping[str, Any] | None = None,
    rules: Mapping[str, Any] | None = None,
    request: Mapping[str, Any] | None = None,
    facts: Facts | None = None,
) -> Report:
    """Check one node, as :func:`examine` does.

    Returns:
        what was found; never an exception, whatever JSON value ``node`` is.
    """
    return examine(node, template=template, rules=rules, request=request, facts=facts).report


def examine(
    node: Any,
    *,
    template: Mapping[str, Any] | None = None,
    rules: Mapping[str, Any] | None = None,
    request: Mapping[str, Any] | None = None,
    facts: Facts | None = None,
) -> Examined:
    """Merge a node with the layers around it, and check what it comes to.

    Args:
        node: any JSON value; names in snake_case or camelCase, as in every layer.
        template: what lies below it.
        rules: what lies above it.
        request: what lies above that.
        facts: what is known beside it; checks that need more are left out, and the report names them.
            With ``facts.kind`` the node is a request's: one that names nothing of its own (see
            :data:`contracts.nodes.layers.OWN`) gets the defaults of a plain request.
    """
    facts = facts or Facts()
    reading, own = read(node, template=template, rules=rules, request=request, facts=facts)
    known = [check for check in CHECKS if check.needs is None or getattr(facts, check.needs) is not None]
    if any(fault.kind == "object" for fault in reading.faults):
        known = [check for check in known if check.code == _OBJECT]
    found = [finding for check in known for finding in _findings(check, reading, own)]
    of = {severity: tuple(each for each in found if each.severity is severity) for severity in Severity}
    report = Report(
        errors=of[Severity.ERROR],
        warnings=of[Severity.WARNING],
        suggestions=of[Severity.SUGGESTION],
        unchecked=tuple(
            check.code for check in CHECKS if check.needs and getattr(facts, check.needs) is None
        ),
    )
    return Examined(node=reading.node, report=report, set_by=reading.set_by)


def _findings(check: Check, reading: Reading, own: Spelled) -> list[Finding]:
    return [
        Finding(
            code=check.code,
            severity=check.severity,
            path=own.path(found.path),
            message=found.message,
            suggestion=found.suggestion,
        )
        for found in check.find(reading)
    ]
