"""Validation entry points: all findings for a node or for the layers of a request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from contracts.nodes.field_aliases import ResolvedNames
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

#: Every built-in check; docs/validation.md is written from it.
CHECKS: Final[tuple[Check, ...]] = (
    *type_checks.CHECKS,
    *identity_checks.CHECKS,
    *style_checks.CHECKS,
    *constraint_checks.CHECKS,
    *fallback_checks.CHECKS,
    *cost_checks.CHECKS,
)
_OBJECT: Final = "NOD001"
_CODE: Final = re.compile(r"[A-Z]{3,8}[0-9]{3}")
#: Prefix of the codes for problems of a file around its nodes.
_OF_FILES: Final = "FIL"
_installed: Final[dict[str, Check]] = {}


def register(checks: Iterable[Check]) -> None:
    """Add the checks of an extension to this process.

    Infra calls it when it reads the settings, before a node is examined; registering the same checks again has no
    effect, and a check is never removed.

    Raises:
        ValueError: a code is taken or unfit; none of the checks is added then.
    """
    new = [check for check in checks if _installed.get(check.code) != check]
    taken = {check.code for check in all_checks()}
    for check in new:
        if not _CODE.fullmatch(check.code):
            raise ValueError(
                f"the code {check.code!r} is not 3 to 8 capital letters and 3 digits, such as QST001"
            )
        if check.code in taken:
            raise ValueError(f"there is a check {check.code} already")
        if check.code.startswith(_OF_FILES):
            raise ValueError(f"the code {check.code!r} is one of files; let it begin otherwise")
        taken.add(check.code)
    _installed.update({check.code: check for check in new})


def all_checks() -> tuple[Check, ...]:
    """The built-in checks, then those of installed extensions."""
    return (*CHECKS, *_installed.values())


class Examined(msgspec.Struct, frozen=True, kw_only=True):
    """A merged node, with the findings."""

    #: Without invalid values; usable if the report is ``ok``.
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
        the findings; never raises, for any JSON value ``node``.
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
    """Merge a node with its layers, and check the outcome.

    Args:
        node: any JSON value; names in snake_case or camelCase, as in every layer.
        template: the layer below it.
        rules: the layer above it.
        request: the layer above the rules.
        facts: facts from outside the node; checks that need unknown ones are skipped, and the report names them.
            With ``facts.kind`` the node is a request's: one that names nothing of its own (see
            :data:`contracts.nodes.layers.OWN`) gets the defaults of a plain request.
    """
    facts = facts or Facts()
    reading, own = read(node, template=template, rules=rules, request=request, facts=facts)
    checks = all_checks()
    known = [check for check in checks if check.needs is None or getattr(facts, check.needs) is not None]
    if any(fault.kind == "object" for fault in reading.faults):
        known = [check for check in known if check.code == _OBJECT]
    found = [finding for check in known for finding in _findings(check, reading, own)]
    of = {severity: tuple(each for each in found if each.severity is severity) for severity in Severity}
    report = Report(
        errors=of[Severity.ERROR],
        warnings=of[Severity.WARNING],
        suggestions=of[Severity.SUGGESTION],
        unchecked=tuple(
            check.code for check in checks if check.needs and getattr(facts, check.needs) is None
        ),
    )
    return Examined(node=reading.node, report=report, set_by=reading.set_by)


def _findings(check: Check, reading: Reading, own: ResolvedNames) -> list[Finding]:
    try:
        results = list(check.find(reading))
    except Exception as error:
        if check.code not in _installed:
            raise
        # A defect of an extension must not reject a node.
        return [
            Finding(
                code=check.code,
                severity=Severity.WARNING,
                path="",
                message=f"this check of an extension failed: {type(error).__name__}: {error}",
                suggestion="correct or uninstall the package that brings it",
            )
        ]
    return [
        Finding(
            code=check.code,
            severity=check.severity,
            path=own.path(found.path),
            message=found.message,
            suggestion=found.suggestion,
        )
        for found in results
    ]
