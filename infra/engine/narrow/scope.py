"""Entries of a narrowed schema, what is decided about a value, and what the builder offers to those who build parts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from infra.engine.narrow.parts import Part

if TYPE_CHECKING:
    from contracts.content.dialect import Rewritten
    from infra.engine.narrow.scalars import Compiles

Body = dict[str, Any]


class Entry:
    """The schema of one place, which several places may share."""

    def __init__(self) -> None:
        self.body: Body | None = None
        self.uses = 1
        #: Whether it is being built, and whether something inside it refers to it.
        self.open = True
        self.recursive = False


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """What is decided about the value at hand."""

    root: bool = False
    #: The schema around all parts, where there is one.
    top: Part | None = None
    #: Optional fields that are not written.
    without: frozenset[str] = frozenset()
    #: Schemas that a listed value must not follow.
    avoid: tuple[Any, ...] = ()
    #: Conditions that are dealt with.
    settled: frozenset[tuple[int, str]] = frozenset()
    #: Ways that alternatives so far have multiplied to.
    width: int = 1
    #: Whether a value may be of types that no keyword speaks of.
    any_type: bool = False


class Narrowing(Protocol):
    """The builder of one schema's entries, as those see it who build its lists, objects and conditions."""

    schema: Rewritten
    compiles: Compiles
    plain: bool

    def spend(self, work: int = 1) -> None:
        """Count work; too much of it ends the building."""
        ...

    def leave_out(self, part: Part, keyword: str) -> None:
        """Note a keyword that the grammar does not enforce."""
        ...

    def holds(self, schema: Any, value: Any) -> bool:
        """Whether a value follows a schema."""
        ...

    def made(self, schema: Part) -> Part:
        """The one object of equal schemas that were made here."""
        ...

    def build(self, schemas: Iterable[Any], *, root: bool = False) -> Entry | None:
        """The entry of a value that follows all schemas; ``None``: there is no such value."""
        ...
