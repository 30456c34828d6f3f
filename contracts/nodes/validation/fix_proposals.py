"""Proposals of quick fixes: edits that may remove a finding, by its code."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final, cast

import msgspec
from pydantic.alias_generators import to_camel

from contracts.nodes import wording
from contracts.nodes.field_aliases import Path, ResolvedNames
from contracts.nodes.node import PURPOSES, FallbackMode, Node, SeedSource, Strategy, TransitionType
from contracts.nodes.validation import limits
from contracts.nodes.validation.check import Facts
from contracts.nodes.validation.identity_checks import FITTING
from contracts.nodes.validation.normalise import allowed_words


class FieldEdit(msgspec.Struct, frozen=True):
    """A value to set; ``UNSET``: to remove."""

    path: Path
    value: Any = msgspec.UNSET


class FindingPlace(msgspec.Struct, frozen=True, kw_only=True):
    """A finding as its fixes see it."""

    #: The field, in snake_case.
    path: Path
    #: What the author wrote there; ``UNSET``: nothing.
    value: Any
    #: All layers merged.
    node: Node
    names: ResolvedNames
    facts: Facts


#: What a fix does, for a button; and the edits.
FixCandidate = tuple[str, tuple[FieldEdit, ...]]


def _set(path: Path, value: Any, title: str | None = None) -> FixCandidate:
    return title or f"use {wording.format_value(value)}", (FieldEdit(path, value),)


def _remove(path: Path, title: str) -> FixCandidate:
    return title, (FieldEdit(path),)


def _to(value: Any) -> Callable[[FindingPlace], Iterator[FixCandidate]]:
    """A fix that sets one value at the finding's field."""

    def propose(place: FindingPlace) -> Iterator[FixCandidate]:
        yield _set(place.path, value)

    return propose


def _to_mode(place: FindingPlace) -> Iterator[FixCandidate]:
    retries = place.node.fallback is not None and place.node.fallback.mode is FallbackMode.RETRY
    field = "then" if retries else "mode"
    yield _set(("fallback", field), str(FallbackMode.GOLDEN_SAMPLE), "use a golden sample")


def _drop(place: FindingPlace) -> Iterator[FixCandidate]:
    yield _remove(place.path, f"remove {place.names.path(place.path[-1:])}")


def _move_field(place: FindingPlace) -> Iterator[FixCandidate]:
    """An unknown field becomes the one that was probably meant."""
    near = wording.suggest_field(str(place.path[-1]), Node) if len(place.path) == 1 else None
    if near is not None and place.value is not msgspec.UNSET:
        yield (
            f"rename it to {place.names.path(near)}",
            (FieldEdit(place.path), FieldEdit(near, place.value)),
        )
    yield from _drop(place)


def _one_spelling(place: FindingPlace) -> Iterator[FixCandidate]:
    name = str(place.path[-1])
    kept = place.names.names.get(place.path, name)
    other = to_camel(name) if kept != to_camel(name) else name
    # No name of the model: the author's spelling is its path.
    yield f"keep {kept}", (FieldEdit((*place.path[:-1], other)),)


def _number(place: FindingPlace) -> Iterator[FixCandidate]:
    if not isinstance(place.value, str):
        return
    try:
        number = float(place.value[:40])
    except ValueError:
        return
    if abs(number) < 1e12:  # noqa: PLR2004 - more than any field allows; infinity has no integer
        yield _set(place.path, int(number) if number.is_integer() else number)


def _word(place: FindingPlace) -> Iterator[FixCandidate]:
    if isinstance(place.value, str):
        near = wording.find_word(place.value, allowed_words(place.path))
        if near is not None:
            yield _set(place.path, near)


def _purpose(place: FindingPlace) -> Iterator[FixCandidate]:
    if isinstance(place.value, str) and place.value not in PURPOSES:
        close = get_close_matches(place.value.lower(), PURPOSES, n=1)
        if close:
            yield _set(place.path, close[0])


def _assumed_purpose(place: FindingPlace) -> Iterator[FixCandidate]:
    if place.node.purpose is not None:
        yield _set(place.path, place.node.purpose)


