"""Wording of values that are refused where they stand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from reprlib import Repr
from typing import Any, Final

from pydantic import BaseModel

from contracts.nodes.field_aliases import Path, part_of
from contracts.printable import printable

#: Types that a value is not, by pydantic's name for the fault.
TYPES: Final = {
    "bool_type": "true or false",
    "dict_type": "an object",
    "finite_number": "a finite number",
    "float_type": "a number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "string_type": "a text",
    "string_unicode": "a text in Unicode",
    "tuple_type": "a list",
}
#: What people call a field that has another name.
_CALLED: Final = {
    "type": "generation_type",
    "kind": "generation_type",
    "text": "prompt",
    "message": "prompt",
    "wish": "prompt",
    "deadline": "deadline_ms",
    "timeout": "deadline_ms",
}
#: Characters of a name that are compared.
_COMPARED: Final = 80
#: Characters of a value that are shown.
SHOWN: Final = 80
#: How like each other two names are, 0 to 1, of which one was meant by the other.
_ALIKE: Final = 0.7
_shown: Final = Repr()
_shown.maxstring = _shown.maxother = 60
_shown.maxlong = 30
_shown.maxlevel = 3


def shown(value: Any) -> str:
    """A value of a stranger in one line that can be printed, :data:`SHOWN` characters at most."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    try:
        return printable(_shown.repr(value), most=SHOWN)
    except ValueError:
        # Python refuses to write integers of thousands of digits.
        return "a huge number"


def meant(name: str, model: type[BaseModel]) -> Path | None:
    """The field that an unknown name was probably meant for: beside it, or in one of the parts.

    Args:
        name: as it was given.
        model: the fields that are known there.
    """
    fields = {_letters(field): field for field in model.model_fields}
    letters = _letters(name[:_COMPARED])
    called = _CALLED.get(letters)
    if called in model.model_fields:
        return (called,)
    if letters in fields:
        return (fields[letters],)
    close = get_close_matches(letters, fields, n=1, cutoff=_ALIKE)
    if close:
        return (fields[close[0]],)
    return _inside(letters, model, ())


def _inside(letters: str, model: type[BaseModel], at: Path) -> Path | None:
    """The first field of that name in the parts, the parts of the parts, and so on."""
    parts = [(name, inside) for name in model.model_fields if (inside := part_of(model, name)) is not None]
    for name, inside in parts:
        found = next((field for field in inside.model_fields if _letters(field) == letters), None)
        if found is not None:
            return (*at, name, found)
    return next(filter(None, (_inside(letters, inside, (*at, name)) for name, inside in parts)), None)


def _letters(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def word(value: str, known: Iterable[str]) -> str:
    """What to write instead of an unknown word."""
    words = tuple(map(str, known))
    close = get_close_matches(value[:_COMPARED].lower(), [each.lower() for each in words], n=1)
    near = next((each for each in words if close and each.lower() == close[0]), None)
    return f"{f'did you mean {near!r}? Known are' if near else 'use one of'} {', '.join(words)}"


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """The sentence for a name that nothing has: with the nearest one, or with all.

    Args:
        what: what it should be the name of, such as ``template``.
        name: as it was given.
        known: the names that there are.
    """
    names = tuple(known)
    close = get_close_matches(name[:_COMPARED].lower(), names, n=1, cutoff=0.5)
    said = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(names) or 'none'}"
    return f"there is no {what} {shown(name)}; {said}"


def fault(item: Mapping[str, Any]) -> str:  # noqa: PLR0911 - one way out per kind of fault
    """What is wrong with a value and what to do, from one of pydantic's errors with its input and context."""
    kind, value = item["type"], item["input"]
    bounds: Mapping[str, Any] = item.get("ctx", {})
    match kind:
        case "missing":
            return "is required"
        case "string_too_long":
            return f"has {len(value)} characters; at most {bounds['max_length']} are accepted"
        case "too_long" if isinstance(value, list | tuple | dict):
            return f"has {len(value)} entries; at most {bounds['max_length']} are accepted"  # pyright: ignore[reportUnknownArgumentType] - anything has a length
        case "string_too_short" if not value:
            return "is empty; say something or leave it out"
        case "string_pattern_mismatch":
            return f"{shown(value)} cannot stand here; {_pattern(value, str(bounds['pattern']))}"
        case "enum" | "literal_error" if isinstance(value, str):
            words = str(bounds["expected"]).replace(" or ", ", ").replace("'", "").split(", ")
            return f"{shown(value)} is unknown; {word(value, words)}"
        case "value_error":
            return str(item["msg"]).removeprefix("Value error, ")
        case _ if kind in TYPES:
            return f"{shown(value)} is not {TYPES[kind]}; write {TYPES[kind]}"
        case _:
            said = str(item["msg"]).replace("Input should be", "must be").replace(" after validation", "")
            return f"{shown(value)} cannot stand here: {said[:1].lower()}{said[1:]}"


def _pattern(value: str, pattern: str) -> str:
    bad = next((each for each in value if not each.isprintable()), None)
    if bad is not None:
        return f"it has the control character U+{ord(bad):04X}: take it out"
    return f"it must match {pattern}"
