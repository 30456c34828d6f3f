"""JSON text of schemas: that of a content kind is encoded once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

#: Schemas whose text is kept; a process has few kinds.
_MOST: Final = 64
#: By the schema's identity, with the schema itself: as long as it is here, no other one has its identity.
_texts: Final[dict[int, tuple[Mapping[str, Any], bytes]]] = {}


def encode(schema: Mapping[str, Any], *, keep: bool) -> bytes:
    """The schema as JSON.

    Args:
        schema: a JSON Schema.
        keep: the same object is encoded again and again, and never changes: a content kind's schema.
    """
    if not keep:
        return msgspec.json.encode(schema)
    known = _texts.get(id(schema))
    if known is not None:
        return known[1]
    if len(_texts) >= _MOST:
        _texts.clear()
    text = msgspec.json.encode(schema)
    _texts[id(schema)] = schema, text
    return text
