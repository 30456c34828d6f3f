"""Joins: function words that English never puts side by side, cut words, sentences that begin in the middle."""

from __future__ import annotations

import re
from typing import Final

from stages.validate_repair.sense.part import SenseFinding, SensePart
from stages.validate_repair.sense.texts import TextRole, VisibleText

_DETERMINER: Final = r"(?:the|a|an|my|our|their|your|every)"
_AFTER: Final = (
    r"(?:the|a|an|my|our|their|your|its|of|to|by|with|from|for|and|or|but|is|are|was|were|be|been|has|have|had|"
    r"he|she|they|we|him|them|that|this|these|those)"
)
_BROKEN: Final = re.compile(
    rf"(?<![\w'\u2019-])(?:{_DETERMINER} {_AFTER}|(?:of of|to to|and and|with with|from from|or or|and or|or and|or but|and but)|"
    r"(?:who|whom|whose) (?:where|what|who|why|whose)|what (?:where|who)|is are|are is|was are|is were|you is|"
    r"a (?:[aeio](?!ne\b|nce\b|u[ir])|u(?:mb|nc|nd|gl|pp|nk|nh|ns|lt|tt)|hour\b|honest\b)[a-z]+|"
    r"an [bcdfgjklmnpqrstvwz][a-z]+)(?![\w'\u2019-])",
)
_ENDS: Final = re.compile(r"(?<![\w'\u2019-])(?:the|an|our|their|my|your|every|and|or)[.!?](?![.\w])")
_CUT: Final = re.compile(
    r"(?:^|[.!?] )[B-HJ-WYZ] (?!minus|plus|major|minor|flat|sharp|for |is |and )[a-z]{2,}|(?<= )[bcdfghjklmpqrstvwz](?= [a-z]{2,} [a-z])"
)
_MIDDLE: Final = re.compile(r"[a-z]+(?:['\u2019][a-z]+)? .*[.!?][\"'\u201d\u2019)]*\Z", re.DOTALL)
_SENTENCES: Final = re.compile(r"[.!?…](?=\s|\Z)")
_STOP: Final = re.compile(r"[.!?…][\"'\u201d\u2019)]*\s*\Z")
#: Characters at the end of a text that tell whether its sentence ends there.
_END: Final = 8
#: Of few sentences one may be anybody's slip: they count as so many.
_FEW: Final = 6
#: Two broken sentences in three leave nothing.
_WEIGHT: Final = 1.5
#: A writer without capitals: so many of at least so many texts begin small.
_STYLE: Final = 4


def measure_joins(texts: list[VisibleText]) -> SensePart:
    """The share of sentences whose small words fit together."""
    reasons: list[SenseFinding] = []
    sentences = 0
    small: list[SenseFinding] = []
    read = 0
    before = ""
    for text in texts:
        if text.role is not TextRole.PROSE:
            continue
        # A sentence may run over several texts: the lines of a verse.
        begins, before = _STOP.search(before[-_END:]) is not None or not before, text.value
        read += 1
        sentences += max(1, len(_SENTENCES.findall(text.value)))
        found = _BROKEN.search(text.value) or _ENDS.search(text.value)
        if found is not None:
            reasons.append(SenseFinding(text.path, "words that do not join", found[0]))
        elif (cut := _CUT.search(text.value)) is not None:
            reasons.append(SenseFinding(text.path, "a cut word", cut[0].strip(" .!?")))
        elif begins and _MIDDLE.match(text.value):
            small.append(SenseFinding(text.path, "a sentence without its beginning", text.value))
    if len(small) < _STYLE or 2 * len(small) < read:
        reasons += small
    if not reasons:
        return SensePart(1.0)
    return SensePart(max(0.0, 1 - _WEIGHT * len(reasons) / max(sentences, _FEW)), reasons)
