"""Seeds: the published function from a request to its seed.

docs/seeds.md publishes the function with test vectors: it never changes, and other languages can implement it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from contracts.nodes.node import SeedSource, Strategy
from contracts.policy.cache_key import CacheKeyParts

#: Upper bound, exclusive: every JSON reader accepts smaller integers.
BELOW: Final = 2**53
_NAME: Final = "understudy-seed-1"


def derive(parts: CacheKeyParts, source: SeedSource, owner: str) -> int:
    """Compute the seed of a generation, from 0 to 2^53 - 1.

    Args:
        parts: type, purpose, scenes, strategy and version of the node; ``parts.owner`` is ignored.
        source: the seed source.
        owner: the playthrough for ``playthrough``, the player for ``player``, the time for ``timestamp``;
            ignored for ``fixed``.

    Source: netstrings (D. J. Bernstein, 1997) separate the parts, SHA-256 spreads them.
    """
    fields = (
        _NAME,
        str(parts.strategy),
        str(source),
        "" if source is SeedSource.FIXED else owner,
        parts.type,
        parts.purpose,
        parts.from_scene,
        parts.to_scene,
        str(parts.version),
    )
    digest = hashlib.sha256(_netstrings(fields)).digest()
    return int.from_bytes(digest[:8], "big") >> 11


def default_source(strategy: Strategy) -> SeedSource:
    """The seed source of a node that names none."""
    match strategy:
        case Strategy.ONCE:
            return SeedSource.FIXED
        case Strategy.PER_PLAYTHROUGH:
            return SeedSource.PLAYTHROUGH
        case Strategy.PER_PLAYER:
            return SeedSource.PLAYER
        case Strategy.ALWAYS:
            return SeedSource.TIMESTAMP


def _netstrings(parts: Iterable[str]) -> bytes:
    raw = (part.encode("utf-8", "surrogatepass") for part in parts)
    return b"".join(b"%d:%s," % (len(each), each) for each in raw)
