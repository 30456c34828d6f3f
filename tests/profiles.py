"""Hypothesis profiles ``ci`` and ``long``: how many examples a property gets, and which ones.

``ci`` repeats the same examples in every run, so that a red run is about the change and nothing else;
``long`` draws new ones, twenty times as many.  Neither looks at the clock.
"""

from __future__ import annotations

from typing import Final

from hypothesis import HealthCheck, settings

#: Examples per property in CI, unless it asks for another number.
USUAL: Final = 100
#: How many times as many a long run tries.
LONGER: Final = 20


def register() -> None:
    """Register both profiles and load ``ci``; pytest's ``--hypothesis-profile`` loads another one."""
    clockless = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
    settings.register_profile("ci", clockless, max_examples=USUAL, derandomize=True)
    settings.register_profile("long", clockless, max_examples=USUAL * LONGER, derandomize=False)
    settings.load_profile("ci")


def examples(in_ci: int) -> settings:
    """Settings of a property that needs another number of examples than the usual one.

    Args:
        in_ci: fewer where each is expensive, more where the space is large.
    """
    return settings(max_examples=in_ci * settings().max_examples // USUAL)
