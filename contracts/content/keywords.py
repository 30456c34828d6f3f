"""Vocabulary of JSON Schema 2020-12: the shape of each keyword's value, and advice for words that are none."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, Final, cast

from contracts.content import formats

#: Keywords that hold one subschema, a list of them, or a map of them.
ONE: Final = frozenset(
    {
        "additionalProperties",
        "contains",
        "contentSchema",
        "else",
        "if",
        "items",
        "not",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)
LIST: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
MAP: Final = frozenset({"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"})
TYPES: Final = ("array", "boolean", "integer", "null", "number", "object", "string")
#: Most that a document may be asked to have, and most names and values in one list.
MAX_LENGTH: Final = 10_000
MAX_ITEMS: Final = 1000
MAX_PROPERTIES: Final = 500
MAX_NAMES: Final = 500
MAX_VALUES: Final = 2000

_COUNTS: Final = frozenset(
    {
        "maxContains",
        "maxItems",
        "maxLength",
        "maxProperties",
        "minContains",
        "minItems",
        "minLength",
        "minProperties",
    }
)
_MOST: Final = {
    "minLength": MAX_LENGTH,
    "minItems": MAX_ITEMS,
    "minContains": MAX_ITEMS,
    "minProperties": MAX_PROPERTIES,
}
_NUMBERS: Final = frozenset({"exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum"})
_TEXTS: Final = frozenset(
    {
        "$anchor",
        "$comment",
        "$dynamicAnchor",
        "$dynamicRef",
        "$id",
        "$ref",
        "$schema",
        "contentEncoding",
        "contentMediaType",
        "description",
        "format",
        "pattern",
        "title",
    }
)
_FLAGS: Final = frozenset({"deprecated", "readOnly", "uniqueItems", "writeOnly"})
_OTHERS: Final = frozenset(
    {
        "$vocabulary",
        "const",
        "default",
        "dependentRequired",
        "enum",
        "examples",
        "multipleOf",
        "required",
        "type",
    }
)
KNOWN: Final = ONE | LIST | MAP | _COUNTS | _NUMBERS | _TEXTS | _FLAGS | _OTHERS
#: Notes for editors and generators that files of the wild have; they ask nothing of a document.
_NOTES: Final = frozenset(
    {
        "allowComments",
        "allowTrailingCommas",
        "defaultSnippets",
        "deprecationMessage",
        "doNotSuggest",
        "enumDescriptions",
        "enumNames",
        "enumTitles",
        "errorMessage",
        "example",
        "externalDocs",
        "markdownDescription",
        "markdownEnumDescriptions",
        "patternErrorMessage",
        "propertyOrder",
        "suggestSortText",
        "tsEnumNames",
        "tsType",
        "xml",
    }
)
#: Words of older drafts and of relatives, and what says the same today.
_ADVICE: Final[Mapping[str, str]] = {
    "dependencies": "is of an older draft; write dependentRequired for names and dependentSchemas for schemas",
    "additionalItems": "is of an older draft; write prefixItems for the first items and items for the others",
    "divisibleBy": "is of an older draft; write multipleOf",
    "disallow": "is of an older draft; write not",
    "extends": "is of an older draft; write allOf",
    "id": "is of an older draft; write $id",
    "optional": 'is of an older draft; leave the name out of "required"',
    "requires": "is of an older draft; write dependentRequired",
    "minimumCanEqual": "is of an older draft; write exclusiveMinimum",
    "maximumCanEqual": "is of an older draft; write exclusiveMaximum",
    "$recursiveRef": "is of an older draft; write $dynamicRef",
    "$recursiveAnchor": "is of an older draft; write $dynamicAnchor",
    "discriminator": "is OpenAPI's; leave it out, and give each alternative a const",
    "comment": "is no keyword; write $comment",
    "_comment": "is no keyword; write $comment",
    "//": "is no keyword; write $comment",
    "name": "is no keyword; write title",
    "label": "is no keyword; write title",
    "values": "is no keyword; write enum",
    "options": "is no keyword; write enum",
    "regex": "is no keyword; write pattern",
    "min": "is no keyword; write minimum, minLength or minItems",
    "max": "is no keyword; write maximum, maxLength or maxItems",
    "length": "is no keyword; write minLength and maxLength",
    "fields": "is no keyword; write properties",
    "desc": "is no keyword; write description",
}
_ANCHOR: Final = re.compile(r"[A-Za-z_][-A-Za-z0-9._]*")
_LOWER: Final = {word.lower(): word for word in KNOWN}


def note(word: str) -> bool:
    """Whether a word that is no keyword asks nothing of a document: an editor's, for instance."""
    return word in _NOTES or word.startswith("x-")


