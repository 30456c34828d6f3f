"""Quick fixes: changes of a node that remove a finding, as JSON Patch.

A fix is offered only if the node, with the fix, no longer has the finding and has no more errors than before.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal, cast

import msgspec
from pydantic.alias_generators import to_snake

from contracts.nodes.field_aliases import Path, ResolvedNames, resolve_aliases
from contracts.nodes.node import Node
from contracts.nodes.validation.check import Facts, Finding
from contracts.nodes.validation.fix_proposals import PROPOSALS, FieldEdit, FindingPlace, FixCandidate
from contracts.nodes.validation.validate import Examined, examine

#: Candidates that are tried for one body: each is a validation.
MOST_TRIED: Final = 64
#: Findings of a node that is repaired at all: one with more is hardly a node.
MOST_FINDINGS: Final = 32


class FixOperation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One operation of a JSON Patch (RFC 6902)."""

    op: Literal["add", "replace", "remove"]
    #: JSON Pointer into the node.
    path: str
    value: Any = msgspec.UNSET


class QuickFix(msgspec.Struct, frozen=True, kw_only=True):
    """A change that removes a finding."""

    #: What it does, for a button.
    title: str
    patch: tuple[FixOperation, ...]


class FixTries:
    """How many candidates may still be tried."""

    def __init__(self, left: int = MOST_TRIED) -> None:
        self._left = left

    def take(self) -> bool:
        """Whether one more may be tried."""
        self._left -= 1
        return self._left >= 0

    @property
    def used_up(self) -> bool:
        """Whether no more may be tried."""
        return self._left <= 0


def find_fixes(
    node: Any,
    *,
    template: Mapping[str, Any] | None = None,
    facts: Facts | None = None,
    tries: FixTries | None = None,
) -> tuple[Examined, dict[Finding, tuple[QuickFix, ...]]]:
    """Examine a node, and find what removes its findings.

    Args:
        node: any JSON value.
        template: the layer below it.
        facts: facts from outside the node.
        tries: how many candidates may be tried; none: :data:`MOST_TRIED`.

    Returns:
        the findings, and the fixes of those that have one.
    """
    facts, tries = facts or Facts(), tries or FixTries()
    examined = examine(node, template=template, facts=facts)
    if not isinstance(node, dict) or len(examined.report.findings) > MOST_FINDINGS:
        return examined, {}
    fields = cast("dict[str, Any]", node)
    names = resolve_aliases(fields, Node, camel=facts.camel)
    found: dict[Finding, tuple[QuickFix, ...]] = {}
    for finding in examined.report.findings:
        fixes: list[QuickFix] = []
        for title, edits in _propose(finding, names, examined.node, facts):
            if not tries.take():
                return examined, found
            changed, patch = _edit(fields, names, edits)
            after = examine(changed, template=template, facts=facts).report
            gone = _count(after.findings, finding.code) < _count(examined.report.findings, finding.code)
            if gone and len(after.errors) <= len(examined.report.errors):
                fixes.append(QuickFix(title=title, patch=patch))
        if fixes:
            found[finding] = tuple(fixes)
    return examined, found


def _count(findings: Iterable[Finding], code: str) -> int:
    return sum(each.code == code for each in findings)


def _propose(finding: Finding, names: ResolvedNames, node: Node, facts: Facts) -> Iterator[FixCandidate]:
    propose = PROPOSALS.get(finding.code)
    if propose is None:
        return
    path, value = _locate(finding.path, names.value)
    yield from propose(FindingPlace(path=path, value=value, node=node, names=names, facts=facts))


def _locate(dotted: str, value: Any) -> tuple[Path, Any]:
    """The path of a finding in snake_case, and the value there."""
    path: list[str | int] = []
    for part in filter(None, dotted.split(".")):
        name: str | int = part
        if isinstance(value, list):
            entries = cast("list[Any]", value)
            name = int(part) if part.isdecimal() else part
            value = entries[name] if isinstance(name, int) and name < len(entries) else msgspec.UNSET
        else:
            fields = cast("dict[str, Any]", value) if isinstance(value, dict) else dict[str, Any]()
            name = part if part in fields else to_snake(part)
            value = fields.get(name, msgspec.UNSET)
        path.append(name)
    return tuple(path), value


def _edit(
    node: Mapping[str, Any], names: ResolvedNames, edits: Iterable[FieldEdit]
) -> tuple[dict[str, Any], tuple[FixOperation, ...]]:
    """A node with some edits, and the patch that makes it."""
    changed = copy.deepcopy(dict(node))
    patch = [each for edit in edits for each in _apply(changed, _spell(names, edit.path), edit.value)]
    return changed, tuple(patch)


def _spell(names: ResolvedNames, path: Path) -> list[str | int]:
    """A path in the author's spelling."""
    spelt: list[str | int] = []
    for end, part in enumerate(path, start=1):
        written = names.names.get(path[:end])
        spelt.append(part if isinstance(part, int) else written or names.spell(part))
    return spelt


def _apply(changed: dict[str, Any], parts: list[str | int], value: Any) -> Iterator[FixOperation]:
    """Set or remove one value; what is missing around it is added."""
    holder: Any = changed
    for depth, part in enumerate(parts):
        pointer = "".join(
            f"/{str(each).replace('~', '~0').replace('/', '~1')}" for each in parts[: depth + 1]
        )
        there = _has(holder, part)
        last = depth == len(parts) - 1
        if last and value is msgspec.UNSET:
            if there:
                del holder[part]
                yield FixOperation(op="remove", path=pointer)
            return
        inner: Any = holder[part] if there else None
        if last or not isinstance(inner, dict | list):
            for name in reversed(parts[depth + 1 :]):
                value = {name: value}
            holder[part] = value
            yield FixOperation(op="replace" if there else "add", path=pointer, value=copy.deepcopy(value))
            return
        holder = cast("Any", inner)


def _has(holder: Any, part: str | int) -> bool:
    if isinstance(holder, dict):
        return part in holder
    return isinstance(part, int) and part < len(holder)
