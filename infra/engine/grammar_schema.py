"""Narrowed JSON Schemas for constrained decoding: everything is bounded, and only named fields are written.

Nothing here needs an engine or a grammar library.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any, Final, cast

import msgspec

from contracts.content import dialect
from contracts.content.subschemas import Unusable, walk
from infra.engine.narrow.build import Narrower, TooLargeError
from infra.engine.narrow.render import render
from infra.engine.task import Unsupported

#: Said of a keyword that the grammar leaves out.
AFTERWARDS: Final = "is checked after writing, not while writing"
#: Most keywords that have a line of their own.
_MAX_LINES: Final = 30
#: Tokens of one item of a list, for a document that must end soon, and the fewest items; lists inside lists are that
#: much shorter.
_TOKENS_PER_ITEM: Final = 60
_FEWEST: Final = 2
#: Characters of text for each token, and the shortest and longest bound of a text.
_CHARACTERS: Final = 3
_SHORTEST, _LONGEST = 60, 200
#: How deep texts are counted.
_DEEPEST: Final = 12
_NESTED: Final = 3
#: Characters of a text that follows an expression.
_IDENTIFIER: Final = 32
#: A text with at most twelve digits: each is a token, and small models count without end.
_FEW_DIGITS: Final = r"^[^0-9]*([0-9][^0-9]*){0,12}$"
#: Keywords whose values are data.
_LITERAL: Final = frozenset({"const", "enum", "required", "pattern"})


class _Bounds(msgspec.Struct, frozen=True):
    """Of a short document: most items of a list, most characters of a text, and whether texts have few digits."""

    items: int
    characters: int
    few_digits: bool


class Narrowed(msgspec.Struct, frozen=True, kw_only=True):
    """A schema that a grammar enforces as a whole: what follows it follows the original, but for what is left out."""

    #: The original's documents, or fewer; without a keyword that a grammar library may not know.
    schema: dict[str, Any]
    #: Paths of the original's keywords that the grammar does not enforce.
    left_out: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the author of the schema should know, a line for each keyword that is left out."""
        lines = tuple(f"{path}: {AFTERWARDS}" for path in self.left_out[:_MAX_LINES])
        more = self.left_out[_MAX_LINES:]
        if not more:
            return lines
        names = ", ".join(dict.fromkeys(path.rpartition(".")[2] for path in more))
        return (*lines, f"schema: has {len(more)} more keywords that are checked after writing: {names}")


def narrow(
    schema: Mapping[str, Any],
    *,
    compiles: Callable[[dict[str, Any]], bool] | None = None,
    plain: bool = False,
) -> Narrowed:
    """Narrow a schema to what a grammar enforces.

    The result has ``type``, ``properties``, ``required``, ``additionalProperties``, ``patternProperties``,
    ``minProperties``, ``maxProperties``, ``prefixItems``, ``items``, bounds of texts, lists and numbers, ``pattern`` (in the
    syntax of Rust's ``regex``), ``multipleOf``, ``enum``, ``anyOf``, ``$ref`` to ``$defs``, and ``allOf`` only for a text
    with several patterns.  Its root is an object or a list that is not empty.

    Args:
        schema: a JSON Schema of any draft.
        compiles: whether a grammar library supports a small schema, asked about expressions; ``None``: one expression
            for each text and for the names of each object, and no other.
        plain: leave out expressions and conditions, where the whole is too large.

    Raises:
        Unsupported: nothing follows it, or it cannot be read.
    """
    try:
        own = msgspec.json.decode(msgspec.json.encode(schema), type=dict[str, Any])
        # OpenAPI's null is left out: no other reader of the schema takes it.
        rewritten = dialect.rewrite(own, null=False)
        walk(rewritten.root, rewritten.paths)
        narrower = Narrower(rewritten, compiles, plain=plain)
        found = narrower.whole()
    except Unusable as error:
        raise Unsupported(str(error)) from None
    except (TooLargeError, RecursionError):
        if not plain:
            return narrow(schema, compiles=compiles, plain=True)
        raise Unsupported("schema: has too many combinations for a grammar; make it smaller") from None
    if found is None:
        raise Unsupported("schema: no object with anything in it follows it; name its properties")
    return Narrowed(schema=render(found), left_out=narrower.left_out)


def fit(schema: Mapping[str, Any], compiles: Callable[[dict[str, Any]], bool]) -> Narrowed:
    """Narrow a schema so far that a grammar library makes a grammar of the whole.

    Args:
        schema: a JSON Schema of any draft.
        compiles: whether the library does.

    Raises:
        Unsupported: nothing follows it, it cannot be read, or it is too large in every form.
    """
    for plain in (False, True):
        narrowed = narrow(schema, compiles=compiles, plain=plain)
        if compiles(narrowed.schema):
            return narrowed
    raise Unsupported("schema: is too large for a grammar; make it smaller")