def warned(word: str) -> bool:
    """Whether its author should hear that a word does nothing here."""
    return word in _NOTES


def advice(word: str, schema: Mapping[str, Any]) -> str:
    """What to write instead of a word that is no keyword.

    Args:
        word: not in :data:`KNOWN`.
        schema: the subschema that holds it.
    """
    if word == "nullable":
        named = schema.get("type")
        shown = f'["{named}", "null"]' if isinstance(named, str) and named in TYPES else '[…, "null"]'
        return f'is OpenAPI\'s; write "type": {shown}'
    if word in _ADVICE:
        return _ADVICE[word]
    close = get_close_matches(word[:40].lower(), _LOWER, n=1, cutoff=0.75)
    if close:
        return f"is no keyword; {_LOWER[close[0]]}?"
    if isinstance(schema[word], dict):
        return "is no keyword of JSON Schema 2020-12; leave it out; what references name goes to $defs"
    return "is no keyword of JSON Schema 2020-12; leave it out, or begin it with x-"


def shape(keyword: str, value: Any) -> str | None:
    """Why a value cannot be a keyword's, and what to write; ``None`` when it can.

    Args:
        keyword: one of :data:`KNOWN`.
        value: any JSON value; what is inside subschemas is not looked at.
    """
    return _CHECKS[keyword](keyword, value)


def whole(keyword: str, value: Any) -> Any:
    """A keyword's value with 2.0 as 2 where it counts something: the standard takes both for integers."""
    counts = keyword in _COUNTS and isinstance(value, float) and value.is_integer()
    return int(value) if counts else value


def show(value: Any) -> str:
    """A value as a message shows it."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:60] + "…"  # noqa: PLR2004 - a line


def is_number(value: Any) -> bool:
    """Whether it is a number of JSON that bounds can be compared with."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, int) or math.isfinite(value)


def _schema(keyword: str, value: Any) -> str | None:
    if isinstance(value, dict | bool):
        return None
    if keyword == "items" and isinstance(value, list):
        return "a list of schemas is of an older draft; write prefixItems"
    return f"{show(value)} is no schema; write an object, true or false"


def _schemas(_keyword: str, value: Any) -> str | None:
    if not isinstance(value, list) or not value:
        return f"{show(value)} is no list of schemas; write one with a schema at least"
    return next((why for each in cast("list[Any]", value) if (why := _schema("", each))), None)


def _named(_keyword: str, value: Any) -> str | None:
    if not isinstance(value, dict):
        return f"{show(value)} is no object; write schemas by name"
    named = cast("dict[str, Any]", value)
    if len(named) > MAX_PROPERTIES:
        return f"names {len(named)} schemas, and at most {MAX_PROPERTIES} are accepted; make it smaller"
    return next((f"{name!r:.60}: {why}" for name, each in named.items() if (why := _schema("", each))), None)


def _count(keyword: str, value: Any) -> str | None:
    if not is_number(value) or value != int(value) or value < 0:
        return f"{show(value)} is no count; write a whole number from 0 on"
    most = _MOST.get(keyword)
    if most is not None and value > most:
        return f"{show(value)} is more than can be written; {most} is the most"
    return None


def _number(keyword: str, value: Any) -> str | None:
    if isinstance(value, bool) and keyword.startswith("exclusive"):
        other = keyword.removeprefix("exclusive").lower()
        return f"true and false are of an older draft; write the number of {other} here and leave {other} out"
    return None if is_number(value) else f"{show(value)} is no number"


