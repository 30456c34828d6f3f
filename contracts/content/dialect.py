"""Rewrite of a JSON Schema of any draft as one of 2020-12: same meaning, local references, no annotations.

Every part of the product reads the rewritten schema.  What the rewrite leaves out asks nothing of a document, or is
in its warnings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import msgspec

from contracts.content import drafts, keywords, plain, words
from contracts.content.addresses import Addresses, outside
from contracts.content.subschemas import Unusable

_ANCHOR: Final = re.compile(r"[A-Za-z_][-A-Za-z0-9._:]*")
_DEFINITIONS: Final = ("$defs", "definitions")
#: Keywords and their values.
_Own = dict[str, Any]
#: Most warnings about one schema.
_MAX_WARNINGS: Final = 30


class Rewritten(msgspec.Struct, frozen=True, kw_only=True):
    """A schema in the words of 2020-12."""

    root: dict[str, Any]
    #: The subschema of every reference.
    targets: dict[str, Any]
    #: Path in the original of every subschema that is an object, by its identity.
    paths: dict[int, str]
    #: What has no effect, or another one than its author may expect.
    warnings: tuple[str, ...]
    #: Whether 2.0 is no integer, as draft-04 has it.
    strict_integers: bool


class _Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a subschema is, and by which rules it is read."""

    path: str
    pointer: tuple[str, ...]
    base: str
    #: Year of the draft; ``None``: not declared.
    draft: int | None
    #: Whether it is inside ``not``, where a format that is not checked by everyone would refuse what others take.
    negated: bool = False

    def at(self, keyword: str) -> str:
        shown = plain.name(keyword)
        return f"{self.path}.{shown}" if self.path else shown

    def below(self, path: str, *tokens: str) -> _Place:
        return msgspec.structs.replace(self, path=self.at(path), pointer=(*self.pointer, *tokens))


class _Reference(msgspec.Struct, frozen=True, kw_only=True):
    """A reference whose target is not known yet."""

    holder: dict[str, Any]
    keyword: str
    said: str
    place: _Place


def rewrite(schema: dict[str, Any], *, null: bool = True) -> Rewritten:
    """Write a schema in the words of 2020-12.

    Args:
        schema: decoded JSON; no two of its parts are one object.
        null: whether OpenAPI's ``nullable`` adds ``null`` to the types.

    Raises:
        Unusable: an unknown dialect, or a reference that leads nowhere, with its path.
    """
    return _Rewriter(schema, null=null).whole()


