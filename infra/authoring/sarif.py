"""Findings as SARIF, for editors and code scanners.

SARIF 2.1.0: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from contracts.nodes.validation import Finding, Report, Severity
from contracts.nodes.validation.validate import all_checks
from infra.authoring import node_files
from infra.authoring.node_files import TextPosition

SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS: Final = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.SUGGESTION: "note"}


def sarif(report: Report, *, uri: str, place: Callable[[str], TextPosition]) -> dict[str, Any]:
    """A log with one run.

    Args:
        report: the findings of one file.
        uri: the file, as the editor should open it.
        place: the position of a finding's path.
    """
    rules = _rules()
    index = {rule["id"]: number for number, rule in enumerate(rules)}
    driver = {"name": "understudy", "rules": rules} | _version()
    results = [_result(each, uri, place(each.path), index[each.code]) for each in report.findings]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _version() -> dict[str, str]:
    try:
        return {"version": version("understudy-pipeline")}
    except PackageNotFoundError:
        return {}


def _rules() -> list[dict[str, Any]]:
    checks = [(check.code, check.title, check.why, check.severity) for check in all_checks()]
    checks += [(check.code, check.title, check.why, Severity.ERROR) for check in node_files.CHECKS]
    return [
        {
            "id": code,
            "shortDescription": {"text": title},
            "fullDescription": {"text": why},
            "defaultConfiguration": {"level": _LEVELS[severity]},
        }
        for code, title, why, severity in checks
    ]


def _result(finding: Finding, uri: str, place: TextPosition, index: int) -> dict[str, Any]:
    where = f"{finding.path}: " if finding.path else ""
    location: dict[str, Any] = {
        "physicalLocation": {
            "artifactLocation": {"uri": uri},
            "region": {"startLine": place.line, "startColumn": place.column},
        }
    }
    if finding.path:
        location["logicalLocations"] = [{"fullyQualifiedName": finding.path}]
    return {
        "ruleId": finding.code,
        "ruleIndex": index,
        "level": _LEVELS[finding.severity],
        "message": {"text": f"{where}{finding.message}; {finding.suggestion}"},
        "locations": [location],
    }
