"""Rate limit by the generic cell rate algorithm (GCRA, ITU-T I.371): one time-stamp for each sender, no timers."""

from __future__ import annotations

import math
from typing import Final

import msgspec

#: Share of an interval below which two times are the same; floating-point seconds are not exact.
_SAME: Final = 1e-6


class Quota(msgspec.Struct, frozen=True, kw_only=True):
    """How much a sender may do."""

    #: Requests per second, over a long time.
    per_s: float
    #: Requests at once, after a pause.
    burst: int

    @property
    def window_s(self) -> int:
        """Seconds after which the whole burst is available again, rounded up."""
        return max(1, math.ceil(self.burst / self.per_s))


class RateVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the limit says of one request."""

    admitted: bool
    #: The sender's time-stamp afterwards: when its whole burst is available again.
    full_at_s: float
    #: Requests that it may send at once now.
    remaining: int
    #: Seconds until the next one is admitted; 0: now.
    wait_s: float


def admit(quota: Quota, full_at_s: float, now_s: float) -> RateVerdict:
    """Judge one request.

    Args:
        quota: what the sender may do.
        full_at_s: its time-stamp; anything in the past, such as 0, for one that has sent nothing.
        now_s: the time, of a clock that does not go back.

    Returns:
        the verdict; a request that is refused costs nothing.
    """
    interval_s = 1 / quota.per_s
    whole_s = quota.burst * interval_s
    after_s = max(full_at_s, now_s) + interval_s
    late_s = after_s - now_s - whole_s
    if late_s > interval_s * _SAME:
        return RateVerdict(admitted=False, full_at_s=full_at_s, remaining=0, wait_s=late_s)
    left = (now_s + whole_s - after_s) / interval_s
    remaining = max(0, math.floor(left + _SAME))
    wait_s = 0.0 if remaining else max(0.0, (1 - left) * interval_s)
    return RateVerdict(admitted=True, full_at_s=after_s, remaining=remaining, wait_s=wait_s)
