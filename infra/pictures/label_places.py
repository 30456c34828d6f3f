"""Places of names in a drawing: beside what they name, and over nothing else."""

from __future__ import annotations

from typing import Final

#: Height of a name, and its distance to what it names.
_HIGH: Final = 13
_GAP: Final = 5


class LabelPlaces:
    """The places that are taken already.

    Args:
        left: edge of the drawing.
        top: edge of the drawing.
        right: edge of the drawing.
        bottom: edge of the drawing.
    """

    def __init__(self, left: float, top: float, right: float, bottom: float) -> None:
        self._edges = (left, top, right, bottom)
        self._taken: list[tuple[float, float, float, float]] = []

    def occupy(self, left: float, top: float, width: float, height: float) -> None:
        """Take a place."""
        self._taken.append((left, top, left + width, top + height))

    def find(
        self, left: float, top: float, width: float, height: float, wide: float
    ) -> tuple[float, float] | None:
        """Find a place for a name, take it, and give its middle and baseline; ``None``: there is none.

        Args:
            left: of what is named.
            top: as above.
            width: as above.
            height: as above.
            wide: width of the name.
        """
        middle, centre = left + width / 2, top + height / 2
        for x, y in (
            (middle, top - _GAP - _HIGH),
            (middle, top + height + _GAP - 2),
            (left + width + _GAP + wide / 2, centre - _HIGH / 2),
            (left - _GAP - wide / 2, centre - _HIGH / 2),
            (left + wide / 2, top - _GAP - _HIGH),
            (left + wide / 2, top + height + _GAP - 2),
        ):
            x = min(max(x, self._edges[0] + wide / 2 + 2), self._edges[2] - wide / 2 - 2)  # noqa: PLW2901 - kept inside
            box = (x - wide / 2 - 2, y, x + wide / 2 + 2, y + _HIGH)
            if box[1] >= self._edges[1] and box[3] <= self._edges[3] and not self._meets(box):
                self._taken.append(box)
                return x, y + _HIGH - 3
        return None

    def _meets(self, box: tuple[float, float, float, float]) -> bool:
        left, top, right, bottom = box
        return any(left < x1 and right > x0 and top < y1 and bottom > y0 for x0, y0, x1, y1 in self._taken)
