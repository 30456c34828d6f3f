"""Compiled documents: what is rendered for each request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contracts.poml.expression import PomlExpression


@dataclass(frozen=True, slots=True)
class Printed:
    """An expression that a text prints."""

    expression: PomlExpression
    line: int


@dataclass(frozen=True, slots=True)
class Words:
    """A text with the expressions in it."""

    parts: tuple[str | Printed, ...]
    #: It is one expression and nothing else, spaces around it left out.
    alone: bool
    file: str


@dataclass(frozen=True, slots=True)
class Turns:
    """A ``for``: the name of the entry, and the list."""

    name: str
    items: PomlExpression


@dataclass(frozen=True, slots=True)
class Tag:
    """An element with its texts and elements; an include has those of its file."""

    name: str
    #: By camelCase names; attributes with expressions are in ``shown`` and ``data``.
    attributes: Mapping[str, str]
    shown: Mapping[str, Words]
    data: Mapping[str, PomlExpression]
    condition: PomlExpression | None
    turns: Turns | None
    content: tuple[Words | Tag | Let, ...]
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Let:
    """A name for a value, from here to the end of the document or include."""

    name: str
    value: PomlExpression
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class InlineUse:
    """An expression where a value cannot have a block of its own: in an attribute, or within a line."""

    expression: PomlExpression
    where: str
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class CompiledTree:
    """A document with all that it includes."""

    root: Tag
    #: Names that it reads and does not make itself.
    names: frozenset[str]
    inline: tuple[InlineUse, ...]
    #: JSON Schema of ``<output-schema>``.
    schema: Mapping[str, Any] | None
    #: Texts of what it includes, by name.
    included: Mapping[str, str]
