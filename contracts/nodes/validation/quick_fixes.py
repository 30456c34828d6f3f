"""Quick fixes: changes of a node that remove a finding, as JSON Patch.

A fix is offered only if the node, with the fix, no longer has the finding and has no more errors than before.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final, Literal, cast

import msgspec
from pydantic.alias_generators import to_camel, to_snake

from contracts.nodes import wording
from contracts.nodes.field_aliases import Path, ResolvedNames, resolve_aliases
from contracts.nodes.node import PURPOSES, FallbackMode, Node, SeedSource, Strategy, TransitionType
from contracts.nodes.validation import limits
from contracts.nodes.validation.check import Facts, Finding
from contracts.nodes.validation.identity_checks import FITTING
from contracts.nodes.validation.normalise import allowed_words
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


class _Edit(msgspec.Struct, frozen=True):
    """A value to set; ``UNSET``: to remove."""

    path: Path
    value: Any = msgspec.UNSET


class _Place(msgspec.Struct, frozen=True, kw_only=True):
    """A finding as its fixes see it."""

    #: The field, in snake_case.
    path: Path
    #: What the author wrote there; ``UNSET``: nothing.
    value: Any
    #: All layers merged.
    node: Node
    names: ResolvedNames
    facts: Facts


_Candidate = tuple[str, tuple[_Edit, ...]]


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


def _propose(finding: Finding, names: ResolvedNames, node: Node, facts: Facts) -> Iterator[_Candidate]:
    propose = _PROPOSALS.get(finding.code)
    if propose is None:
        return
    path, value = _locate(finding.path, names.value)
    yield from propose(_Place(path=path, value=value, node=node, names=names, facts=facts))


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
    node: Mapping[str, Any], names: ResolvedNames, edits: Iterable[_Edit]
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


def _set(path: Path, value: Any, title: str | None = None) -> _Candidate:
    return title or f"use {wording.format_value(value)}", (_Edit(path, value),)


def _remove(path: Path, title: str) -> _Candidate:
    return title, (_Edit(path),)


def _to(value: Any) -> Callable[[_Place], Iterator[_Candidate]]:
    """A fix that sets one value at the finding's field."""

    def propose(place: _Place) -> Iterator[_Candidate]:
        yield _set(place.path, value)

    return propose


def _to_mode(place: _Place) -> Iterator[_Candidate]:
    retries = place.node.fallback is not None and place.node.fallback.mode is FallbackMode.RETRY
    field = "then" if retries else "mode"
    yield _set(("fallback", field), str(FallbackMode.GOLDEN_SAMPLE), "use a golden sample")


def _drop(place: _Place) -> Iterator[_Candidate]:
    yield _remove(place.path, f"remove {place.names.path(place.path[-1:])}")


def _move_field(place: _Place) -> Iterator[_Candidate]:
    """An unknown field becomes the one that was probably meant."""
    near = wording.suggest_field(str(place.path[-1]), Node) if len(place.path) == 1 else None
    if near is not None and place.value is not msgspec.UNSET:
        yield (
            f"rename it to {place.names.path(near)}",
            (_Edit(place.path), _Edit(near, place.value)),
        )
    yield from _drop(place)


def _one_spelling(place: _Place) -> Iterator[_Candidate]:
    name = str(place.path[-1])
    kept = place.names.names.get(place.path, name)
    other = to_camel(name) if kept != to_camel(name) else name
    # No name of the model: the author's spelling is its path.
    yield f"keep {kept}", (_Edit((*place.path[:-1], other)),)


def _number(place: _Place) -> Iterator[_Candidate]:
    if not isinstance(place.value, str):
        return
    try:
        number = float(place.value[:40])
    except ValueError:
        return
    if abs(number) < 1e12:  # noqa: PLR2004 - more than any field allows; infinity has no integer
        yield _set(place.path, int(number) if number.is_integer() else number)


def _word(place: _Place) -> Iterator[_Candidate]:
    if isinstance(place.value, str):
        near = wording.find_word(place.value, allowed_words(place.path))
        if near is not None:
            yield _set(place.path, near)


def _purpose(place: _Place) -> Iterator[_Candidate]:
    if isinstance(place.value, str) and place.value not in PURPOSES:
        close = get_close_matches(place.value.lower(), PURPOSES, n=1)
        if close:
            yield _set(place.path, close[0])


def _assumed_purpose(place: _Place) -> Iterator[_Candidate]:
    if place.node.purpose is not None:
        yield _set(place.path, place.node.purpose)


def _seed_source(place: _Place) -> Iterator[_Candidate]:
    if place.node.strategy is not None:
        yield _set(("seed_source",), str(FITTING[place.node.strategy]))


