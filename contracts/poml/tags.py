"""The tags and attributes of the subset."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from contracts.poml.fault import Unfit, outside

#: What an attribute takes: fixed text, a text with ``{{ }}``, an expression alone, or one of some words.
FIXED: Final = "fixed"
SHOWN: Final = "shown"
DATA: Final = "data"
_BOOLEAN: Final = ("true", "false")
_CAPTION: Final[Mapping[str, str | tuple[str, ...]]] = {
    "caption": SHOWN,
    "captionStyle": ("header", "bold", "plain", "hidden"),
    "captionEnding": ("colon", "newline", "colon-newline", "none"),
    "captionTextTransform": ("upper", "capitalize", "none"),
}
_SPACES: Final = {"whiteSpace": ("pre", "filter", "trim")}

#: Attributes of each tag, besides ``if`` and ``for``.
TAGS: Final[Mapping[str, Mapping[str, str | tuple[str, ...]]]] = {
    "poml": {"syntax": ("markdown",)},
    "role": _CAPTION,
    "task": _CAPTION,
    "output-format": _CAPTION,
    "hint": _CAPTION,
    "cp": _CAPTION,
    "examples": {**_CAPTION, "chat": _BOOLEAN, "introducer": SHOWN},
    "example": {**_CAPTION, "chat": _BOOLEAN},
    "input": _CAPTION,
    "output": _CAPTION,
    "p": {"blankLine": _BOOLEAN, **_SPACES},
    "b": {},
    "i": {},
    "code": {"inline": _BOOLEAN, "lang": FIXED, **_SPACES},
    "list": {"listStyle": ("star", "dash", "plus", "decimal", "latin")},
    "item": {},
    "table": {"records": DATA, "columns": DATA},
    "system-msg": _SPACES,
    "human-msg": _SPACES,
    "ai-msg": _SPACES,
    "let": {
        "name": FIXED,
        "value": DATA,
        "type": ("string", "integer", "float", "boolean", "array", "object"),
    },
    "include": {"src": FIXED},
    "output-schema": {"parser": ("json",)},
}
#: Attributes that an element cannot do without.
REQUIRED: Final = {"cp": "caption", "table": "records", "let": "name", "include": "src"}
#: Tags without ``if`` and ``for``.
ALWAYS: Final = ("let", "output-schema")
#: Tags that write within a line.
INLINE: Final = ("b", "i")
#: Speakers of messages.
SPEAKERS: Final = {"system-msg": "system", "human-msg": "human", "ai-msg": "ai"}


def attribute_name(tag: str, written: str) -> str:
    """The camelCase name of an attribute that is written in kebab case or camelCase.

    Raises:
        Unfit: the tag has no such attribute.
    """
    name = re.sub("-([a-z])", lambda found: found[1].upper(), written)
    if name in ("if", "for") and tag not in ALWAYS:
        return name
    if name not in TAGS[tag]:
        takes = (*(() if tag in ALWAYS else ("if", "for")), *TAGS[tag])
        raise Unfit(outside(f"the attribute {written} of <{tag}>", f"it takes {', '.join(takes)}"))
    return name


def check_value(tag: str, name: str, value: str) -> None:
    """Check a value against the words that its attribute takes.

    Raises:
        Unfit: it is empty or none of these words.
    """
    if not value.strip():
        raise Unfit(f"the attribute {name} of <{tag}> is empty; leave it out or write a value")
    takes = FIXED if name in ("if", "for") else TAGS[tag][name]
    if isinstance(takes, tuple) and value not in takes:
        raise Unfit(outside(f"{name}={value!r} of <{tag}>", f"use one of {', '.join(takes)}"))
    if takes == FIXED and name not in ("if", "for") and "{{" in value:
        raise Unfit(outside(f"an expression in {name} of <{tag}>", "write the text itself"))
