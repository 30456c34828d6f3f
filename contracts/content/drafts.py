"""Drafts of JSON Schema, and what they know."""

from __future__ import annotations

from typing import Any, Final

from contracts.content import keywords

#: The dialect that every schema is rewritten to.
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_LATEST: Final = "http://json-schema.org/schema"
#: By the path of their address: the number of the draft, or the year that it has instead.
_DRAFTS: Final = {
    "draft-04/schema": 4,
    "draft-06/schema": 6,
    "draft-07/schema": 7,
    "draft/2019-09/schema": 2019,
    "draft/2020-12/schema": 2020,
}
NAMES: Final = {4: "draft-04", 6: "draft-06", 7: "draft-07", 2019: "2019-09", 2020: "2020-12"}
#: The last draft in which ``$ref`` counts alone.
REF_ALONE: Final = 7
#: The only known draft in which 2.0 is no integer.
STRICT_INTEGERS: Final = 4
#: Draft in which a keyword came; the others were there in draft-04.
SINCE: Final = {
    **dict.fromkeys(("const", "contains", "propertyNames"), 6),
    **dict.fromkeys(("if", "then", "else"), 7),
    **dict.fromkeys(("dependentRequired", "dependentSchemas", "minContains", "maxContains"), 2019),
    **dict.fromkeys(("unevaluatedItems", "unevaluatedProperties"), 2019),
    "prefixItems": 2020,
}


def find_draft(said: Any) -> int | str | None:
    """The draft of a ``$schema``; ``None``: it is another's own dialect; a text: why it cannot be read.

    Args:
        said: value of the keyword.
    """
    if isinstance(said, str):
        address = said.strip().rstrip("#").replace("https:", "http:")
        found = _DRAFTS.get(address.partition("://json-schema.org/")[2])
        if found is not None or address == _LATEST or "//json-schema.org/" not in address:
            return found
    return f"{keywords.show(said)} is not supported; write for {DIALECT}"
