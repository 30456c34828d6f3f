"""Address of a gateway: its URL and the token that is sent to it."""

from __future__ import annotations

import re
import ssl
from typing import Final
from urllib.parse import urlsplit

import msgspec

from understudy_client.errors import InvalidRequest, Unreachable

#: What a header may carry.
_TOKEN: Final = re.compile(r"[!-~]{1,1000}")


class GatewayAddress(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway and how to sign in; the token is in no text of it."""

    #: ``http://host:port`` or ``https://…``, with a path before the gateway's own where a proxy adds one.
    url: str
    tls: ssl.SSLContext | None = None
    headers: dict[str, str] = {}

    @property
    def base(self) -> str:
        """The URL that paths are added to."""
        return f"{self.url}/"

    def __repr__(self) -> str:
        return f"GatewayAddress({self.url!r})"


def read_address(url: str, *, token: str | None, tls: ssl.SSLContext | None) -> GatewayAddress:
    """Check where a client shall send its token to.

    Raises:
        Unreachable: it is not the URL of a gateway; the text has nothing of it, as it may hold a password.
        InvalidRequest: it is no token.
    """
    try:
        parts = urlsplit(url)
        found = parts.scheme in ("http", "https") and parts.hostname and (parts.port or True)
    except ValueError:
        parts, found = urlsplit(""), False
    if not found or parts.username is not None or parts.query or parts.fragment:
        raise Unreachable("that is not the URL of a gateway; write http://HOST:PORT, and the token beside it")
    # Compressed answers could become any number of bytes.
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    if token is not None:
        if _TOKEN.fullmatch(token) is None:
            raise InvalidRequest("token", "is none: `understudy tokens create` prints one")
        headers["Authorization"] = f"Bearer {token}"
    shown = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
    return GatewayAddress(url=shown, tls=tls, headers=headers)
