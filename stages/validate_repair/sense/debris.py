r"""Debris: punctuation, remains of JSON and control tokens in place of text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Final

from stages.validate_repair.sense.part import SenseFinding, SensePart
from stages.validate_repair.sense.texts import VisibleText

#: What JSON consists of beside letters; a text of nothing else is what a cut left over.
_STRUCTURE: Final = re.compile(r'[\[\]{}":,\s\d.\\-]+')
_MARK: Final = re.compile(r'[\[\]{}":,]')
#: Marks that meet only where JSON's values do.
_SEAM: Final = re.compile(r'"\s*:\s*["\[{]|[}\]]\s*,\s*["\[{]|\{\s*"|"\s*}|\[\s*"|"\s*\]|\}\s*\{|"[:,]"')
_CONTROL: Final = re.compile(
    r"<\|[a-z_]{1,40}\|>|</?s>|\[/?INST\]|</?think>|\\u[0-9a-fA-F]{4}|\ufffd",
)
#: Texts with letters may quote: two seams make a remainder.
_SEAMS: Final = 2
_MARKS: Final = 2
#: Words that say what a field takes, in schemas and in their sketches; where half of the texts are such words, they are
#: copied, and one alone may be a title.
_TYPES: Final = frozenset(
    {"text", "string", "number", "whole number", "integer", "boolean", "true|false", "anything"}
)
_COPIED: Final = 2
#: A document with debris keeps this much at most.
_MOST: Final = 0.3


def measure_debris(texts: list[VisibleText]) -> SensePart:
    """Texts that are punctuation, pieces of JSON, or hold tokens that control a model; any of them weighs heavily."""
    reasons: list[SenseFinding] = []
    typed = [each for each in texts if each.value.strip().lower() in _TYPES]
    if len(typed) >= _COPIED and 2 * len(typed) >= len(texts):
        reasons += [
            SenseFinding(each.path, "the name of a type in place of text", each.value) for each in typed
        ]
    for text in texts:
        if _is_debris(text.value):
            reasons.append(SenseFinding(text.path, "punctuation in place of text", text.value))
        elif (found := _CONTROL.search(text.value)) is not None:
            reasons.append(SenseFinding(text.path, "control token in the text", found[0]))
    if not reasons:
        return SensePart(1.0)
    return SensePart(_MOST * (1 - len(reasons) / len(texts)), reasons)


def _is_debris(value: str) -> bool:
    if _STRUCTURE.fullmatch(value):
        return _is_remainder(value.strip())
    # The letters between the seams may be anything; JSON as a whole is somebody's content.
    seams = sum(1 for _ in _first(_SEAM.finditer(value)))
    return seams >= _SEAMS and not _is_json(value)


def _is_remainder(value: str) -> bool:
    """Whether a text without letters is a piece of JSON, and not a number, a time, a pair or a list."""
    if len(_MARK.findall(value)) < _MARKS or _is_json(value):
        return False
    inner = value.strip('"')
    return not inner or _MARK.match(inner) is not None or _MARK.match(inner[-1]) is not None


def _first(found: Iterable[re.Match[str]]) -> Iterable[re.Match[str]]:
    for index, each in enumerate(found):
        if index == _SEAMS:
            return
        yield each


def _is_json(value: str) -> bool:
    """Whether a text is a JSON object or list as a whole."""
    try:
        return isinstance(json.loads(value), dict | list)
    except (ValueError, RecursionError):
        return False
