"""How does what others wrote stand in a prompt, as data and never as an instruction?"""

from __future__ import annotations

import re
from typing import Final

import msgspec

_MARKS: Final = re.compile("<{3,}|>{3,}")
#: What a block begins with; only the one who asks can write it.
OPEN: Final = "<<<\n"
_CLOSE: Final = "\n>>>\n"


def well_formed(text: str) -> str:
    """The text without halves of surrogate pairs, which neither JSON in UTF-8 nor a tokenizer takes."""
    return text.encode("utf-8", "replace").decode()


def within(text: str, most: int) -> str:
    """The text, or as much of its beginning as takes so many bytes as a JSON string."""
    # No character takes more than six, as an escape.
    while text and 6 * len(text) > most and (size := len(msgspec.json.encode(text))) > most:
        text = text[: min(len(text) - 1, len(text) * most // size)]
    return text


def quoted(text: str) -> str:
    """The text between markers that it cannot close."""
    inner = text
    # The expression looks at every character in turn: most of a long prompt's time, and hardly ever needed.
    if "<<<" in text or ">>>" in text:
        inner = _MARKS.sub(lambda found: " ".join(found[0]), text)
    return f"{OPEN}{inner}{_CLOSE}"


def last_quoted(prompt: str) -> str:
    """The text of a prompt's last quoted block, as it stands there; empty if there is none."""
    _, found, rest = prompt.rpartition(OPEN)
    return rest.removesuffix(_CLOSE) if found else ""
