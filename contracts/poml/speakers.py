"""Messages: which speaker says which section of the text, as POML's own writer assigns them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from contracts.poml.markdown import Box, Place
from contracts.poml.parts import Part


@dataclass(frozen=True, slots=True)
class Spoken:
    """A section of the text, its last character included, with its speaker."""

    start: int
    end: int
    speaker: str


class _Assignment:
    def __init__(self, places: Sequence[Place]) -> None:
        self._places: dict[int, Place] = {}
        for each in places:
            self._places.setdefault(id(each.part), each)
        self.default = "system"
        self.system = False
        self.sections: list[Spoken] = []

    def assign(self, part: Part, inherited: str) -> None:
        self.system |= part.speaker == "system"
        if part.speaker == "human":
            self.default = "human"
        place = self._places.get(id(part))
        if place is not None:
            speaker = part.speaker or inherited or self.default
            self.sections.append(Spoken(place.start, place.end, speaker))
        inherited = part.speaker or inherited
        for each in part.content:
            if isinstance(each, Part):
                # A speaker is inherited by those that follow, too.
                inherited = each.speaker or inherited
                self.assign(each, inherited)


def messages(root: Part, box: Box) -> tuple[tuple[str, str], ...]:
    """Speaker and content of each message; messages without content are left out."""
    assignment = _Assignment(box.places)
    assignment.assign(root, "")
    sections = _sections(assignment.sections)
    if len(sections) == 1 and sections[0].speaker == "system" and not assignment.system:
        sections = [Spoken(sections[0].start, sections[0].end, "human")]
    edges = sorted({0, len(box.text)} | {at for each in box.places for at in (each.start, each.end + 1)})
    made = ((each.speaker, _content(box.text, edges, each)) for each in sections)
    return tuple((speaker, content) for speaker, content in made if content)


def _sections(spoken: Sequence[Spoken]) -> list[Spoken]:
    edges = sorted({at for each in spoken for at in (each.start, each.end)})
    indices = {at: index for index, at in enumerate(edges)}
    speakers = ["system"] * len(edges)
    for each in spoken:
        for index in range(indices[each.start], indices[each.end] + 1):
            speakers[index] = each.speaker
    made: list[Spoken] = []
    for at, speaker in zip(edges, speakers, strict=True):
        if made and made[-1].speaker == speaker:
            made[-1] = Spoken(made[-1].start, at, speaker)
        else:
            made.append(Spoken(at, at, speaker))
    return made


def _content(text: str, edges: Sequence[int], section: Spoken) -> str:
    """The pieces of the text between edges that are wholly in a section."""
    start = edges[bisect_left(edges, section.start)]
    last = bisect_left(edges, section.end + 2) - 1
    return text[start : max(edges[last], start)]
