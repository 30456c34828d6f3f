"""Quality of a valid document: how it follows the request, whether its texts make sense, and the bar.

The score is the product of three shares, each 0 to 1:

- how the document was found: 1, 0.9 after a repair, 0.8 after a re-ask;
- how it follows: 0.8, and 0.1 each for the words of the request that are in the document and the words of the
  document that are in the prose that it was made from (words of four letters and more, without a final ``s``);
- how much sense its texts make (:mod:`stages.validate_repair.sense.measure`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

import msgspec

from contracts import events as ev
from contracts.nodes import required_terms
from contracts.policy.quoting import extract_last_quote
from contracts.result import RepairLevel
from stages.validate_repair.sense.measure import measure
from stages.validate_repair.sense.words import EveryWord, Vocabulary

_WORD: Final = re.compile(r"[^\W\d_]{4,}")
#: Words of a wish that are about the wish.
_EMPTY: Final = frozenset(
    _WORD.findall(
        "about after also between each from have into make must need please should some that their then "
        "there they this want with without would write your"
    )
)
_WORTH: Final = {
    RepairLevel.CONSTRAINED: 1.0,
    RepairLevel.PARSED: 1.0,
    RepairLevel.REPAIRED: 0.9,
    RepairLevel.RE_ASKED: 0.8,
}
_FOLLOWS: Final = 0.8
_KEPT: Final = 0.1
_TRUE: Final = 0.1
#: Kinds whose texts are prose; a document under another schema may be about code.
_PROSE: Final = frozenset({"layout", "plot", "scene", "dialogue", "transition"})
#: Reasons in a failure and in a warning.
_SAID: Final = 4


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """How good a document is."""

    #: 0 to 1, to three digits.
    score: float
    #: What takes from the score, one short line each, with the path.
    reasons: tuple[str, ...] = ()

    def below(self, bar: float) -> str:
        """Why a document below the bar is refused, for people."""
        why = "; ".join(self.reasons[:_SAID]) or "it follows neither the request nor its draft"
        return f"quality {self.score:g} is below the bar of {bar:g}: {why}"


class QualityGate(msgspec.Struct, frozen=True, kw_only=True):
    """What a document's quality is measured by, and the bar of each kind."""

    #: The word list; without one every word exists.
    vocabulary: Vocabulary = EveryWord()
    #: The lowest score of each kind; 0, or a kind without a bar: everything passes.
    bars: Mapping[str, float] = {}

    def bar(self, kind: str) -> float:
        """The lowest score of a kind."""
        return self.bars.get(kind, 0.0)

    def assess(self, document: Any, *, kind: str, event: ev.Structured, level: RepairLevel) -> Quality:
        """The quality of a valid document.

        Args:
            document: the document, repaired.
            kind: its kind.
            event: the event that it came with.
            level: how it became valid.
        """
        brief = event.brief
        return assess(
            document,
            wish=extract_last_quote(brief.prompt),
            draft=event.draft.text,
            level=level,
            vocabulary=self.vocabulary,
            prose=kind in _PROSE,
            fixed=frozenset(required_terms.iter_strings([brief.schema, brief.settled])),
        )


def assess(
    document: Any,
    *,
    wish: str,
    draft: str,
    level: RepairLevel,
    vocabulary: Vocabulary = EveryWord(),  # noqa: B008 - it has no state
    prose: bool = True,
    fixed: Collection[str] = (),
) -> Quality:
    """The quality of a valid document.

    Args:
        document: the document.
        wish: the request's text.
        draft: the prose that the document was made from.
        level: how it became valid.
        vocabulary: the word list.
        prose: whether the kind is made of prose.
        fixed: texts that the request's schema gives.
    """
    words = _words(required_terms.join_texts(document).replace("_", " "))
    kept = _share(_words(wish) - _EMPTY, words)
    true = _share(words, _words(draft))
    sense = measure(document, wish=wish, vocabulary=vocabulary, prose=prose, fixed=fixed)
    follows = _FOLLOWS + _KEPT * kept + _TRUE * true
    return Quality(score=round(_WORTH[level] * follows * sense.share, 3), reasons=sense.reasons)


def _share(wanted: set[str], found: set[str]) -> float:
    return len(wanted & found) / len(wanted) if wanted else 1.0


def _words(text: str) -> set[str]:
    return {word.removesuffix("s") for word in _WORD.findall(text.lower())}
