"""Narrowed JSON Schemas for constrained decoding: everything is bounded, and only named fields are written.

Nothing here needs an engine or a grammar library.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, cast

import msgspec

from contracts.content import dialect, formats, keywords, pattern

#: Longest text, most items and largest number if a schema sets no bound, so that every answer ends.
_MAX_LENGTH: Final = 600
_MAX_ITEMS: Final = 64
_MAX_NUMBER: Final = 1_000_000_000
#: The same if a schema sets a larger bound: no answer needs more.
_LONGEST: Final = keywords.MAX_LENGTH
_MOST_ITEMS: Final = keywords.MAX_ITEMS
_LARGEST: Final = 10**15
#: Keywords about fields that ``properties`` does not name.
_OPEN: Final = frozenset({"additionalProperties", "patternProperties", "anyOf", "oneOf", "$ref"})
#: The schema of a field that is required and nowhere described.
_ANYTHING: Final = {"type": ["string", "number", "boolean"]}


def bounded(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Narrow the schema: a bound on every text, list and number, only the fields that it names.

    Regular expressions are written for the grammar, and formats are such expressions: both mean what they mean to
    :mod:`contracts.content.conformance`, or less.  Fields are left open where ``allOf`` may add some of its own.
    """
    own = msgspec.json.decode(msgspec.json.encode(schema), type=dict[str, Any])
    # OpenAPI's null is left out: no other reader of the schema takes it.
    root = dialect.rewrite(own, null=False).root
    return _bounded(root, close=next(find_keyword(root, "allOf"), None) is None)


def _bounded(schema: Any, *, close: bool) -> Any:
    if isinstance(schema, list):
        return [_bounded(item, close=close) for item in cast("list[Any]", schema)]
    if not isinstance(schema, Mapping):
        return schema
    own = cast("Mapping[str, Any]", schema)
    made: dict[str, Any] = {
        keyword: _inside(keyword, value, close=close)
        for keyword, value in own.items()
        if keyword in keywords.KNOWN and not _idle(keyword, own)
    }
    if {"enum", "const"} & set(made):
        return made
    given: Any = made.get("type")
    for kind in cast("list[Any]", given if isinstance(given, list) else [given]):
        match kind:
            case "string":
                _bound_text(made, own)
            case "array":
                most = made.get("maxItems", _MAX_ITEMS)
                made["maxItems"] = max(min(most, _MOST_ITEMS), made.get("minItems", 0))
            case "object":
                _bound_object(made, close=close)
            case "integer" | "number":
                _bound_number(made)
            case _:
                pass
    _write_format(made)
    return made


def _idle(keyword: str, own: Mapping[str, Any]) -> bool:
    """Whether a keyword has no effect at its place."""
    check = _IDLE.get(keyword)
    return check is not None and check(own[keyword], own)


_IDLE: Final[Mapping[str, Callable[[Any, Mapping[str, Any]], bool]]] = {
    "$id": lambda _, __: True,
    "$schema": lambda _, __: True,
    "dependentRequired": lambda value, _: not value,
    "dependentSchemas": lambda value, _: not value,
    "else": lambda _, own: "if" not in own,
    "format": lambda value, _: value in formats.NUMBERS,
    "if": lambda _, own: not {"then", "else"} & set(own),
    "maxContains": lambda _, own: "contains" not in own,
    "minContains": lambda _, own: "contains" not in own,
    "propertyNames": lambda value, _: value in (True, {}),
    "then": lambda _, own: "if" not in own,
    "uniqueItems": lambda value, own: value is False or own.get("maxItems", 2) <= 1,
}


def _inside(keyword: str, value: Any, *, close: bool) -> Any:
    if keyword == "pattern" and isinstance(value, str):
        return pattern.rust(value)
    if keyword in keywords.MAP and isinstance(value, Mapping):
        # A field may have the name of a keyword.
        write = pattern.rust if keyword == "patternProperties" else str
        return {
            write(name): _bounded(each, close=close)
            for name, each in cast("Mapping[str, Any]", value).items()
        }
    if keyword in keywords.ONE or keyword in keywords.LIST:
        return _bounded(value, close=close)
    return keywords.whole(keyword, value)


def _bound_text(made: dict[str, Any], own: Mapping[str, Any]) -> None:
    least: int = made.get("minLength", 0)
    if "maxLength" in made:
        made["maxLength"] = max(min(made["maxLength"], _LONGEST), least)
    elif "pattern" in own:
        shortest = pattern.least(own["pattern"])
        if shortest is not None:
            made["maxLength"] = max(_MAX_LENGTH, least, shortest + (shortest > _MAX_LENGTH) * 100)
    elif "format" not in made:
        made["maxLength"] = max(_MAX_LENGTH, least)


def _write_format(made: dict[str, Any]) -> None:
    """A format as a regular expression; where there is one already, that alone, and the check of the whole."""
    name = made.get("format")
    if name not in formats.FORMATS:
        return
    del made["format"]
    if "pattern" not in made:
        made["pattern"] = f"^(?:{formats.FORMATS[name].grammar})$"


def _bound_object(made: dict[str, Any], *, close: bool) -> None:
    named: Any = made.get("properties", {})
    required: Any = made.get("required", ())
    beside = [name for name in required if name not in named]
    if close and named and not _OPEN & set(made):
        # A field that is required and nowhere described is one of those that are named, too.
        anything = {name: _bounded(_ANYTHING, close=close) for name in beside}
        made["properties"] = {**named, **anything}
        made["additionalProperties"] = False
        return
    # llguidance counts fields only if all named ones are required.
    counted = set(named) <= set(required) and not (_OPEN - {"additionalProperties"}) & set(made)
    if close and counted and made.get("additionalProperties") is not False and "maxProperties" not in made:
        made["maxProperties"] = max(_MAX_ITEMS, made.get("minProperties", 0), len(named) + len(beside))


def _bound_number(made: dict[str, Any]) -> None:
    lows = [key for key in ("minimum", "exclusiveMinimum") if key in made]
    highs = [key for key in ("maximum", "exclusiveMaximum") if key in made]
    for key in lows:
        made[key] = made[key] if highs and made[highs[0]] < -_LARGEST else max(made[key], -_LARGEST)
    for key in highs:
        made[key] = made[key] if lows and made[lows[0]] > _LARGEST else min(made[key], _LARGEST)
    if not highs:
        low = max([0, *(made[key] for key in lows)])
        made["maximum"] = max(_MAX_NUMBER, low + _MAX_NUMBER)
    if not lows:
        high = min([0, *(made[key] for key in highs)])
        made["minimum"] = min(-_MAX_NUMBER, high - _MAX_NUMBER)


def find_keyword(schema: Any, word: str, at: str = "") -> Iterator[tuple[str, Any]]:
    """The paths of a keyword, and its values."""
    if not isinstance(schema, Mapping):
        return
    own = cast("Mapping[str, Any]", schema)
    if word in own:
        yield f"{at}{word}", own[word]
    for keyword, value in own.items():
        if keyword in keywords.MAP and isinstance(value, Mapping):
            for name, each in cast("Mapping[str, Any]", value).items():
                yield from find_keyword(each, word, f"{at}{keyword}.{name:.60}.")
        elif keyword in keywords.LIST and isinstance(value, list):
            for index, each in enumerate(cast("list[Any]", value)):
                yield from find_keyword(each, word, f"{at}{keyword}.{index}.")
        elif keyword in keywords.ONE:
            yield from find_keyword(value, word, f"{at}{keyword}.")
