"""Narrowing of one schema: alternatives are multiplied out, so that every place gets one flat schema."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, cast

import msgspec

from contracts.content import conformance
from contracts.content.conformance import Budget, TooMuchWork
from contracts.content.custom import Usable
from contracts.content.dialect import Rewritten
from infra.engine.narrow import arrays, conditions, exclusive, finite, objects, scalars
from infra.engine.narrow.parts import BranchPoint, Conjunction, Part, resolve, types_of
from infra.engine.narrow.scope import Body, Entry, Scope

#: Most ways that combined alternatives of one value may have, and most fields and alternatives in all.
_MAX_WIDTH: Final = 128
_MAX_WORK: Final = 30_000
#: Steps for checks of listed values.
_MAX_STEPS: Final = 100_000
#: The schema of a value that nothing is said about.
ANYTHING: Final[dict[str, Any]] = {
    "type": ["string", "number", "boolean"],
    "maxLength": scalars.MAX_LENGTH,
    "minimum": -(10**9),
    "maximum": 10**9,
}


class TooLargeError(Exception):
    """A narrowed schema that grows without end."""


class Narrower:
    """Builds the entries of one schema.

    Args:
        schema: the schema in the words of 2020-12.
        compiles: whether a grammar can be made of a schema; ``None``: of one expression at a time.
        plain: leaves out conditions, expressions and combined alternatives, for a schema that is too large.
    """

    def __init__(self, schema: Rewritten, compiles: scalars.Compiles, *, plain: bool) -> None:
        self.schema = schema
        self.compiles = compiles
        self.plain = plain
        self._usable = Usable(
            encoded=b"", root=schema.root, targets=schema.targets, strict_integers=schema.strict_integers
        )
        self._entries: dict[Any, Entry] = {}
        #: Places that nothing follows, of all rounds.
        self._impossible: set[Any] = set()
        #: Places whose values may be of every type, since those of the type that their keywords speak of never end.
        self._any_type: set[Any] = set()
        self._left: dict[str, None] = {}
        self._work = 0
        self._budget = Budget(_MAX_STEPS)
        self._made: dict[str, Part] = {}

    @property
    def left_out(self) -> tuple[str, ...]:
        """Paths of the keywords that are left out."""
        return tuple(self._left)

    def whole(self) -> Entry | None:
        """The entry of the document; ``None``: no document with anything in it follows the schema.

        Raises:
            TooLargeError: it grows without end.
        """
        while True:
            known = len(self._impossible) + len(self._any_type)
            self._entries.clear()
            self._left.clear()
            self._work = 0
            found = self.build([self.schema.root], root=True)
            if found is not None:
                self._exclude_endless()
            if len(self._impossible) + len(self._any_type) == known:
                return found

    def _exclude_endless(self) -> None:
        """Widen the places without a finite value, or exclude those that are wide already."""
        endless = finite.endless(self._entries)
        narrow = {key for key in endless if key not in self._any_type and not key[1]}
        if narrow:
            self._any_type |= narrow
        else:
            self._impossible |= endless.keys()

    def spend(self, work: int = 1) -> None:
        """Count work.

        Raises:
            TooLargeError: there is too much.
        """
        self._work += work
        if self._work > _MAX_WORK:
            raise TooLargeError

    def leave_out(self, part: Part, keyword: str) -> None:
        """Take down a keyword that the grammar does not enforce."""
        path = self.schema.paths.get(id(part))
        if path is not None:
            self._left[f"{path}.{keyword}" if path else keyword] = None

    def holds(self, schema: Any, value: Any) -> bool:
        """Whether a value follows a subschema.

        Raises:
            TooLargeError: the check goes on and on.
        """
        try:
            return conformance.holds(self._usable, schema, value, self._budget)
        except TooMuchWork:
            raise TooLargeError from None

    def made(self, schema: Part) -> Part:
        """A schema that is not of the request; equal ones are one object."""
        return self._made.setdefault(repr(schema), schema)

    def build(self, schemas: Iterable[Any], *, root: bool = False) -> Entry | None:
        """The entry of values that follow all schemas; ``None``: there are none.

        Raises:
            TooLargeError: it grows without end.
        """
        asked = [each for each in schemas if each is not True]
        key = (frozenset(0 if each is False else id(each) for each in asked), root)
        if key in self._impossible:
            return None
        entry = self._entries.get(key)
        if entry is not None:
            entry.uses += 1
            entry.recursive = entry.recursive or entry.open
            return None if entry.body is None and not entry.open else entry
        self.spend()
        entry = self._entries[key] = Entry()
        found = resolve(asked, self.schema.targets)
        if found is not None:
            top = self._top(asked[0]) if len(asked) == 1 else None
            entry.body = self.expand(found, Scope(root=root, top=top, any_type=key in self._any_type))
        entry.open = False
        if entry.body is None:
            self._impossible.add(key)
            return None
        return entry

    def expand(self, found: Conjunction, scope: Scope) -> Body | None:
        """One schema, or an ``anyOf`` of them, for values that follow all parts and one of each alternatives."""
        self.spend()
        listed = next((part for part in found.parts if "const" in part or "enum" in part), None)
        if listed is not None:
            return self._listed(listed, found, scope)
        if found.choices:
            return self._choose(found.choices[0], found, scope)
        for part, keyword in conditions.find(found.parts, scope.settled):
            scope = msgspec.structs.replace(scope, settled=scope.settled | {(id(part), keyword)})
            ways = None if self.plain else conditions.ways(self, part, keyword, found.parts, scope)
            if ways is None or not self._fits(len(ways), scope):
                self.leave_out(part, keyword)
                continue
            return self._any_of(
                self._way(
                    found,
                    way.schemas,
                    msgspec.structs.replace(
                        scope, without=scope.without | way.without, width=scope.width * len(ways)
                    ),
                )
                for way in ways
            )
        return self._flat(found.parts, scope)

    def _top(self, schema: Any) -> Any:
        """The schema that a plain reference means."""
        seen: set[int] = set()
        while isinstance(schema, dict) and "$ref" in schema and id(cast("Part", schema)) not in seen:
            seen.add(id(cast("Part", schema)))
            if not cast("Part", schema).keys() <= {"$ref", "$defs", "definitions"}:
                break
            schema = self.schema.targets[schema["$ref"]]
        return cast("Any", schema)

    def _fits(self, count: int, scope: Scope) -> bool:
        return count <= 1 or scope.width == 1 or scope.width * count <= _MAX_WIDTH

    def _way(self, found: Conjunction, schemas: Iterable[Any], scope: Scope) -> Body | None:
        more = resolve(schemas, self.schema.targets)
        return None if more is None else self.expand(found.joined(more), scope)

    @staticmethod
    def _any_of(bodies: Iterable[Body | None]) -> Body | None:
        made: list[Body] = []
        for body in bodies:
            if body is None:
                continue
            made += [each for each in body.get("anyOf", [body]) if each not in made]
        return None if not made else made[0] if len(made) == 1 else {"anyOf": made}

    def _listed(self, listed: Part, found: Conjunction, scope: Scope) -> Body | None:
        values: list[Any] = [listed["const"]] if "const" in listed else listed["enum"]
        asks: list[Any] = [
            part for part in found.parts if part is not listed or not part.keys() <= {"const", "enum"}
        ]
        asks += [{each.keyword: list(each.branches)} for each in found.choices]
        kept: list[Any] = []
        for value in values:
            empty = not isinstance(value, dict | list) or not value
            named = isinstance(value, dict) and scope.without & cast("dict[str, Any]", value).keys()
            if (scope.root and empty) or named:
                continue
            if all(self.holds(each, value) for each in asks) and not any(
                self.holds(each, value) for each in scope.avoid
            ):
                kept.append(value)
        return {"enum": kept} if kept else None

    def _choose(self, choice: BranchPoint, found: Conjunction, scope: Scope) -> Body | None:
        rest = msgspec.structs.replace(found, choices=found.choices[1:])
        branches = [(each, resolve([each], self.schema.targets)) for each in choice.branches]
        possible = [(each, inner) for each, inner in branches if inner is not None]
        if not self._fits(len(possible), scope) or (self.plain and scope.width > 1):
            self.leave_out(choice.holder, choice.keyword)
            return self.expand(rest, scope)
        bodies: list[Body | None] = []
        for branch, inner in possible:
            own = msgspec.structs.replace(scope, width=scope.width * len(possible))
            if not rest.parts and not rest.choices:
                own = msgspec.structs.replace(own, top=self._top(branch))
            if choice.keyword == "oneOf":
                others = [(each, other) for each, other in possible if each is not branch]
                dropped = exclusive.separate(
                    self, rest.joined(inner).parts, [other.parts for _, other in others]
                )
                if dropped is None:
                    self.leave_out(choice.holder, choice.keyword)
                own = msgspec.structs.replace(
                    own,
                    without=own.without | (dropped or frozenset()),
                    avoid=(*own.avoid, *(each for each, _ in others)),
                )
            bodies.append(self.expand(rest.joined(inner), own))
        return self._any_of(bodies)

    def _flat(self, parts: tuple[Part, ...], scope: Scope) -> Body | None:
        """The schema of values that follow all parts, which have no alternatives."""
        kinds = types_of(parts, implied=not scope.any_type)
        explicit = any("type" in part for part in parts)
        kinds = [each for each in kinds if each not in conditions.excluded_types(parts)]
        if scope.root:
            kinds = [each for each in kinds if each in ("object", "array")]
            kinds = kinds if explicit or "object" not in kinds else ["object"]
        elif not parts:
            return dict(ANYTHING)
        made: Body = {}
        written: list[str] = []
        for kind in kinds:
            found = self._of_type(kind, parts, scope)
            if found is None:
                continue
            if "enum" in found:
                # The multiples of a large step.
                return found
            written.append(kind)
            if "allOf" in found and "allOf" in made:
                found["allOf"] = [*made["allOf"], *found["allOf"]]
            made |= found
        if not written:
            return None
        return {"type": written[0] if len(written) == 1 else written, **made}

    def _of_type(self, kind: str, parts: tuple[Part, ...], scope: Scope) -> Body | None:
        match kind:
            case "object":
                return objects.narrow(self, parts, scope)
            case "array":
                return arrays.narrow(self, parts, scope)
            case "string":
                return scalars.text(parts, self.leave_out, (lambda _: False) if self.plain else self.compiles)
            case "integer" | "number":
                return scalars.number(parts, self.leave_out, self.compiles, whole=kind == "integer")
            case _:
                return {}
