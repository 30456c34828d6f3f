"""Which seed does a request get?

docs/seeds.md publishes the function with vectors: it never changes, and another language can have it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from contracts.nodes.node import SeedSource, Strategy
from contracts.policy.cache_key import CacheKeyParts

#: Seeds are below this: every JSON reader takes them.
BELOW: Final = 2**53
_NAME: Final = "understudy-seed-1"


def derive(parts: CacheKeyParts, source: SeedSource, owner: str) -> int:
    """The seed of a node's generation, from 0 to 2^53 - 1.

    Args:
        parts: type, purpose, scenes, strategy and version of the node; ``parts.owner`` does not count.
        source: what the seed is made from.
        owner: the playthrough for ``playthrough``, the player for ``player``, the moment for ``timestamp``;
            for ``fixed`` it does not count.

    Source: netstrings (D. J. Bernstein, 1997) keep the parts apart, SHA-256 spreads them.
    """
    said = (
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
    digest = hashlib.sha256(_netstrings(said)).digest()
    return int.from_bytes(digest[:8], "big") >> 11


def fitting(strategy: Strategy) -> SeedSource:
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
