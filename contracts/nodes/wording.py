"""Messages for values that a node or a request cannot have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from reprlib import Repr
from typing import Any, Final

from pydantic import BaseModel

from contracts.nodes.field_aliases import Path, model_of_field
from contracts.printable import printable

#: Expected types, by pydantic's name for the error.
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
#: Common wrong names of fields.
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
#: Most characters of a value in a message.
MAX_VALUE: Final = 80
#: Similarity, 0 to 1, from which a name is suggested for another.
_ALIKE: Final = 0.7
_shown: Final = Repr()
_shown.maxstring = _shown.maxother = 60
_shown.maxlong = 30
_shown.maxlevel = 3


def format_value(value: Any) -> str:
    """A foreign value in one printable line, :data:`SHOWN` characters at most."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    try:
        return printable(_shown.repr(value), most=MAX_VALUE)
    except ValueError:
        # Python refuses to format integers of thousands of digits.
        return "a huge number"


def suggest_field(name: str, model: type[BaseModel]) -> Path | None:
    """The field that an unknown name probably stands for: at the same level, or in a nested part.

    Args:
        name: the name as given.
        model: the model whose fields are known.
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
    return _find_nested(letters, model, ())


def _find_nested(letters: str, model: type[BaseModel], at: Path) -> Path | None:
    """The first field of that name in the parts, the parts of the parts, and so on."""
    parts = [
        (name, inside) for name in model.model_fields if (inside := model_of_field(model, name)) is not None
    ]
    for name, inside in parts:
        found = next((field for field in inside.model_fields if _letters(field) == letters), None)
        if found is not None:
            return (*at, name, found)
    return next(filter(None, (_find_nested(letters, inside, (*at, name)) for name, inside in parts)), None)


def _letters(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def find_word(value: str, known: Iterable[str]) -> str | None:
    """The known word that an unknown one probably stands for."""
    words = tuple(map(str, known))
    close = get_close_matches(value[:_COMPARED].lower(), [each.lower() for each in words], n=1)
    return next((each for each in words if close and each.lower() == close[0]), None)


def suggest_word(value: str, known: Iterable[str]) -> str:
    """Suggestion for an unknown word."""
    words = tuple(map(str, known))
    near = find_word(value, words)
    return f"{f'did you mean {near!r}? Known are' if near else 'use one of'} {', '.join(words)}"


def format_unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Message for an unknown name, with the closest known name or with all of them.

    Args:
        what: what the name should refer to, such as ``template``.
        name: the name as given.
        known: the known names.
    """
    names = tuple(known)
    close = get_close_matches(name[:_COMPARED].lower(), names, n=1, cutoff=0.5)
    said = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(names) or 'none'}"
    return f"there is no {what} {format_value(name)}; {said}"


def format_fault(item: Mapping[str, Any]) -> str:  # noqa: PLR0911 - one return per kind of error
    """What is wrong with a value and how to fix it, from one pydantic error with its input and context."""
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
            return "is empty; write something or leave it out"
        case "string_pattern_mismatch":
            return (
                f"{format_value(value)} is not allowed here; {_pattern_hint(value, str(bounds['pattern']))}"
            )
        case "enum" | "literal_error" if isinstance(value, str):
            words = str(bounds["expected"]).replace(" or ", ", ").replace("'", "").split(", ")
            return f"{format_value(value)} is unknown; {suggest_word(value, words)}"
        case "value_error":
            return str(item["msg"]).removeprefix("Value error, ")
        case _ if kind in TYPES:
            return f"{format_value(value)} is not {TYPES[kind]}; write {TYPES[kind]}"
        case _:
            said = str(item["msg"]).replace("Input should be", "must be").replace(" after validation", "")
            return f"{format_value(value)} is not allowed here: {said[:1].lower()}{said[1:]}"


def _pattern_hint(value: str, pattern: str) -> str:
    bad = next((each for each in value if not each.isprintable()), None)
    if bad is not None:
        return f"it has the control character U+{ord(bad):04X}: remove it"
    return f"it must match {pattern}"
