"""Label of a picture: where its content comes from, so that no stand-in looks real."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from contracts.result import Origin, ResultBody


class OriginGroup(StrEnum):
    """Origins that share an accent colour; the values are names of the palette."""

    LIVE = "live"
    CACHE = "cache"
    STAND_IN = "stand-in"
    NOTHING = "nothing"
    #: Not told: no accent.
    HIDDEN = "soft"


_GROUPS: Final = {
    Origin.LIVE: OriginGroup.LIVE,
    Origin.CACHE: OriginGroup.CACHE,
    Origin.SCRIPTED: OriginGroup.STAND_IN,
    Origin.GOLDEN_SAMPLE: OriginGroup.STAND_IN,
    Origin.DEFAULT_CONTENT: OriginGroup.STAND_IN,
    Origin.PLACEHOLDER: OriginGroup.STAND_IN,
    Origin.NONE: OriginGroup.NOTHING,
}


class PictureLabel(msgspec.Struct, frozen=True, kw_only=True):
    """What a picture says about its content's source."""

    group: OriginGroup
    #: In a few words: ``stand-in: golden sample lantern_cave``.
    text: str
    #: Why the content is not the model's own.
    reason: str = ""
    request_id: str = ""


def label_of(result: ResultBody) -> PictureLabel:
    """The label of a result's content."""
    return PictureLabel(
        group=_GROUPS[result.origin],
        text=_source(result),
        reason=result.reason or "",
        request_id=result.request_id,
    )


def label_sample(name: str) -> PictureLabel:
    """The label of a golden sample that is drawn for itself."""
    return PictureLabel(group=OriginGroup.STAND_IN, text=f"golden sample {name}")


def label_review() -> PictureLabel:
    """The label of a content under review, which does not tell what wrote it."""
    return PictureLabel(group=OriginGroup.HIDDEN, text="under review: its writer is shown with the score")


def _source(result: ResultBody) -> str:  # noqa: PLR0911 - one sentence for each origin
    name = result.stand_in.name if result.stand_in is not None else ""
    meta = result.meta
    match result.origin:
        case Origin.LIVE:
            return f"live: {meta.provider}/{meta.model}"
        case Origin.CACHE:
            return f"cache: generated for {meta.generated_for}" if meta.generated_for else "cache"
        case Origin.SCRIPTED:
            return "scripted: written for tests, not by a model"
        case Origin.GOLDEN_SAMPLE:
            return f"stand-in: golden sample {name}"
        case Origin.DEFAULT_CONTENT:
            return f"stand-in: prepared content {name}"
        case Origin.PLACEHOLDER:
            return "stand-in: placeholder"
        case Origin.NONE:
            return f"no content: {result.status.replace('_', ' ')}"
