"""Which headers make a message of a stream the entry of a bucket?

Source: ADR-8 (key-value) and ADR-43 (per-message TTL) of NATS.
"""

from __future__ import annotations

from typing import Final

OPERATION: Final = "KV-Operation"
TTL: Final = "Nats-TTL"
#: Seconds that the mark of a purge stays: whoever lists meanwhile sees it.
_MARK_S: Final = 60
PURGE: Final = {OPERATION: "PURGE", "Nats-Rollup": "sub", TTL: f"{_MARK_S}s"}


def ttl(seconds: int) -> str:
    """A life of at least a second, as the broker reads it."""
    return f"{max(1, seconds)}s"
