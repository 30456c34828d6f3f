"""Where is the broker, and how is a connection to it opened that never gives up?"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import nats
from nats import errors as nats_errors

from contracts.errors import UnderstudyError
from infra.host import runtime_file

if TYPE_CHECKING:
    from nats.aio.client import Client

    from infra.settings.settings import NatsAccess, Settings

#: Seconds that a first connection may take: each server of the list has two.
CONNECT_S: Final = 3.0
_CONNECT_ONE_S: Final = 2
_RECONNECT_WAIT_S: Final = 0.25
#: Where the next URL of a list begins.
_NEXT_URL: Final = re.compile(r"(?=\b[a-z][a-z0-9+.-]*://)", re.IGNORECASE)
#: Seconds between two pings, and pings without an answer after which a silent server is left for another:
#: within 6 s (rule 16).
PING_S: Final = 2
PINGS_LOST: Final = 2

_log = logging.getLogger(__name__)


class Unreachable(UnderstudyError):  # noqa: N818 - names the state of the broker
    """No broker answers; the text says where, and what to do."""


def broker_url(settings: Settings) -> str:
    """Where the broker of these settings is: a URL, or several with commas between them.

    Raises:
        Unreachable: none is set and none runs.
    """
    try:
        url = runtime_file.find_url(settings)
    except UnderstudyError as error:
        raise Unreachable(str(error)) from None
    if url is None:
        raise Unreachable(
            f"no broker is known: start one with `understudy up` (data folder {settings.data_dir}), "
            "or set UNDERSTUDY_NATS_URL"
        )
    return url


def servers(url: str) -> list[str]:
    """The single URLs of a list with commas; one without a scheme is ``nats://``."""
    found = [each.strip() for each in url.split(",") if each.strip()]
    return [each if "://" in each else f"nats://{each}" for each in found]


def shown(url: str) -> str:
    """The URL, or the list, as people and logs may see it: without user, password and token."""
    # Not at the commas: a password may have one.
    return "".join(_without_user(each) for each in _NEXT_URL.split(url))


def _without_user(url: str) -> str:
    scheme, separator, rest = url.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def options(access: NatsAccess | None) -> dict[str, Any]:
    """How every connection of ours is opened, as arguments of ``nats.connect``.

    Args:
        access: credentials and TLS of the settings; ``None``: none beyond those of the URL.

    Raises:
        Unreachable: a file of the settings cannot be read.
    """
    found: dict[str, Any] = {
        "max_reconnect_attempts": -1,
        "ping_interval": PING_S,
        "max_outstanding_pings": PINGS_LOST,
        "connect_timeout": _CONNECT_ONE_S,
    }
    if access is None:
        return found
    for name, setting, file in (
        ("user_credentials", "CREDS", access.creds),
        ("nkeys_seed", "NKEY", access.nkey),
    ):
        if file is None:
            continue
        if not file.is_file():
            raise Unreachable(f"UNDERSTUDY_NATS__{setting} names {file}, which is not a file")
        found[name] = str(file)
    if access.tls.wanted:
        try:
            context = ssl.create_default_context(cafile=None if access.tls.ca is None else str(access.tls.ca))
            if access.tls.cert is not None:
                context.load_cert_chain(str(access.tls.cert), access.tls.key and str(access.tls.key))
        except OSError as error:
            raise Unreachable(
                f"UNDERSTUDY_NATS__TLS: the certificate files cannot be used: {error}"
            ) from None
        found["tls"] = context
        if access.tls.hostname is not None:
            found["tls_hostname"] = access.tls.hostname
    return found


def require_tls(client: Client, url: str, access: NatsAccess | None) -> None:
    """Refuse a connection in plain text where the settings or the URL say TLS.

    nats-py encrypts when the server asks for it, and says nothing when the server does not.

    Raises:
        Unreachable: the connection is not encrypted.
    """
    wanted = (access is not None and access.tls.wanted) or any(
        urlsplit(each).scheme in {"tls", "wss"} for each in servers(url)
    )
    info: dict[str, Any] = client._server_info  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - nowhere else
    at = client.connected_url
    if wanted and not info.get("tls_required") and (at is None or at.scheme != "wss"):
        raise Unreachable(
            f"the broker at {shown(url)} does not speak TLS, which the URL or UNDERSTUDY_NATS__TLS requires; "
            "enable TLS there, or use nats:// without TLS"
        )


async def dial(
    where: str | Settings,
    *,
    name: str,
    access: NatsAccess | None = None,
    on_reconnect: Callable[[], None] | None = None,
    on_disconnect: Callable[[], None] | None = None,
) -> Client:
    """Connect to a broker; the first try must succeed, later ones are repeated for ever.

    A server that falls silent is left for another one of the list, or tried again.

    Args:
        where: ``nats://host:port``, several with commas between them, or the settings that say where it is.
        name: shown in the broker's list of connections.
        access: credentials and TLS, where ``where`` is a URL.
        on_reconnect: called after each reconnect.
        on_disconnect: called when the connection is lost.

    Raises:
        Unreachable: no answer within :data:`CONNECT_S` seconds a server.
    """
    if not isinstance(where, str):
        where, access = broker_url(where), where.nats
    last: list[Exception] = []

    async def complain(error: Exception) -> None:
        # nats-py's own default prints a traceback for every lost connection.
        last[:] = [error]
        _log.debug("broker: %s", error)

    async def reconnected() -> None:
        if on_reconnect is not None:
            on_reconnect()

    async def disconnected() -> None:
        if on_disconnect is not None:
            on_disconnect()

    pool = servers(where)
    try:
        async with asyncio.timeout(CONNECT_S * max(1, len(pool))):
            client = await nats.connect(
                pool,
                name=name,
                error_cb=complain,
                reconnected_cb=reconnected,
                disconnected_cb=disconnected,
                reconnect_time_wait=_RECONNECT_WAIT_S,
                **options(access),
            )
    except ValueError:
        # Its text may hold a part of the password.
        raise Unreachable(
            f"{shown(where)} is not the URL of a broker; write nats://HOST:PORT into UNDERSTUDY_NATS_URL"
        ) from None
    except (OSError, TimeoutError, nats_errors.Error) as error:
        why = str(error) or (str(last[0]) if last else "") or "no answer"
        raise Unreachable(
            f"no broker answers at {shown(where)} ({why}); start one with `understudy up`, "
            "or correct UNDERSTUDY_NATS_URL"
        ) from None
    try:
        require_tls(client, where, access)
    except Unreachable:
        await close(client)
        raise
    return client


async def close(client: Client) -> None:
    """Close a connection; one that is lost already is closed all the same, without a word."""
    try:
        async with asyncio.timeout(_CONNECT_ONE_S):
            await client.close()
    except (OSError, TimeoutError, nats_errors.Error, asyncio.CancelledError) as error:
        if (
            isinstance(error, asyncio.CancelledError)
            and (task := asyncio.current_task())
            and task.cancelling()
        ):
            raise
        _log.debug("closing: %r", error)
