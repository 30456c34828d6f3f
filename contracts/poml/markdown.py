"""Markdown of parts: boxes with the space that each wants around it, as POML's own writer joins them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from contracts.poml.allowance import Allowance
from contracts.poml.evaluation import MARK
from contracts.poml.parts import Part

_SPACES: Final = re.compile(r"[ \t]*")
_BREAKS: Final = re.compile(r"\n+")
_BULLETS: Final = {"star": "* ", "dash": "- ", "plus": "+ "}
_AROUND: Final = {"b": "**", "i": "*", "code": "`"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a part is in the text; the end is its last character."""

    part: Part
    start: int
    end: int


@dataclass(slots=True)
class Box:
    """A text, the space that it wants before and after, and the places of the parts in it."""

    text: str
    before: str = ""
    after: str = ""
    places: list[Place] = field(default_factory=list[Place])


def write(part: Part, allowance: Allowance) -> Box:
    """Write a part and all that is in it.

    Raises:
        Unfit: it has too many characters.
    """
    match part.kind:
        case "list":
            return _list(part, allowance)
        case "nl":
            return Box("\n", places=[Place(part, 0, 0)])
        case "foreign":
            return _framed(Box(f"{MARK}{part.option}{MARK}"), "\n", part)
        case kind:
            return _write_joined(part, kind, _joined(part.content, allowance))


def _write_joined(part: Part, kind: str, box: Box) -> Box:
    match kind:
        case "b" | "i" | "code":
            return _wrapped(box, _AROUND[kind], _AROUND[kind], part)
        case "env" | "span":
            return _framed(box, "", part)
        case "h":
            return _framed(_wrapped(box, f"{'#' * int(part.option)} ", "", None), "\n\n", part)
        case "fence":
            return _framed(_wrapped(box, f"```{part.option}\n", "\n```", None), "\n\n", part)
        case _:
            return _framed(box, "\n\n" if part.blank else "\n", part)


def _list(part: Part, allowance: Allowance) -> Box:
    boxes: list[Box] = []
    number = 0
    for each in part.content:
        if isinstance(each, str):
            boxes.append(_framed(Box(each), "", Part("text")))
        elif each.kind != "item":
            boxes.append(write(each, allowance))
        else:
            number += 1
            boxes.append(_item(each, str(part.option), number, allowance))
    return _framed(_concatenated(boxes, allowance), "\n\n", part)


def _item(part: Part, style: str, number: int, allowance: Allowance) -> Box:
    latin = f"{chr(ord('a') + number - 1)}. "
    bullet = _BULLETS.get(style) or (latin if style == "latin" else f"{number}. ")
    box = _wrapped(_joined(part.content, allowance), bullet, "", part)
    blank = "\n\n" in box.text
    allowance.characters(box.text.count("\n") * len(bullet))
    first, *others = box.text.split("\n")
    box.text = "\n".join([first, *(f"{' ' * len(bullet)}{each}" if each else each for each in others)])
    return _framed(box, "\n\n" if blank else "\n", part)


def _joined(content: Sequence[str | Part], allowance: Allowance) -> Box:
    boxes = [Box(each) if isinstance(each, str) else write(each, allowance) for each in content]
    return _concatenated(boxes, allowance)


def _concatenated(boxes: list[Box], allowance: Allowance) -> Box:
    kept = _without_spaces(boxes, allowance)
    places: list[Place] = []
    texts: list[str] = []
    length = 0
    for index, each in enumerate(kept):
        places += _moved(each.places, length)
        space = _shared(each.after, kept[index + 1].before) if index < len(kept) - 1 else ""
        texts += (each.text, space)
        length += len(each.text) + len(space)
    allowance.characters(length)
    return Box("".join(texts), kept[0].before if kept else "", kept[-1].after if kept else "", places)


def _without_spaces(boxes: list[Box], allowance: Allowance) -> list[Box]:
    """The boxes without the empty ones beside blocks; repeated until there are no more."""
    while True:
        allowance.step(len(boxes))
        kept = [
            each
            for index, each in enumerate(boxes)
            if not (
                _SPACES.fullmatch(each.text)
                and (
                    (index > 0 and (boxes[index - 1].after or _BREAKS.fullmatch(boxes[index - 1].text)))
                    or (
                        index < len(boxes) - 1
                        and (boxes[index + 1].before or _BREAKS.fullmatch(boxes[index + 1].text))
                    )
                )
            )
        ]
        if len(kept) == len(boxes):
            return kept
        boxes = kept


def _framed(box: Box, space: str, part: Part) -> Box:
    return Box(
        box.text,
        _shared(space, box.before),
        _shared(box.after, space),
        [*box.places, Place(part, 0, len(box.text) - 1)],
    )


def _wrapped(box: Box, before: str, after: str, part: Part | None) -> Box:
    text = f"{before}{box.text}{after}"
    places = _moved(box.places, len(before))
    if part is not None:
        places.append(Place(part, 0, len(text) - 1))
    return Box(text, box.before, box.after, places)


def _moved(places: Sequence[Place], by: int) -> list[Place]:
    return [Place(each.part, each.start + by, each.end + by) for each in places] if by else list(places)


def _shared(one: str, other: str) -> str:
    """The larger of two spaces, both of line breaks alone."""
    return max(one, other, key=len)