class _Rewriter:
    def __init__(self, schema: dict[str, Any], *, null: bool) -> None:
        self.source = schema
        self.null = null
        self.addresses = Addresses(schema)
        self.pending: list[_Reference] = []
        self.paths: dict[int, str] = {}
        #: Of the source's objects: the pointer to the rewritten one, and that one.
        self.done: dict[int, tuple[tuple[str, ...], dict[str, Any]]] = {}
        self.warned: dict[str, None] = {}
        #: Words that are no keywords, with the object that holds each; a reference may lead through them.
        self.unknown: list[tuple[dict[str, Any], str, str]] = []

    def whole(self) -> Rewritten:
        place = _Place(path="", pointer=(), base="", draft=None)
        draft = self.draft(self.source, place)
        root: dict[str, Any] = self.node(self.source, place)
        targets = self.resolve(root)
        return Rewritten(
            root=root,
            targets=targets,
            paths=self.paths,
            warnings=self.warnings(),
            strict_integers=draft == drafts.STRICT_INTEGERS,
        )

    def warn(self, line: str) -> None:
        self.warned[line] = None

    def warnings(self) -> tuple[str, ...]:
        for holder, word, path in self.unknown:
            if not self.addresses.passed(holder, word) and (line := words.remark(word, path)):
                self.warn(line)
        found = list(self.warned)
        more = len(found) - _MAX_WARNINGS
        return (
            *found[:_MAX_WARNINGS],
            *([f"schema: has {more} more remarks of this kind"] if more > 0 else []),
        )

    # -- one subschema

    def draft(self, own: Mapping[str, Any], place: _Place) -> int | None:
        if "$schema" not in own:
            return place.draft
        found = drafts.find_draft(own["$schema"])
        if isinstance(found, str):
            raise Unusable(f"{place.at('$schema')}: {found}")
        if found is None:
            self.warn(
                f"{place.at('$schema')}: is a dialect that is not known; it is read as {drafts.DIALECT}"
            )
        return found

    def node(self, own: Any, place: _Place) -> Any:
        """A subschema anew; what is none comes back as it is, for the check of shapes."""
        if not isinstance(own, dict):
            return own
        own = cast("dict[str, Any]", own)
        place = msgspec.structs.replace(place, draft=self.draft(own, place))
        alone = (place.draft or 2020) <= drafts.REF_ALONE and isinstance(own.get("$ref"), str)
        made: dict[str, Any] = {}
        self.paths[id(made)] = place.path
        self.done[id(own)] = (place.pointer, made)
        if not alone or not place.path:
            place = self.addressed(own, place)
        for keyword, value in own.items():
            if alone and keyword != "$ref" and keyword not in _DEFINITIONS:
                if keyword in keywords.ASKING:
                    self.warn(
                        f"{place.at(keyword)}: has no effect beside $ref in {drafts.NAMES[place.draft or 2020]}"
                    )
                continue
            self.keyword(keyword, value, own, made, place)
        return made

    def addressed(self, own: dict[str, Any], place: _Place) -> _Place:
        """Take down a subschema's addresses and anchors."""
        old = (place.draft or 2020) <= drafts.REF_ALONE
        if not place.path and not isinstance(own.get("$id", ""), str):
            raise Unusable(f"$id: {keywords.show(own['$id'])} is no address; leave it out")
        root = not place.path
        for keyword in ("id", "$id"):
            said = own.get(keyword)
            counts = keyword == ("id" if place.draft == drafts.STRICT_INTEGERS else "$id")
            if isinstance(said, str) and (counts or root):
                base = self.addresses.add(said, own, place.base, anchors=old)
                place = msgspec.structs.replace(place, base=base) if counts else place
        if root:
            self.addresses.resources.setdefault("", own)
        for keyword in ("$anchor", "$dynamicAnchor"):
            said = own.get(keyword)
            if said is None:
                continue
            if not isinstance(said, str) or not _ANCHOR.fullmatch(said):
                raise Unusable(
                    f"{place.at(keyword)}: {keywords.show(said)} is no name; write letters, digits, - and _, a letter first"
                )
            if not self.addresses.anchor(place.base, said, own, dynamic=keyword == "$dynamicAnchor"):
                raise Unusable(f"{place.at(keyword)}: {said!r:.80} is there twice; rename one of them")
        if own.get("$recursiveAnchor") is True:
            self.addresses.anchor(place.base, "", own, dynamic=True)
        return place

    def keyword(
        self, keyword: str, value: Any, own: dict[str, Any], made: dict[str, Any], place: _Place
    ) -> None:
        since = drafts.SINCE.get(keyword)
        if since is not None and place.draft is not None and since > place.draft:
            self.warn(
                f"{place.at(keyword)}: is no keyword of {drafts.NAMES[place.draft]}; it is checked all the same"
            )
        change = _CHANGES.get(keyword)
        if change is not None:
            change(self, keyword, value, own, made, place)
        elif keyword in keywords.MAP and isinstance(value, dict):
            made[keyword] = self.map(keyword, cast("dict[str, Any]", value), made, place)
        elif keyword in keywords.LIST and isinstance(value, list):
            made.setdefault(keyword, []).extend(
                self.node(each, place.below(f"{keyword}.{index}", keyword, str(index)))
                for index, each in enumerate(cast("list[Any]", value))
            )
        elif keyword in keywords.ANNOTATIONS:
            pass
        elif keyword in keywords.ONE:
            below = place.below(keyword, keyword)
            made[keyword] = self.node(
                value, msgspec.structs.replace(below, negated=place.negated or keyword == "not")
            )
        elif keyword in keywords.ASKING or keyword in _DEFINITIONS:
            made[keyword] = value
        else:
            self.unknown.append((own, keyword, place.at(keyword)))

    # -- keywords that change

    def older(self, keyword: str, today: str, place: _Place, *, last: int) -> None:
        """Say so where a keyword is older than the schema's draft."""
        if place.draft is None or place.draft > last:
            self.warn(
                f"{place.at(keyword)}: is of an older draft; it is read as such, today's word is {today}"
            )

    def items(self, _keyword: str, value: Any, own: _Own, made: _Own, place: _Place) -> None:
        if not isinstance(value, list):
            made["items"] = self.node(value, place.below("items", "items"))
            return
        self.older("items", "prefixItems", place, last=2019)
        listed = cast("list[Any]", value)
        if listed:
            made["prefixItems"] = [
                self.node(each, place.below(f"items.{index}", "prefixItems", str(index)))
                for index, each in enumerate(listed)
            ]
        if "additionalItems" in own:
            made["items"] = self.node(own["additionalItems"], place.below("additionalItems", "items"))

    def additional_items(self, keyword: str, _value: Any, own: _Own, _made: _Own, place: _Place) -> None:
        if not isinstance(own.get("items"), list):
            self.warn(f"{place.at(keyword)}: has no effect without a list of schemas in items")

    def dependencies(self, keyword: str, value: Any, _own: _Own, made: _Own, place: _Place) -> None:
        if not isinstance(value, dict):
            raise Unusable(
                f"{place.at(keyword)}: {keywords.show(value)} is no object; write lists of names by name"
            )
        self.older(keyword, "dependentRequired or dependentSchemas", place, last=7)
        for name, each in cast("dict[str, Any]", value).items():
            if isinstance(each, list | str):
                names = [each] if isinstance(each, str) else cast("list[Any]", each)
                made.setdefault("dependentRequired", {})[name] = names
            else:
                below = place.below(f"{keyword}.{plain.name(name)}", "dependentSchemas", name)
                made.setdefault("dependentSchemas", {})[name] = self.node(each, below)

    def bound(self, keyword: str, value: Any, own: _Own, made: _Own, _place: _Place) -> None:
        if own.get(f"exclusive{keyword.capitalize()}") is not True:
            made[keyword] = value

    def exclusive(self, keyword: str, value: Any, own: _Own, made: _Own, place: _Place) -> None:
        if not isinstance(value, bool):
            made[keyword] = value
            return
        self.older(keyword, f"{keyword} with the number itself", place, last=4)
        bound = keyword.removeprefix("exclusive").lower()
        if value and bound in own:
            made[keyword] = own[bound]

    def step(self, keyword: str, value: Any, _own: _Own, made: _Own, place: _Place) -> None:
        self.older(keyword, "multipleOf", place, last=3)
        made.setdefault("multipleOf", value)

    def format(self, keyword: str, value: Any, _own: _Own, made: _Own, place: _Place) -> None:
        if place.negated:
            self.warn(f"{place.at(keyword)}: is an annotation inside of not")
        elif not isinstance(value, str) or words.is_format(value):
            made[keyword] = value
        elif (close := words.find_close_format(value)) is not None:
            self.warn(f"{place.at(keyword)}: {value!r:.60} is not checked; did you mean {close!r}?")

    def nullable(self, keyword: str, value: Any, own: _Own, _made: _Own, place: _Place) -> None:
        if value is True and "type" in own:
            self.warn(f'{place.at(keyword)}: is OpenAPI\'s; it is read as "null" beside the type')
        elif value is True:
            self.warn(
                f'{place.at(keyword)}: has no effect without a type; write anyOf with {{"type": "null"}}'
            )

    def type(self, keyword: str, value: Any, own: _Own, made: _Own, _place: _Place) -> None:
        made[keyword] = value
        if own.get("nullable") is True and self.null:
            named = cast("list[Any]", value) if isinstance(value, list) else [value]
            made[keyword] = named if "null" in named else [*named, "null"]

    def required(self, keyword: str, value: Any, _own: _Own, made: _Own, _place: _Place) -> None:
        if isinstance(value, bool):
            return  # The object around it reads this.
        if isinstance(value, list) and all(isinstance(each, str) for each in cast("list[Any]", value)):
            value = list(dict.fromkeys([*made.get(keyword, []), *cast("list[str]", value)]))
        made[keyword] = value

    def required_flags(self, named: _Own, made: _Own, place: _Place) -> None:
        """Read draft-03's ``required`` of single fields."""
        for name, each in named.items():
            said = cast("_Own", each).get("required") if isinstance(each, dict) else None
            if isinstance(said, bool):
                at = place.at(f"properties.{plain.name(name)}.required")
                self.warn(f'{at}: is of draft-03; it is read as a name in "required" of the object around it')
                if said and name not in made.setdefault("required", []):
                    made["required"].append(name)

    def map(self, keyword: str, named: dict[str, Any], made: dict[str, Any], place: _Place) -> dict[str, Any]:
        if keyword in _DEFINITIONS:
            named = {name: each for name, each in named.items() if isinstance(each, dict | bool)}
        if keyword == "properties":
            self.required_flags(named, made, place)
        return {
            **made.get(keyword, {}),
            **{
                name: self.node(each, place.below(f"{keyword}.{plain.name(name)}", keyword, name))
                for name, each in named.items()
            },
        }

    def reference(self, keyword: str, value: Any, _own: _Own, made: _Own, place: _Place) -> None:
        if not isinstance(value, str):
            raise Unusable(f"{place.at(keyword)}: {keywords.show(value)} is no text; write one in quotes")
        holder = made
        if "$ref" in made:
            extra: _Own = {}
            self.paths[id(extra)] = place.path
            made.setdefault("allOf", []).append(extra)
            holder = extra
        holder["$ref"] = value
        self.pending.append(_Reference(holder=holder, keyword=keyword, said=value, place=place))

    # -- references

    def resolve(self, root: dict[str, Any]) -> dict[str, Any]:
        """Make every reference local, and move what is no part of the schema's tree to ``$defs``."""
        targets: dict[str, Any] = {}
        # A target that moves brings references of its own.
        for each in self.pending:
            shown = f"{each.place.at(each.keyword)}: {each.said!r:.200}"
            found = self.addresses.find(each.said, each.place.base)
            if found is None:
                raise Unusable(f"{shown} {outside(each.said, self.addresses, each.place.base)}")
            if each.keyword != "$ref" and self.addresses.ambiguous(found.anchor):
                raise Unusable(f"{shown} may mean several subschemas; write $ref to one of them")
            target: Any = found.value
            if type(target) not in (dict, bool):
                raise Unusable(f"{shown} does not point to a subschema; name one of its $defs")
            if isinstance(target, bool):
                key = f"#/$defs/{'anything' if target else 'nothing'}"
                root.setdefault("$defs", {}).setdefault(key.rpartition("/")[2], target)
                each.holder["$ref"] = key
                targets[key] = target
                continue
            known = self.done.get(id(target))
            if known is None:
                place = _Place(
                    path=found.path,
                    pointer=("$defs", self._free(root, found.path)),
                    base=found.base,
                    draft=found.draft or each.place.draft,
                )
                made = self.node(target, place)
                root.setdefault("$defs", {})[place.pointer[1]] = made
                known = (place.pointer, made)
            key = "#" + "".join(
                "/" + token.replace("~", "~0").replace("/", "~1").replace("%", "%25") for token in known[0]
            )
            each.holder["$ref"] = key
            targets[key] = known[1]
        return targets

    @staticmethod
    def _free(root: dict[str, Any], path: str) -> str:
        """A name for ``$defs`` that is not taken."""
        defs, name, count = root.get("$defs", {}), path or "schema", 1
        while name in defs:
            name, count = f"{path} {count}", count + 1
        return name


#: What reads the keywords whose meaning or place differs between drafts.
_CHANGES: Final[Mapping[str, Callable[[_Rewriter, str, Any, _Own, _Own, _Place], None]]] = {
    **dict.fromkeys(("$ref", "$dynamicRef", "$recursiveRef"), _Rewriter.reference),
    "additionalItems": _Rewriter.additional_items,
    "dependencies": _Rewriter.dependencies,
    "divisibleBy": _Rewriter.step,
    **dict.fromkeys(("exclusiveMaximum", "exclusiveMinimum"), _Rewriter.exclusive),
    "format": _Rewriter.format,
    "items": _Rewriter.items,
    **dict.fromkeys(("maximum", "minimum"), _Rewriter.bound),
    "nullable": _Rewriter.nullable,
    "required": _Rewriter.required,
    "type": _Rewriter.type,
}
