"""Trace context of a message.

Source: W3C Trace Context, ``traceparent``.
"""

from __future__ import annotations

import random
import re

_VALID = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def child_of(traceparent: str | None) -> str:
    """A new span in the trace of ``traceparent``, or a new trace where that is missing or broken."""
    span = f"{random.getrandbits(64) or 1:016x}"
    if traceparent is not None and _VALID.fullmatch(traceparent):
        return f"{traceparent[:36]}{span}{traceparent[52:]}"
    return f"00-{random.getrandbits(128) or 1:032x}-{span}-01"
