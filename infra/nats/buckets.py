"""Headers that make a message of a stream the entry of a bucket.

Source: ADR-8 (key-value) and ADR-43 (per-message TTL) of NATS.
"""

from __future__ import annotations

from typing import Final

OPERATION: Final = "KV-Operation"
TTL: Final = "Nats-TTL"
#: Seconds for which the marker of a purge stays: a listing that runs meanwhile sees it.
_MARKER_S: Final = 60
PURGE: Final = {OPERATION: "PURGE", "Nats-Rollup": "sub", TTL: f"{_MARKER_S}s"}


def ttl(seconds: int) -> str:
    """Format a lifetime as the broker reads it; at least one second."""
    return f"{max(1, seconds)}s"
