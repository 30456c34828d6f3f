"""How long is a retry put off?"""

from __future__ import annotations

from contracts.policy import fingerprint


def backoff(attempt: int, *, base_s: float = 0.5, cap_s: float = 30.0, key: str = "") -> float:
    """Seconds to wait before a try: exponential, capped, with a jitter of up to a quarter.

    Args:
        attempt: tries so far, from 1.
        base_s: wait after the first try.
        cap_s: longest wait, jitter included.
        key: spreads equal attempts apart; the same key and attempt give the same wait.
    """
    if attempt < 1:
        raise ValueError("attempt counts from 1")
    wait = base_s * 2.0 ** min(attempt - 1, 32)
    spread = fingerprint.pick(1000, key, str(attempt)) / 4000
    return min(cap_s, wait * (1 + spread))
