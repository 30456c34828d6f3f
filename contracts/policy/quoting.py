"""Quoting: foreign text as data in a prompt, never as an instruction."""

from __future__ import annotations

import re
from typing import Final

import msgspec

_MARKS: Final = re.compile("<{3,}|>{3,}")
#: Start of a block; quoted text cannot contain it.
OPEN: Final = "<<<\n"
_CLOSE: Final = "\n>>>\n"


def replace_surrogates(text: str) -> str:
    """The text without unpaired surrogates, which neither UTF-8 JSON nor a tokenizer accepts."""
    return text.encode("utf-8", "replace").decode()


def truncate(text: str, most: int) -> str:
    """The longest prefix of a text that takes at most so many bytes as a JSON string."""
    # No character takes more than six, as an escape.
    while text and 6 * len(text) > most and (size := len(msgspec.json.encode(text))) > most:
        text = text[: min(len(text) - 1, len(text) * most // size)]
    return text


def quote(text: str) -> str:
    """The text between markers that it cannot close."""
    inner = text
    # The expression looks at every character in turn: most of a long prompt's time, and hardly ever needed.
    if "<<<" in text or ">>>" in text:
        inner = _MARKS.sub(lambda found: " ".join(found[0]), text)
    return f"{OPEN}{inner}{_CLOSE}"


def extract_last_quote(prompt: str) -> str:
    """The text of a prompt's last quoted block; empty if there is none."""
    _, found, rest = prompt.rpartition(OPEN)
    return rest.removesuffix(_CLOSE) if found else ""