def bounded(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema as grammars enforce it: as intake told its author where llguidance is installed, or plainer.

    Raises:
        Unsupported: nothing follows it, it cannot be read, or it is too large.
    """
    if find_spec("llguidance") is None:
        return narrow(schema).schema
    from infra.engine.llguidance_json import compiles  # noqa: PLC0415 - part of the extra

    return fit(schema, compiles).schema


def shorten(schema: Mapping[str, Any], tokens: int) -> dict[str, Any]:
    """A schema whose lists and texts are so short that a document usually ends within so many tokens; for servers.

    Args:
        schema: a JSON Schema of any draft.
        tokens: the longest document.
    """
    own = dict(schema)
    return _within(own, _bounds(own, tokens, few_digits=False))


def within(narrowed: dict[str, Any], tokens: int) -> dict[str, Any]:
    """A narrowed schema whose lists and texts are so short that a document ends within a small limit.

    A small model repeats a list's items until the list is full, and counts: without this its documents are cut off.
    Where no grammar can be made of it, such as of an expression that only long texts match, the schema stays as it is.

    Args:
        narrowed: what :func:`narrow` made.
        tokens: the longest answer.
    """
    shorter = _within(narrowed, _bounds(narrowed, tokens, few_digits=True))
    from infra.engine.llguidance_json import compiles  # noqa: PLC0415 - part of the extra

    return shorter if compiles(shorter) else narrowed


def _bounds(schema: dict[str, Any], tokens: int, *, few_digits: bool) -> _Bounds:
    fields = cast("dict[str, Any]", schema.get("properties", {}))
    lists = sum(
        isinstance(each, dict) and ("maxItems" in each or "items" in each) for each in fields.values()
    )
    items = max(_FEWEST, tokens // (_TOKENS_PER_ITEM * max(1, lists)))
    # A token has about four characters, and names of fields need some.
    each = tokens * _CHARACTERS // max(1, _texts(schema, schema, items, _DEEPEST))
    return _Bounds(items=items, characters=min(_LONGEST, max(_SHORTEST, each)), few_digits=few_digits)


def _texts(root: dict[str, Any], schema: Any, items: int, depth: int) -> int:
    """Texts of a document whose lists are full, optional fields included."""
    if not isinstance(schema, dict) or not depth:
        return 0
    own = cast("dict[str, Any]", schema)
    if isinstance(own.get("$ref"), str):
        target = root.get("$defs", {}).get(own["$ref"].rpartition("/")[2])
        return _texts(root, target, items, depth - 1)
    branches = cast("list[Any]", own.get("anyOf", ()))
    if branches:
        return max(_texts(root, each, items, depth - 1) for each in branches)
    if own.get("type") == "string":
        return 0 if {"enum", "const", "pattern"} & set(own) else 1
    fields = cast("dict[str, Any]", own.get("properties", {}))
    inner = sum(_texts(root, each, items, depth - 1) for each in fields.values())
    if "items" not in own:
        return inner
    number = min(items, own.get("maxItems", items))
    return inner + number * _texts(root, own["items"], max(2, items // _NESTED), depth - 1)


def _within(schema: Any, bounds: _Bounds) -> Any:
    if isinstance(schema, list):
        return [_within(each, bounds) for each in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    own = cast("dict[str, Any]", schema)
    inner = bounds
    if "items" in own:
        inner = msgspec.structs.replace(bounds, items=max(_FEWEST, bounds.items // _NESTED))
    made = {name: value if name in _LITERAL else _within(value, inner) for name, value in own.items()}
    if own.get("type") == "array" or isinstance(own.get("maxItems"), int):
        least = max(own.get("minItems", 0), len(own.get("prefixItems", ())))
        made["maxItems"] = max(least, min(own.get("maxItems", bounds.items), bounds.items))
    if own.get("type") == "string" and not {"enum", "const"} & set(own):
        made |= _shorter_text(own, bounds)
    return made


def _shorter_text(own: dict[str, Any], bounds: _Bounds) -> dict[str, Any]:
    """The bounds of a text."""
    if not bounds.few_digits and {"pattern", "format"} & set(own):
        return {}
    longest = _IDENTIFIER if "pattern" in own else bounds.characters
    made: dict[str, Any] = {
        "maxLength": max(own.get("minLength", 0), min(own.get("maxLength", longest), longest))
    }
    if not bounds.few_digits:
        return made
    if "pattern" in own:
        return {**made, "allOf": [*own.get("allOf", ()), {"pattern": _FEW_DIGITS}]}
    return {**made, "pattern": _FEW_DIGITS}
