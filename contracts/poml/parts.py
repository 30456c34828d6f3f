"""Parts of a rendered document, and the rules of white space between them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from contracts.poml.values import Verbatim

_BLANKS: Final = re.compile(r"[\t\n\r ]+")


@dataclass(slots=True, eq=False)
class Part:
    """A block or a span; ``kind`` names the Markdown that is made of it."""

    kind: str
    content: Sequence[str | Part] = ()
    speaker: str = ""
    #: Heading level, list style, language of code, or number of a foreign text.
    option: str | int = ""
    #: Whether a blank line is before and after it.
    blank: bool = True


@dataclass(slots=True)
class Foreign:
    """Text of others that stands in a block of its own, as it is."""

    text: str


def trimmed(content: Sequence[str | Part], mode: str = "filter") -> list[str | Part]:
    """Content with its spaces by the rules of CSS (``filter``), trimmed at both ends (``trim``) or kept (``pre``)."""
    merged = content if mode == "pre" else _merged(content)
    made: list[str | Part] = []
    for index, each in enumerate(merged):
        if isinstance(each, Part | Verbatim) or mode == "pre":
            made.append(each)
            continue
        spaces = None if mode == "trim" else " "
        text = each if mode == "trim" else _BLANKS.sub(" ", each)
        text = text.lstrip(spaces) if index == 0 else text
        made.append(text.rstrip(spaces) if index == len(merged) - 1 else text)
    return [each for each in made if each != ""]


def _merged(content: Sequence[str | Part]) -> list[str | Part]:
    """Texts that follow each other as one; numbers stay apart."""
    made: list[str | Part] = []
    pending: list[str] = []
    for each in content:
        if isinstance(each, str) and not isinstance(each, Verbatim):
            pending.append(each)
            continue
        made += ["".join(pending)] * any(pending)
        pending.clear()
        made.append(each)
    return made + ["".join(pending)] * any(pending)
