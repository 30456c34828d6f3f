"""Words of a schema that check nothing: annotations, words of relatives, and misspelt keywords."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final

from contracts.content import formats, keywords

#: Notes for editors and generators that files of the wild have; they ask nothing of a document.
_NOTES: Final = frozenset(
    {
        "allowComments",
        "allowTrailingCommas",
        "collectionFormat",
        "defaultSnippets",
        "deprecationMessage",
        "discriminator",
        "doNotSuggest",
        "enumDescriptions",
        "enumNames",
        "enumTitles",
        "errorMessage",
        "example",
        "externalDocs",
        "intellisense",
        "markdownDescription",
        "markdownEnumDescriptions",
        "order",
        "patternErrorMessage",
        "propertyOrder",
        "scope",
        "suggestSortText",
        "tsEnumNames",
        "tsType",
        "xml",
    }
)
#: Words of older drafts and of relatives, and what says the same today.
_ADVICE: Final[Mapping[str, str]] = {
    "disallow": "not",
    "extends": "allOf",
    "optional": '"required", without the name',
    "requires": "dependentRequired",
    "minimumCanEqual": "exclusiveMinimum",
    "maximumCanEqual": "exclusiveMaximum",
    "values": "enum",
    "options": "enum",
    "regex": "pattern",
    "min": "minimum, minLength or minItems",
    "max": "maximum, maxLength or maxItems",
    "length": "minLength and maxLength",
    "fields": "properties",
    "unique": "uniqueItems",
}
#: Words that describe and ask nothing; nobody means a keyword by them.
_SILENT: Final = frozenset(
    {
        "_comment",
        "//",
        "comment",
        "desc",
        "id",
        "label",
        "name",
        "note",
        "notes",
        "version",
        "$vocabulary",
        "$recursiveAnchor",
    }
)
_LOWER: Final = {word.lower(): word for word in keywords.ASKING}


def remark(word: str, path: str) -> str | None:
    """What its author should hear of a word that is no keyword; ``None``: nothing.

    Args:
        word: not a keyword of any draft.
        path: of the word.
    """
    if word.startswith(("x-", "$", "_")) or word in _SILENT:
        return None
    if word in _NOTES:
        return f"schema: {word} is a note; it asks nothing of a document"
    if word in _ADVICE:
        return f"{path}: is no keyword, and nothing checks it; did you mean {_ADVICE[word]}?"
    close = get_close_matches(word[:40].lower(), _LOWER, n=1, cutoff=0.78)
    if close:
        return f"{path}: is no keyword, and nothing checks it; did you mean {_LOWER[close[0]]}?"
    return f"schema: {word:.60} is no keyword, and nothing checks it"


def is_format(name: str) -> bool:
    """Whether a format is checked."""
    return name in formats.FORMATS or name in formats.NUMBERS


def find_close_format(name: str) -> str | None:
    """The checked format that an unknown one looks like; ``None``: none."""
    lower = name[:40].lower().replace("_", "-")
    if lower in formats.FORMATS:
        return lower
    close = get_close_matches(lower, formats.FORMATS, n=1, cutoff=0.84)
    # These are formats of their own.
    return (
        close[0]
        if close and lower not in ("uri-template", "time-local", "date-local", "idn-email", "idn-hostname")
        else None
    )
