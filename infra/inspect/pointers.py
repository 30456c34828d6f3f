"""Pointers: dotted paths of fields as JSON Pointers (RFC 6901)."""

from __future__ import annotations

import re
from typing import Final

_INDEX: Final = re.compile(r"\[(\d+)\]")


def pointer_of(path: str) -> str:
    """The JSON Pointer of a dotted path, such as ``node.constraints.0``; indexes may be in brackets."""
    if not path:
        return ""
    parts = _INDEX.sub(r".\1", path).split(".")
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts if part)
