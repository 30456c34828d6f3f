"""Fingerprints: canonical JSON, digests, and picks that depend on their input alone."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys and no spaces.

    Equal values give equal bytes.  Source: the idea of RFC 8785, with msgspec's number format.
    """
    return msgspec.json.encode(value, order="sorted")


def digest(value: Any) -> str:
    """SHA-256 of :func:`canonical`, as 64 hex digits."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def digest_text(text: str) -> str:
    """SHA-256 of a text in UTF-8, as 64 hex digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def pick(size: int, *parts: str) -> int:
    """An index below ``size`` that depends on ``parts`` alone."""
    seed = hashlib.sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(seed[:8], "big") % size
