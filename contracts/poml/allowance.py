"""Bounds of one rendering."""

from __future__ import annotations

from contracts.poml import limits
from contracts.poml.fault import Unfit


class Allowance:
    """Steps and characters that one rendering may still use."""

    def __init__(self) -> None:
        self._steps, self._output = limits.STEPS, limits.OUTPUT

    def step(self, count: int = 1) -> None:
        """Use up steps.

        Raises:
            Unfit: there are none left.
        """
        self._steps -= count
        if self._steps < 0:
            raise Unfit(f"takes more than {limits.STEPS:,} steps; loop over less")

    def characters(self, count: int) -> None:
        """Use up characters, before they are made.

        Raises:
            Unfit: there are none left.
        """
        self._output -= count
        if self._output < 0:
            raise Unfit(f"makes more than {limits.OUTPUT:,} characters; print less")
