"""docs/validation.md: every check, with an example that fails and one that passes."""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

from contracts.nodes.validation import Severity
from contracts.nodes.validation.check import Check, CheckExample, Facts
from contracts.nodes.validation.validate import CHECKS
from infra.authoring import node_files
from infra.lab.docgen.markdown import code, notice, table
from infra.lab.docgen.markdown import page as joined

_SOURCES: Final = "contracts/nodes/validation/ and infra/authoring/node_files.py"
_INTRODUCTION: Final = """\
`understudy validate FILE` checks a [node](nodes.md), or a list of nodes, in JSON or YAML (`-` for standard input):

- **errors** block: the command exits 1, and a request with such a node is `rejected` before anything is generated;
- **warnings** do not: a request's result carries them in `meta.warnings`;
- **suggestions** are hints for the node's author.

`--json` prints `{"ok", "errors", "warnings", "suggestions"}`, each finding with `code`, `severity`, `path`, `message` and
`suggestion`; `--format sarif` prints SARIF 2.1.0, which editors and code scanners read. A code never changes its meaning.

Checks run on the merged node, so values from the defaults are not missing. Some checks need information that is
not part of the node. Without it they are skipped, and the command lists them.
"""
_NEEDS: Final = {
    "templates": "the known templates",
    "kind": "the request's kind",
    "default_contents": "the known default contents",
    "max_rating": "the highest rating of world and user",
    "p95_ms": "the node's latency",
    "provider_available": "whether the provider answers",
}


def page() -> str:
    """The page."""
    return joined(
        "# Checks of a node",
        notice(_SOURCES),
        _INTRODUCTION,
        _overview(),
        *map(_section, CHECKS),
        *map(_file_section, node_files.CHECKS),
    )


def _overview() -> str:
    rows = [
        (f"[{code(check.code)}](#{_anchor(check.code, check.title)})", check.severity, check.title)
        for check in CHECKS
    ]
    rows += [
        (f"[{code(check.code)}](#{_anchor(check.code, check.title)})", Severity.ERROR, check.title)
        for check in node_files.CHECKS
    ]
    return table(("code", "severity", "finding"), rows)


def _anchor(name: str, title: str) -> str:
    kept = "".join(letter for letter in f"{name} {title}".lower() if letter.isalnum() or letter in " -_")
    return kept.replace(" ", "-")


def _section(check: Check) -> str:
    needs = f" Needs {_NEEDS[check.needs]}." if check.needs else ""
    return joined(
        f"## {check.code} {check.title}",
        f"*{check.severity}* {check.why}{needs}",
        f"Found in{_beside(check.failing)}:",
        _block(check.failing.node),
        f"Not in{_beside(check.passing)}:",
        _block(check.passing.node),
    )


def _file_section(check: node_files.FileCheck) -> str:
    return joined(
        f"## {check.code} {check.title}",
        f"*{Severity.ERROR}* {check.why}",
        "Found in:",
        f"```text\n{check.failing}```",
        "Not in:",
        f"```text\n{check.passing}```",
    )


def _beside(example: CheckExample) -> str:
    known = {
        name: msgspec.to_builtins(value)
        for name, value in msgspec.structs.asdict(example.facts).items()
        if value != getattr(Facts(), name)
    }
    return f", where `{json.dumps(known)[1:-1]}` is given" if known else ""


def _block(node: Any) -> str:
    return f"```json\n{_pretty(node)}\n```"


def _pretty(node: Any) -> str:
    """A field per line."""
    if not isinstance(node, dict):
        return json.dumps(node)
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in node.items())
    return f"{{\n{lines}\n}}"
