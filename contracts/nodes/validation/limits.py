"""Thresholds of the validation warnings.

Each figure is a threshold of one check; none of them blocks a node.
"""

from __future__ import annotations

from typing import Final

#: Seconds; anything shorter is too short to notice.
SHORTEST_S: Final = 3
#: Seconds; more is a scene of its own.  A transition's document cannot last longer than 600.
LONGEST_S: Final = 300
#: Required elements, avoided elements and content rules together; with more, drafts miss some.
MOST_CONSTRAINTS: Final = 12
#: Highest complexity score that models usually satisfy.
MOST_COMPLEX: Final = 15
#: Seconds of duration span that count as much as one rule.
SPAN_STEP_S: Final = 10
#: Further attempts of mode ``retry`` that are worth their money.
MOST_RETRIES: Final = 3
#: Milliseconds that all waits of mode ``retry`` may take together.
LONGEST_WAIT_MS: Final = 60_000
#: Milliseconds; a node whose p95 is above it is slow even for a large model on one GPU (15 to 45 s).
SLOWEST_P95_MS: Final = 45_000
#: Kinds whose documents take a model longest: many parts, or long prose.
HEAVY_KINDS: Final = ("layout", "plot", "scene", "transition")


def complexity(*, rules: int, required: int, span_s: float) -> float:
    """Complexity score of a node: rules + required elements + the duration's span.

    Args:
        rules: how many content rules there are.
        required: how many elements must be named.
        span_s: seconds between the shortest and the longest duration; each 10 s count as one.
    """
    return rules + required + max(0.0, span_s) / SPAN_STEP_S
