"""Cache keys: which requests share content, and under which key it is stored.

A key has two parts: the parts that a designer names, one token each so that a purge can address them, and a
fingerprint of everything else that shapes the content.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from contracts.nodes.node import Strategy
from contracts.policy import fingerprint, key_token

_DAY_S: Final = 86_400
#: Seconds that content is cached, by strategy; ``always`` is not cached.
LIFETIMES: Final[Mapping[Strategy, int]] = {
    Strategy.ONCE: 365 * _DAY_S,
    Strategy.PER_PLAYER: 180 * _DAY_S,
    Strategy.PER_PLAYTHROUGH: 90 * _DAY_S,
}
#: Names of a key's tokens, in order.
TOKENS: Final = ("type", "purpose", "from", "to", "strategy", "seed", "version", "fingerprint")

#: Longest token, characters; a key is part of a subject, whose length the broker limits.
_LONGEST: Final = 120
#: Characters of a longer token that are kept before its digest.
_HEAD: Final = 64
_CODED: Final = re.compile(r"[|%]")
_ENCODED: Final = re.compile(r"%(25|7C)")


class CacheKeyParts(msgspec.Struct, frozen=True, kw_only=True):
    """The readable parts of a key."""

    type: str
    purpose: str = ""
    from_scene: str = ""
    to_scene: str = ""
    strategy: Strategy
    #: The playthrough or the player that shares the content; empty for ``once``.
    owner: str = ""
    version: int = 1

    @property
    def seed(self) -> str:
        """``pt:<playthrough>``, ``player:<player>``, or empty."""
        match self.strategy:
            case Strategy.PER_PLAYTHROUGH:
                return f"pt:{self.owner}"
            case Strategy.PER_PLAYER:
                return f"player:{self.owner}"
            case Strategy.ONCE | Strategy.ALWAYS:
                return ""

    @property
    def tokens(self) -> tuple[str, ...]:
        """The parts in the key's order, unescaped."""
        return (
            self.type,
            self.purpose,
            self.from_scene,
            self.to_scene,
            str(self.strategy),
            self.seed,
            str(self.version),
        )

    def __str__(self) -> str:
        """Readable form, such as ``transition|gap_fill|s1|s2|per_playthrough|pt:p-1|1``.

        ``|`` and ``%`` within a part are percent-encoded; ``once`` has no seed part.
        """
        shown = [_encode_part(each) for each in self.tokens]
        if self.strategy is Strategy.ONCE:
            del shown[5]
        return "|".join(shown)


class CacheKey(msgspec.Struct, frozen=True, kw_only=True):
    """A request's key in the result cache."""

    #: Key in the KV bucket.
    key: str
    #: Keys of older schemes under which an entry may still exist.
    older: tuple[str, ...] = ()
    #: Lifetime of an entry, seconds.
    ttl_s: int
    #: Id of the node, for purges by node.
    node: str | None = None


def escape(part: str) -> str:
    """A part as one token of a NATS key; different parts give different tokens.

    Letters, digits, ``_`` and ``-`` stay; every other byte of UTF-8 becomes ``=`` and two hex digits; an empty part
    becomes ``=``.  A token longer than 120 characters is cut and ends in ``==`` and 32 digits of its SHA-256.
    """
    token = key_token.escape(part, digits="02X")
    if len(token) > _LONGEST:
        return f"{token[:_HEAD]}=={fingerprint.digest_text(part)[:32]}"
    return token or "="


def key_v1(parts: CacheKeyParts, shaping: Mapping[str, Any]) -> str:
    """The key in the KV bucket: eight tokens joined by ``.``.

    Args:
        parts: the readable parts.
        shaping: everything else that shapes the content, as JSON values; the order of keys does not matter.
    """
    content = {"scheme": 1, "parts": parts.tokens, "shaping": shaping}
    return ".".join((*map(escape, parts.tokens), fingerprint.digest(content)[:32]))


#: Function from parts and shaping to a key.
Scheme = Callable[[CacheKeyParts, Mapping[str, Any]], str]
#: The scheme for writing, then those that are still read; an old scheme is read for one release.
SCHEMES: Final[tuple[Scheme, ...]] = (key_v1,)


def build_key(
    parts: CacheKeyParts,
    shaping: Mapping[str, Any],
    *,
    node: str | None,
    schemes: tuple[Scheme, ...] = SCHEMES,
) -> CacheKey:
    """The cache key of a request.

    Raises:
        KeyError: the strategy does not cache.
    """
    key, *older = (scheme(parts, shaping) for scheme in schemes)
    return CacheKey(key=key, older=tuple(older), ttl_s=LIFETIMES[parts.strategy], node=node)


def _encode_part(part: str) -> str:
    return _CODED.sub(lambda found: f"%{ord(found[0]):02X}", part)


def matches(key: str, pattern: str, *, whole: bool = False) -> bool:
    """Whether a pattern matches a key.

    Args:
        key: a key in the bucket.
        pattern: the key itself, its readable form, or the first parts of either; parts match as a whole.
        whole: require all parts, not only the first ones.
    """
    tokens, prefix = key.split("."), _parse_pattern(pattern)
    complete = len(prefix) >= len(TOKENS) - 1
    return tokens[: len(prefix)] == prefix and (complete or not whole)


def _parse_pattern(pattern: str) -> list[str]:
    if "|" not in pattern:
        return pattern.split(".") if "." in pattern else [escape(_decode_part(pattern))]
    parts = [_decode_part(part) for part in pattern.split("|")]
    at = TOKENS.index("seed")
    if len(parts) == at + 1 and parts[at - 1] == Strategy.ONCE:
        parts.insert(at, "")
    return [escape(part) for part in parts]


def _decode_part(shown: str) -> str:
    return _ENCODED.sub(lambda found: chr(int(found[1], 16)), shown)