def _seed_source(place: FindingPlace) -> Iterator[FixCandidate]:
    if place.node.strategy is not None:
        yield _set(("seed_source",), str(FITTING[place.node.strategy]))


def _shared(place: FindingPlace) -> Iterator[FixCandidate]:
    for strategy in (Strategy.PER_PLAYTHROUGH, Strategy.PER_PLAYER, Strategy.ONCE):
        edits = [FieldEdit(("strategy",), str(strategy))]
        if place.node.seed_source is SeedSource.TIMESTAMP:
            edits.append(FieldEdit(("seed_source",), str(FITTING[strategy])))
        yield f"use {str(strategy)!r}", tuple(edits)


def _template(place: FindingPlace) -> Iterator[FixCandidate]:
    named = place.node.template_id or ""
    for close in get_close_matches(named, place.facts.templates or (), n=1, cutoff=0.5):
        yield _set(place.path, close)
    yield from _drop(place)


def _swap(place: FindingPlace) -> Iterator[FixCandidate]:
    duration = place.node.duration
    if duration is not None:
        edits = (FieldEdit(("duration", "min"), duration.max), FieldEdit(("duration", "max"), duration.min))
        yield "swap minimum and maximum", edits


def _into_range(place: FindingPlace) -> Iterator[FixCandidate]:
    duration = place.node.duration
    if duration is None or duration.target is None:
        return
    if duration.min is not None and duration.target < duration.min:
        yield _set(("duration", "target"), duration.min)
    elif duration.max is not None:
        yield _set(("duration", "target"), duration.max)


def _positive(place: FindingPlace) -> Iterator[FixCandidate]:
    if isinstance(place.value, int | float):
        yield _set(place.path, 0 if place.path[-1] == "min" else abs(place.value))


def _within(least: float, most: float) -> Callable[[FindingPlace], Iterator[FixCandidate]]:
    """A fix that moves every second of the duration that matters into a range."""

    def propose(place: FindingPlace) -> Iterator[FixCandidate]:
        duration = place.node.duration
        # The shortest duration may be short.
        names = ("target", "max", "min") if least == 0 else ("target", "max")
        given = {name: getattr(duration, name, None) for name in names}
        edits = tuple(
            FieldEdit(("duration", name), least if value < least else most)
            for name, value in given.items()
            if value is not None and not least <= value <= most
        )
        if edits:
            yield f"use {wording.format_value(edits[0].value)} s", edits

    return propose


def _middle(place: FindingPlace) -> Iterator[FixCandidate]:
    duration = place.node.duration
    if duration is not None and duration.min is not None and duration.max is not None:
        middle = (duration.min + duration.max) / 2
        yield _set(("duration", "target"), int(middle) if middle.is_integer() else middle)


def _either_list(place: FindingPlace) -> Iterator[FixCandidate]:
    constraints = place.node.constraints
    if constraints is None or not isinstance(place.value, str):
        return
    yield _remove(place.path, f"do not require {wording.format_value(place.value)}")
    for index, avoided in enumerate(constraints.avoid_elements):
        title = f"do not avoid {wording.format_value(avoided)}"
        yield _remove(("constraints", "avoid_elements", index), title)


def _drop_rule(place: FindingPlace) -> Iterator[FixCandidate]:
    yield _remove(place.path, f"remove the rule {wording.format_value(place.value)}")


def _default_content(place: FindingPlace) -> Iterator[FixCandidate]:
    known = place.facts.default_contents
    if isinstance(place.value, str) and isinstance(known, frozenset | set | tuple | list):
        ids = sorted(cast("Iterable[str]", known))
        for close in get_close_matches(place.value, ids, n=1):
            yield _set(place.path, close)
    yield from _to_mode(place)


def _retries(place: FindingPlace) -> Iterator[FixCandidate]:
    fallback = place.node.fallback
    if place.path[-1] == "retries":
        yield _set(place.path, limits.MOST_RETRIES if fallback and fallback.retries else 1)
    elif fallback is not None and fallback.timeout_ms is not None:
        yield _set(place.path, limits.LONGEST_WAIT_MS // (fallback.retries or 1))


#: By the code of the finding.
PROPOSALS: Final[Mapping[str, Callable[[FindingPlace], Iterator[FixCandidate]]]] = {
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
