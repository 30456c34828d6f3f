"""Subschemas of a request's JSON Schema: each with its path, its keywords known and of the right shape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

import msgspec

from contracts.content import keywords, plain

#: Most subschemas in one schema.
MAX_NODES: Final = 4000
#: Deepest nesting of subschemas.
MAX_DEPTH: Final = 64
#: Regular expressions for the names of one object's fields.
MAX_NAME_PATTERNS: Final = 16


class Unusable(ValueError):  # noqa: N818 - names the schema's state
    """A request's schema that cannot be used; the text begins with the path of the keyword."""


class Subschema(msgspec.Struct, frozen=True, kw_only=True):
    """A subschema and its place in the schema."""

    path: str
    schema: Any
    depth: int

    @property
    def keywords(self) -> dict[str, Any]:
        """Its keywords; none for ``true`` and ``false``."""
        has_any = isinstance(self.schema, dict)
        return cast("dict[str, Any]", self.schema) if has_any else {}

    def at(self, keyword: str) -> str:
        """The path of one of its keywords."""
        shown = plain.name(keyword)
        return f"{self.path}.{shown}" if self.path else shown


def walk(root: dict[str, Any], paths: Mapping[int, str]) -> list[Subschema]:
    """Every subschema, the root first; breadth-first, so that a path in a message is the shortest.

    Args:
        root: a schema in the words of 2020-12.
        paths: what messages call its parts, by identity.

    Raises:
        Unusable: a keyword has a value of another shape; or there is too much.
    """
    places = [Subschema(path="", schema=root, depth=0)]
    for place in places:
        _check(place)
        for keyword, below in inner(place, keywords.ONE | keywords.LIST | keywords.MAP):
            if place.depth == MAX_DEPTH:
                raise Unusable(f"schema: is nested more than {MAX_DEPTH} levels deep; make it flatter")
            if len(places) == MAX_NODES:
                raise Unusable(f"schema: has more than {MAX_NODES} subschemas; make it smaller")
            path = paths.get(id(below)) or (f"{place.path}.{keyword}" if place.path else keyword)
            places.append(Subschema(path=path, schema=below, depth=place.depth + 1))
    return places


def inner(place: Subschema, among: frozenset[str]) -> Iterator[tuple[str, Any]]:
    """The subschemas directly below a place, each with the path from there, for some keywords alone."""
    for keyword, value in place.keywords.items():
        if keyword not in among:
            continue
        if keyword in keywords.ONE:
            yield keyword, value
        elif keyword in keywords.LIST:
            for index, item in enumerate(cast("list[Any]", value)):
                yield f"{keyword}.{index}", item
        else:
            for name, item in cast("dict[str, Any]", value).items():
                yield f"{keyword}.{plain.name(name)}", item


def _check(place: Subschema) -> None:
    """Refuse values that are not a keyword's; write 2.0 as 2 where it counts."""
    own = place.keywords
    for word, value in own.items():
        why = keywords.shape(word, value)
        if why is not None:
            raise Unusable(f"{place.at(word)}: {why}")
        own[word] = keywords.whole(word, value)
    expressions: dict[str, Any] = own.get("patternProperties", {})
    if len(expressions) > MAX_NAME_PATTERNS:
        raise Unusable(
            f"{place.at('patternProperties')}: has {len(expressions)} regular expressions, and at most "
            f"{MAX_NAME_PATTERNS} are accepted; join some with |"
        )
