"""What a report of reviews groups results by."""

from __future__ import annotations

from enum import StrEnum


class ReviewGrouping(StrEnum):
    """A fact of results."""

    PROMPT_VERSION = "prompt_version"
    MODEL = "model"
    NODE = "node"
    KIND = "kind"
    ARM = "arm"
