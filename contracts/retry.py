"""Retry back-off."""

from __future__ import annotations

from contracts.policy import fingerprint


def backoff(attempt: int, *, base_s: float = 0.5, cap_s: float = 30.0, key: str = "") -> float:
    """Seconds to wait before an attempt: exponential, capped, with up to a quarter of jitter.

    Args:
        attempt: attempts so far, from 1.
        base_s: wait after the first attempt.
        cap_s: longest wait, including jitter.
        key: spreads concurrent attempts; the same key and attempt give the same wait.
    """
    if attempt < 1:
        raise ValueError("attempt counts from 1")
    wait = base_s * 2.0 ** min(attempt - 1, 32)
    spread = fingerprint.pick(1000, key, str(attempt)) / 4000
    return min(cap_s, wait * (1 + spread))
