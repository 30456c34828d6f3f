"""Tokens of KV keys: any text as one token of a NATS subject, and back.

Letters, digits, ``-`` and ``_`` stay; every other byte of UTF-8 becomes ``=`` and two hex digits.
"""

from __future__ import annotations

import re
from typing import Final

_OTHER: Final = re.compile(rb"[^A-Za-z0-9_-]")
_BYTE: Final = re.compile(rb"=([0-9A-Fa-f]{2})")


def escape(text: str, *, digits: str = "02x") -> str:
    """A text as a token; different texts give different tokens, and the empty text the empty token.

    Args:
        text: any text, half a surrogate pair included.
        digits: format of a byte.  Stored keys of the result cache have capitals, those of budgets small letters.
    """
    raw = text.encode("utf-8", "surrogatepass")
    return _OTHER.sub(lambda found: f"={found[0][0]:{digits}}".encode(), raw).decode("ascii")


def unescape(token: str) -> str:
    """The text that a token means."""
    raw = _BYTE.sub(lambda found: bytes([int(found[1], 16)]), token.encode())
    return raw.decode(errors="replace")