def _step(_keyword: str, value: Any) -> str | None:
    return None if is_number(value) and value > 0 else f"{show(value)} is no number above 0"


def _names(_keyword: str, value: Any) -> str | None:
    if isinstance(value, bool):
        return 'true and false are of an older draft; list the name in "required" of the object around it'
    if not isinstance(value, list):
        return f"{show(value)} is no list of names"
    names = cast("list[Any]", value)
    if len(names) > MAX_NAMES:
        return f"lists {len(names)} names, and at most {MAX_NAMES} are accepted; make it smaller"
    wrong = next((each for each in names if not isinstance(each, str)), None)
    if wrong is not None or None in names:
        return f"{show(wrong)} is no name; write it in quotes"
    if len(set(names)) < len(names):
        twice = next(each for index, each in enumerate(names) if each in names[:index])
        return f"{show(twice)} is listed twice; keep one of them"
    return None


def _needs(_keyword: str, value: Any) -> str | None:
    if not isinstance(value, dict):
        return f"{show(value)} is no object; write lists of names by name"
    by_name = cast("dict[str, Any]", value)
    if len(by_name) > MAX_NAMES:
        return f"has {len(by_name)} names, and at most {MAX_NAMES} are accepted; make it smaller"
    return next((f"{name!r:.60}: {why}" for name, each in by_name.items() if (why := _names("", each))), None)


def _type(_keyword: str, value: Any) -> str | None:
    names: list[Any] = cast("list[Any]", value) if isinstance(value, list) else [value]
    for name in names[: len(TYPES) + 1]:
        if not isinstance(name, str) or name not in TYPES:
            return f"{show(name)} is no type; write one of {', '.join(TYPES)}"
    if not names or len(names) > len(set(names)):
        return f"{show(names)} is no list of different types"
    return None


def _enum(_keyword: str, value: Any) -> str | None:
    if not isinstance(value, list):
        return f"{show(value)} is no list; write the values in brackets"
    values = cast("list[Any]", value)
    if not values:
        return "is empty, and no value follows it; list a value"
    if len(values) > MAX_VALUES:
        return f"lists {len(values)} values, and at most {MAX_VALUES} are accepted; write a pattern or less"
    return None


def _examples(_keyword: str, value: Any) -> str | None:
    return None if isinstance(value, list) else f"{show(value)} is no list; write the examples in brackets"


def _format(_keyword: str, value: Any) -> str | None:
    if not isinstance(value, str):
        return f"{show(value)} is no text; write one in quotes"
    if value in formats.FORMATS or value in formats.NUMBERS:
        return None
    known = ", ".join(sorted({*formats.FORMATS, *formats.NUMBERS}))
    return f"{show(value)} is not checked here; leave it out or write a pattern; checked are {known}"


def _flag(_keyword: str, value: Any) -> str | None:
    return None if isinstance(value, bool) else f"{show(value)} is neither true nor false"


def _text(keyword: str, value: Any) -> str | None:
    if not isinstance(value, str):
        return f"{show(value)} is no text; write one in quotes"
    if keyword in ("$anchor", "$dynamicAnchor") and not _ANCHOR.fullmatch(value):
        return f"{show(value)} is no name; write letters, digits, - and _, a letter first"
    return None


def _vocabulary(_keyword: str, value: Any) -> str | None:
    del value
    return "is for schemas of schemas; leave it out"


def _anything(_keyword: str, value: Any) -> str | None:
    del value


_CHECKS: Final[Mapping[str, Callable[[str, Any], str | None]]] = {
    **dict.fromkeys(ONE, _schema),
    **dict.fromkeys(LIST, _schemas),
    **dict.fromkeys(MAP, _named),
    **dict.fromkeys(_COUNTS, _count),
    **dict.fromkeys(_NUMBERS, _number),
    **dict.fromkeys(_FLAGS, _flag),
    **dict.fromkeys(_TEXTS, _text),
    "$vocabulary": _vocabulary,
    "const": _anything,
    "default": _anything,
    "dependentRequired": _needs,
    "enum": _enum,
    "examples": _examples,
    "format": _format,
    "multipleOf": _step,
    "required": _names,
    "type": _type,
}
