"""Smooth curve through points that never goes beyond them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from infra.pictures.svg import number

Point = tuple[float, float]


def curve_path(points: Sequence[Point]) -> str:
    """The path data of a curve through points from left to right.

    Its slopes are those of a monotone cubic interpolation (F. N. Fritsch and R. E. Carlson, 1980), so that it is
    never higher or lower than the points on both sides.
    """
    if not points:
        return ""
    path = f"M{number(points[0][0])} {number(points[0][1])}"
    slopes = _slopes(points)
    for ((x0, y0), (x1, y1)), (m0, m1) in zip(pairwise(points), pairwise(slopes), strict=True):
        third = (x1 - x0) / 3
        path += (
            f"C{number(x0 + third)} {number(y0 + m0 * third)} {number(x1 - third)} {number(y1 - m1 * third)} "
            f"{number(x1)} {number(y1)}"
        )
    return path


def _slopes(points: Sequence[Point]) -> list[float]:
    steps = [(y1 - y0) / (x1 - x0) for (x0, y0), (x1, y1) in pairwise(points) if x1 > x0]
    if len(steps) != len(points) - 1 or not steps:
        return [0.0] * len(points)
    inner = [
        0.0 if before * after <= 0 else 2 * before * after / (before + after)
        for before, after in pairwise(steps)
    ]
    return [steps[0], *inner, steps[-1]]
