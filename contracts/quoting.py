"""How does what others wrote stand in a prompt, as data and never as an instruction?"""

from __future__ import annotations

import re
from typing import Final

_MARKS: Final = re.compile("<{3,}|>{3,}")
_OPEN: Final = "<<<\n"
_CLOSE: Final = "\n>>>\n"


def quoted(text: str) -> str:
    """The text between markers that it cannot close."""
    inner = _MARKS.sub(lambda found: " ".join(found[0]), text)
    return f"{_OPEN}{inner}{_CLOSE}"


def last_quoted(prompt: str) -> str:
    """The text of a prompt's last quoted block, as it stands there; empty if there is none."""
    _, found, rest = prompt.rpartition(_OPEN)
    return rest.removesuffix(_CLOSE) if found else ""
