"""Names that are clauses: a sentence in the place of a name, a speaker or a title."""

from __future__ import annotations

import re
from typing import Final

from stages.validate_repair.sense.part import SenseFinding, SensePart
from stages.validate_repair.sense.texts import TextRole, VisibleText

#: A full stop that ends a sentence: not an ellipsis, an initial or an abbreviation.
_FULL_STOP: Final = re.compile(r"[^\W\d_]{4,}[.][\"'\u201d\u2019)]*\Z")
_VERB: Final = re.compile(
    r"\b(?:is|are|was|were|has|had|does|did|will|would|can|could|should|must|isn't|don't)\b"
)
_STARTS_SMALL: Final = re.compile(
    r"(?:a|an|and|are|as|at|by|for|from|he|i|in|into|is|it|its|not|of|on|or|our|she|that|the|their|then|there|they|"
    r"this|to|was|we|were|what|when|where|who|with|you|your)\s"
)
_CLAUSE: Final = re.compile(r"(?:It|He|She|They|We|You|There|This|That)\s+[a-z]+s?\s")
#: Characters at the end of a name that are looked at for a full stop.
_END: Final = 40
#: Blanks of a sentence at least: "Warner Bros." is a name.
_SENTENCE: Final = 2
#: Blanks of the longest name of somebody.
_LONGEST: Final = 7
#: What a document of nothing but such names loses.
_WEIGHT: Final = 0.6
#: The same for titles and names of things.
_TITLE_WEIGHT: Final = 0.3
#: The same for phrases: one may be what the wish calls somebody, such as "the oak door".
_PHRASE_WEIGHT: Final = 0.2


def measure_names(texts: list[VisibleText]) -> SensePart:
    """The share of names that are names."""
    reasons: list[SenseFinding] = []
    names: set[tuple[TextRole, str]] = set()
    weight = 0.0
    for text in texts:
        if text.role not in (TextRole.PERSON, TextRole.NAME):
            continue
        each = (text.role, text.value)
        if each not in names and (fault := _fault(text)) is not None:
            weight += fault[1]
            reasons.append(SenseFinding(text.path, fault[0], text.value))
        names.add(each)
    return SensePart(1 - weight / max(1, len(names)), reasons)


def _fault(text: VisibleText) -> tuple[str, float] | None:
    """What is wrong with a name, and how much it weighs."""
    value = text.value.strip()
    if value.count(" ") >= _SENTENCE and _FULL_STOP.search(value[-_END:]):
        # A title that repeats the wish is dull and not broken.
        return "a sentence in place of a name", _WEIGHT if text.role is TextRole.PERSON else _TITLE_WEIGHT
    if text.role is not TextRole.PERSON:
        return None
    if _VERB.search(value) or _CLAUSE.match(value):
        return "a clause in place of a name", _WEIGHT
    if _STARTS_SMALL.match(value):
        return "a phrase in place of a name", _PHRASE_WEIGHT
    return ("too long for a name", _WEIGHT) if value.count(" ") >= _LONGEST else None
