"""Which document does a model's text hold?"""

from __future__ import annotations

import json
from typing import Any

import json_repair
import msgspec

#: Longest text that is looked at, characters.
MAX_TEXT = 200_000


class Parsed(msgspec.Struct, frozen=True, kw_only=True):
    """A document and how it was read."""

    document: Any
    #: The text was no JSON and was mended.
    repaired: bool = False


class Unparsable(ValueError):  # noqa: N818 - names the text's state
    """The text holds no document; the message says why."""


def parse(text: str) -> Parsed:
    """Read strict JSON (RFC 8259), else mend it once.

    Raises:
        Unparsable: no document can be read even then.
    """
    if len(text) > MAX_TEXT:
        raise Unparsable(f"the text has {len(text)} characters; at most {MAX_TEXT} are read")
    try:
        return Parsed(document=json.loads(text, parse_constant=_no_constant))
    except (ValueError, RecursionError):
        pass
    try:
        document = json_repair.loads(text, skip_json_loads=True)
    except (ValueError, RecursionError) as error:
        raise Unparsable(f"the text is no JSON and cannot be mended: {error}") from None
    if not isinstance(document, dict | list) or not document:
        raise Unparsable("the text is no JSON and nothing in it can be mended into a document")
    return Parsed(document=document, repaired=True)  # pyright: ignore[reportUnknownArgumentType]


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
