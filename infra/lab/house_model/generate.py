"""Synthetic documents by seed and index.

A document depends on seed and index alone, so that training resumes anywhere and nothing is stored.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from infra.lab.house_model import dialogues, layouts, plots, records, scenes, transitions
from infra.lab.house_model.clues import Fact
from infra.lab.house_model.example import Cast, ExampleDraft
from infra.lab.house_model.wishes import STYLES, wish
from infra.lab.house_model.words import WordPool

GRAMMARS: Final[Mapping[str, Callable[[Cast], ExampleDraft]]] = {
    "layout": layouts.draft,
    "plot": plots.draft,
    "scene": scenes.draft,
    "dialogue": dialogues.draft,
    "transition": transitions.draft,
    "custom": records.draft,
}
#: How often each kind is drawn.
_SHARES: Final = {"layout": 19, "plot": 16, "scene": 18, "dialogue": 16, "transition": 15, "custom": 16}
_STYLE_SHARES: Final = {"keywords": 25, "fields": 30, "sentence": 45}
#: Wishes in lower case without a stop.
_LOWER: Final = 0.2


class TrainingExample(msgspec.Struct, frozen=True, kw_only=True):
    """A wish, the prose that grants it, and the JSON that says the same."""

    kind: str
    style: str
    wish: str
    #: What the wish names.
    facts: tuple[Fact, ...]
    prose: str
    document: dict[str, Any]

    @property
    def json(self) -> str:
        """The document in compact JSON, its fields in the schema's order."""
        return json.dumps(self.document, ensure_ascii=False, separators=(",", ":"))


def example(
    seed: int, index: int, *, unseen: bool = False, kind: str | None = None, style: str | None = None
) -> TrainingExample:
    """The document of a seed and an index.

    Args:
        seed: of the whole collection.
        index: within it.
        unseen: what the wish names is drawn from words that are never trained on.
        kind: one of :data:`GRAMMARS`; drawn when not given.
        style: one of :data:`infra.lab.house_model.wishes.STYLES`; drawn when not given.
    """
    rng = random.Random(f"{seed}:{index}")  # noqa: S311 - synthetic text, no secret
    kind = kind or rng.choices(tuple(_SHARES), tuple(_SHARES.values()))[0]
    style = style or rng.choices(STYLES, [_STYLE_SHARES[name] for name in STYLES])[0]
    lower = rng.random() < _LOWER
    cast = Cast(WordPool(rng, unseen=unseen), style=style, lower=lower)
    draft = GRAMMARS[kind](cast)
    text = wish(kind, draft.clues, rng, style=style, head=draft.head)
    if lower:
        text = text.lower().rstrip(".!")
    heads = draft.head.facts if draft.head else ()
    return TrainingExample(
        kind=kind,
        style=style,
        wish=text,
        facts=(*heads, *(fact for clue in draft.clues for fact in clue.facts)),
        prose=draft.prose,
        document=draft.document,
    )