def _shared(place: _Place) -> Iterator[_Candidate]:
    for strategy in (Strategy.PER_PLAYTHROUGH, Strategy.PER_PLAYER, Strategy.ONCE):
        edits = [_Edit(("strategy",), str(strategy))]
        if place.node.seed_source is SeedSource.TIMESTAMP:
            edits.append(_Edit(("seed_source",), str(FITTING[strategy])))
        yield f"use {str(strategy)!r}", tuple(edits)


def _template(place: _Place) -> Iterator[_Candidate]:
    named = place.node.template_id or ""
    for close in get_close_matches(named, place.facts.templates or (), n=1, cutoff=0.5):
        yield _set(place.path, close)
    yield from _drop(place)


def _swap(place: _Place) -> Iterator[_Candidate]:
    duration = place.node.duration
    if duration is not None:
        edits = (_Edit(("duration", "min"), duration.max), _Edit(("duration", "max"), duration.min))
        yield "swap minimum and maximum", edits


def _into_range(place: _Place) -> Iterator[_Candidate]:
    duration = place.node.duration
    if duration is None or duration.target is None:
        return
    if duration.min is not None and duration.target < duration.min:
        yield _set(("duration", "target"), duration.min)
    elif duration.max is not None:
        yield _set(("duration", "target"), duration.max)


def _positive(place: _Place) -> Iterator[_Candidate]:
    if isinstance(place.value, int | float):
        yield _set(place.path, 0 if place.path[-1] == "min" else abs(place.value))


def _within(least: float, most: float) -> Callable[[_Place], Iterator[_Candidate]]:
    """A fix that moves every second of the duration that matters into a range."""

    def propose(place: _Place) -> Iterator[_Candidate]:
        duration = place.node.duration
        # The shortest duration may be short.
        names = ("target", "max", "min") if least == 0 else ("target", "max")
        given = {name: getattr(duration, name, None) for name in names}
        edits = tuple(
            _Edit(("duration", name), least if value < least else most)
            for name, value in given.items()
            if value is not None and not least <= value <= most
        )
        if edits:
            yield f"use {wording.format_value(edits[0].value)} s", edits

    return propose


def _middle(place: _Place) -> Iterator[_Candidate]:
    duration = place.node.duration
    if duration is not None and duration.min is not None and duration.max is not None:
        middle = (duration.min + duration.max) / 2
        yield _set(("duration", "target"), int(middle) if middle.is_integer() else middle)


def _either_list(place: _Place) -> Iterator[_Candidate]:
    constraints = place.node.constraints
    if constraints is None or not isinstance(place.value, str):
        return
    yield _remove(place.path, f"do not require {wording.format_value(place.value)}")
    for index, avoided in enumerate(constraints.avoid_elements):
        title = f"do not avoid {wording.format_value(avoided)}"
        yield _remove(("constraints", "avoid_elements", index), title)


def _drop_rule(place: _Place) -> Iterator[_Candidate]:
    yield _remove(place.path, f"remove the rule {wording.format_value(place.value)}")


def _default_content(place: _Place) -> Iterator[_Candidate]:
    known = place.facts.default_contents
    if isinstance(place.value, str) and isinstance(known, frozenset | set | tuple | list):
        ids = sorted(cast("Iterable[str]", known))
        for close in get_close_matches(place.value, ids, n=1):
            yield _set(place.path, close)
    yield from _to_mode(place)


def _retries(place: _Place) -> Iterator[_Candidate]:
    fallback = place.node.fallback
    if place.path[-1] == "retries":
        yield _set(place.path, limits.MOST_RETRIES if fallback and fallback.retries else 1)
    elif fallback is not None and fallback.timeout_ms is not None:
        yield _set(place.path, limits.LONGEST_WAIT_MS // (fallback.retries or 1))


_PROPOSALS: Final[Mapping[str, Callable[[_Place], Iterator[_Candidate]]]] = {
    "NOD002": _move_field,
    "NOD003": _one_spelling,
    "NOD004": _number,
    "ENU001": _word,
    "PUR001": _assumed_purpose,
    "PUR002": _purpose,
    "SED001": _seed_source,
    "SED002": _seed_source,
    "ENA001": _to(True),  # noqa: FBT003 - the field's value
    "TPL002": _template,
    "STY002": _to(str(TransitionType.GRADUAL)),
    "DUR001": _swap,
    "DUR002": _into_range,
    "DUR003": _positive,
    "DUR004": _within(limits.SHORTEST_S, math.inf),
    "DUR005": _within(0, limits.LONGEST_S),
    "DUR006": _middle,
    "CON001": _either_list,
    "CON002": _drop_rule,
    "CON003": _drop,
    "FBK001": _to_mode,
    "FBK002": _to_mode,
    "FBK003": _to(str(FallbackMode.GOLDEN_SAMPLE)),
    "FBK004": _default_content,
    "FBK005": _retries,
    "FBK006": _drop,
    "FBK007": _to_mode,
    "PER001": _shared,
}
