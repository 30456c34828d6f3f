"""Tokens: their form, and the hash of their secret, which is all that is stored of it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from typing import Final

import msgspec

#: Bytes of a secret: 256 random bits, for which a plain hash is enough.
_SECRET_BYTES: Final = 32
_ID_CHARACTERS: Final = 10
_FORM: Final = re.compile(r"us_([a-z2-7]{10})_([A-Za-z0-9_-]{43})")


class AccessToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token as its owner has it; only its id is ever shown in logs."""

    token_id: str
    secret: str

    @property
    def text(self) -> str:
        """The token as it is sent."""
        return f"us_{self.token_id}_{self.secret}"

    def __repr__(self) -> str:
        """The token without its secret."""
        return f"AccessToken(token_id={self.token_id!r})"

    # msgspec and rich would show the fields.
    __str__ = __repr__

    def __rich_repr__(self) -> list[tuple[str, str]]:
        """As :meth:`__repr__`, for tracebacks with values."""
        return [("token_id", self.token_id)]


def make_token(random: Callable[[int], bytes] = secrets.token_bytes) -> AccessToken:
    """A new token.

    Args:
        random: gives that many random bytes.
    """
    name = base64.b32encode(random(_ID_CHARACTERS)).decode().lower()[:_ID_CHARACTERS]
    return AccessToken(token_id=name, secret=make_secret(random))


def make_secret(random: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """43 characters of base64url (RFC 4648)."""
    return base64.urlsafe_b64encode(random(_SECRET_BYTES)).decode().rstrip("=")


def parse_token(text: str) -> AccessToken | None:
    """The token ``us_<id>_<43 characters>``; ``None``: the text is none."""
    found = _FORM.fullmatch(text)
    return None if found is None else AccessToken(token_id=found[1], secret=found[2])


def hash_secret(secret: str) -> str:
    """The SHA-256 of a secret, in hex."""
    return hashlib.sha256(secret.encode()).hexdigest()


def matches(secret: str, secret_hash: str) -> bool:
    """Whether a secret is the one that a hash was made of; takes the same time for all wrong ones."""
    return hmac.compare_digest(hash_secret(secret), secret_hash)
