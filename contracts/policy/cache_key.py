"""Which requests get the same content, and under which key is it kept?

A key has two parts: what a designer names (B4's form, one token each, so that a purge can ask for them) and
a fingerprint of everything else that shapes the content.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from contracts.nodes.node import Strategy
from contracts.policy import fingerprint, key_token

_DAY_S: Final = 86_400
#: Seconds that content is kept, by strategy; ``always`` is not kept.
LIFETIMES: Final[Mapping[Strategy, int]] = {
    Strategy.ONCE: 365 * _DAY_S,
    Strategy.PER_PLAYER: 180 * _DAY_S,
    Strategy.PER_PLAYTHROUGH: 90 * _DAY_S,
}
#: Names of a key's tokens, in order.
TOKENS: Final = ("type", "purpose", "from", "to", "strategy", "seed", "version", "fingerprint")

#: Longest token, characters; a key travels in a subject, which the broker bounds.
_LONGEST: Final = 120
#: What is left of a longer one, before its digest.
_HEAD: Final = 64
_CODED: Final = re.compile(r"[|%]")
_ENCODED: Final = re.compile(r"%(25|7C)")


class CacheKeyParts(msgspec.Struct, frozen=True, kw_only=True):
    """What B4's form of a key names."""

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
        """B4's form, such as ``transition|gap_fill|s1|s2|per_playthrough|pt:p-1|1``.

        A part's own ``|`` and ``%`` are percent-encoded; ``once`` has no seed part.
        """
        shown = [_shown(each) for each in self.tokens]
        if self.strategy is Strategy.ONCE:
            del shown[5]
        return "|".join(shown)


class CacheKey(msgspec.Struct, frozen=True, kw_only=True):
    """A request's place in the result cache."""

    #: Key in the KV bucket.
    key: str
    #: Keys of older schemes under which it may still be kept.
    older: tuple[str, ...] = ()
    #: Seconds that an entry lives.
    ttl_s: int
    #: The node's own name, for a purge by node.
    node: str | None = None


def escape(part: str) -> str:
    """A part as one token of a NATS key; different parts give different tokens.

    Letters, digits, ``_`` and ``-`` stay; every other byte of UTF-8 becomes ``=`` and two hex digits; nothing
    becomes ``=``.  What is longer than 120 characters is cut, and ends in ``==`` and 32 digits of its SHA-256.
    """
    token = key_token.escape(part, digits="02X")
    if len(token) > _LONGEST:
        return f"{token[:_HEAD]}=={fingerprint.digest_text(part)[:32]}"
    return token or "="


def key_v1(parts: CacheKeyParts, shaping: Mapping[str, Any]) -> str:
    """The key in the KV bucket: eight tokens joined by ``.``.

    Args:
        parts: what B4 names.
        shaping: everything else that shapes the content, as JSON values; the order of keys does not matter.
    """
    all_of_it = {"scheme": 1, "parts": parts.tokens, "shaping": shaping}
    return ".".join((*map(escape, parts.tokens), fingerprint.digest(all_of_it)[:32]))


#: How a key is made of parts and shaping.
Scheme = Callable[[CacheKeyParts, Mapping[str, Any]], str]
#: The scheme that is written, then those that are still read; an old one stays for one release (E15).
SCHEMES: Final[tuple[Scheme, ...]] = (key_v1,)


def slot(
    parts: CacheKeyParts,
    shaping: Mapping[str, Any],
    *,
    node: str | None,
    schemes: tuple[Scheme, ...] = SCHEMES,
) -> CacheKey:
    """The place of a request in the cache.

    Raises:
        KeyError: its strategy keeps nothing.
    """
    key, *older = (scheme(parts, shaping) for scheme in schemes)
    return CacheKey(key=key, older=tuple(older), ttl_s=LIFETIMES[parts.strategy], node=node)


def _shown(part: str) -> str:
    return _CODED.sub(lambda found: f"%{ord(found[0]):02X}", part)


def matches(key: str, pattern: str, *, whole: bool = False) -> bool:
    """Whether a key is meant.

    Args:
        key: a key in the bucket.
        pattern: the key itself, B4's form of it, or the first parts of either; parts are taken whole.
        whole: all parts must be named, not only the first.
    """
    tokens, wanted = key.split("."), _wanted(pattern)
    complete = len(wanted) >= len(TOKENS) - 1
    return tokens[: len(wanted)] == wanted and (complete or not whole)


def _wanted(pattern: str) -> list[str]:
    if "|" not in pattern:
        return pattern.split(".") if "." in pattern else [escape(_read(pattern))]
    parts = [_read(part) for part in pattern.split("|")]
    at = TOKENS.index("seed")
    if len(parts) == at + 1 and parts[at - 1] == Strategy.ONCE:
        parts.insert(at, "")
    return [escape(part) for part in parts]


def _read(shown: str) -> str:
    return _ENCODED.sub(lambda found: chr(int(found[1], 16)), shown)
