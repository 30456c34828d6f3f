"""Connection to the broker: servers, credentials and TLS; it reconnects for ever."""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import msgspec
from nats import errors as nats_errors
from nats.aio.client import Client as Connection

from understudy_client import key_files, protocol
from understudy_client.errors import AccessDenied, MissingExtra, Unreachable
from understudy_client.tasks import end_tasks

#: Seconds that the first connection may take, for each server.
CONNECT_S: Final = 3.0
_CONNECT_ONE_S: Final = 2
_RECONNECT_WAIT_S: Final = 0.25
#: Seconds between two pings, and lost ones after which a silent server is left for another.
PING_S: Final = 2
_PINGS_LOST: Final = 2
#: Where the next URL of a list begins.
_NEXT_URL: Final = re.compile(r"(?=\b[a-z][a-z0-9+.-]*://)", re.IGNORECASE)

#: How the broker names a subject that it refuses, in lower case.
_REFUSED: Final = re.compile(r'permissions violation for (publish|subscription) to "([^"]*)"', re.IGNORECASE)
#: A key's file as `understudy topology secure` names it.
_KEY_FILE: Final = re.compile(r"understudy-([A-Za-z0-9_-]+)\.nk")

_log = logging.getLogger(__name__)


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """What the broker does not let this user do."""

    #: ``publish`` or ``subscribe to``.
    verb: str
    #: In lower case.
    subject: str


class Link(Connection):
    """A connection that says what the broker refuses, and which stored messages the broker wrote itself."""

    def __init__(self) -> None:
        super().__init__()
        #: Whose key it signs in with, where the file's name says so.
        self.role: str | None = None
        #: Called with each refusal.
        self.on_refusal: list[Callable[[Refusal], None]] = []

    def refused(self, error: Exception) -> None:
        """Pass on what the broker refuses, if that is what an error says."""
        found = refusal(error)
        if found is not None:
            for each in self.on_refusal:
                each(found)

    async def _process_headers(self, headers: Any) -> dict[str, str] | None:
        # A direct get appends its headers: only who sees both of two knows that one of them was stored.
        found = await super()._process_headers(headers)
        if found is not None and protocol.is_twice_read(bytes(headers)):
            found[protocol.ANSWERED] = "true"
        return found


class Connector(Protocol):
    """Opens the connection of a client."""

    async def open(
        self, *, on_reconnect: Callable[[], None], on_disconnect: Callable[[], None]
    ) -> tuple[Connection, str]:
        """Connect once.

        Args:
            on_reconnect: to call after each reconnect.
            on_disconnect: to call when the connection is lost.

        Returns:
            the connection, and the broker's URL without a password.
        """
        ...


class Servers(msgspec.Struct, frozen=True, kw_only=True):
    """A broker, or the servers of a cluster, and how to sign in."""

    #: ``nats://host:port``; several of them, or one text with commas between them.
    url: str | Sequence[str]
    #: Credentials file (``.creds``); needs the extra ``nkeys``.
    creds: Path | None = None
    #: File with an NKey seed; needs the extra ``nkeys``.
    nkey: Path | None = None
    #: Prefix of the subjects for answers; default: ``_INBOX_ROLE`` for a key in ``understudy-ROLE.nk``, else nats-py's.
    inbox_prefix: str | None = None
    #: TLS, also where the URL does not say ``tls://``.
    tls: ssl.SSLContext | None = None
    #: Name in the server's certificate, where it is not the host's.
    tls_hostname: str | None = None

    async def open(
        self, *, on_reconnect: Callable[[], None], on_disconnect: Callable[[], None]
    ) -> tuple[Connection, str]:
        """Connect; the first try must succeed, later ones are repeated for ever.

        Raises:
            AccessDenied: the broker does not know this user.
            Unreachable: no server answers, or the connection is not encrypted although TLS is asked for.
            MissingExtra: credentials need an extra.
        """
        pool = servers(self.url)
        shown = ",".join(map(without_password, pool))
        try:
            connection = await connect(
                pool,
                name="understudy-client",
                on_reconnect=on_reconnect,
                on_disconnect=on_disconnect,
                access=self._access(),
            )
        except AccessDenied as error:
            raise AccessDenied(f"{error} (at {shown})") from None
        except ValueError:
            raise Unreachable(f"{shown} is not the URL of a broker; write nats://HOST:PORT") from None
        except ConnectionError as error:
            raise Unreachable(
                f"no broker answers at {shown} ({error}); start the pipeline, or correct the URL"
            ) from None
        if (self.tls is not None or names_tls(pool)) and not encrypted(connection):
            await close(connection)
            raise Unreachable(
                f"the broker at {shown} does not speak TLS, which the client asks for; "
                "turn TLS on there, or write nats:// and leave tls out"
            )
        return connection, shown

    def _access(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, file, fault_of in (
            ("user_credentials", self.creds, key_files.fault_of_creds),
            ("nkeys_seed", self.nkey, key_files.fault_of_seed),
        ):
            if file is None:
                continue
            if find_spec("nkeys") is None:
                raise MissingExtra("signing in with credentials", "nkeys", "nats-py[nkeys]")
            if fault := fault_of(Path(file)):
                raise Unreachable(fault)
            found[name] = str(file)
        prefix = self.inbox_prefix or inbox_prefix(self.nkey)
        if prefix is not None:
            found["inbox_prefix"] = prefix
        if self.tls is not None:
            found["tls"] = self.tls
        if self.tls_hostname is not None:
            found["tls_hostname"] = self.tls_hostname
        return found


def role_of(nkey: Path | None) -> str | None:
    """The role whose key a file has, by its name; ``None``: it does not say."""
    found = None if nkey is None else _KEY_FILE.fullmatch(Path(nkey).name)
    return None if found is None else found[1]


def inbox_prefix(nkey: Path | None) -> str | None:
    """The prefix of the subjects on which a key's user may get answers; ``None``: not known."""
    role = role_of(nkey)
    return None if role is None else f"_INBOX_{role}"


def refusal(error: Exception) -> Refusal | None:
    """What the broker refuses with an error; ``None``: it is another one."""
    found = _REFUSED.search(str(error))
    if found is None:
        return None
    verb = "publish" if found[1].lower() == "publish" else "subscribe to"
    return Refusal(verb=verb, subject=found[2].lower())


def is_sign_in(error: Exception) -> bool:
    """Whether the broker does not know the user, or the key."""
    return (
        isinstance(error, nats_errors.AuthorizationError) or "authorization violation" in str(error).lower()
    )


def options() -> dict[str, Any]:
    """Arguments of ``nats.connect``: it reconnects for ever, and leaves a silent server for another."""
    return {
        "max_reconnect_attempts": -1,
        "ping_interval": PING_S,
        "max_outstanding_pings": _PINGS_LOST,
        "connect_timeout": _CONNECT_ONE_S,
    }


async def connect(
    pool: list[str],
    *,
    name: str,
    on_reconnect: Callable[[], None] | None,
    on_disconnect: Callable[[], None] | None,
    access: dict[str, Any],
) -> Connection:
    """Connect to one of several servers; the first try must succeed, later ones are repeated for ever.

    Args:
        pool: single URLs.
        name: shown in the broker's list of connections.
        on_reconnect: called after each reconnect.
        on_disconnect: called when the connection is lost.
        access: credentials and TLS, as arguments of ``nats.connect``.

    Raises:
        ValueError: a URL is none; its text may hold a part of a password.
        AccessDenied: the broker does not let this user in; the text names the role.
        ConnectionError: no answer within :data:`CONNECT_S` seconds for each server; the text says why.
    """
    link = Link()
    link.role = role_of(Path(access["nkeys_seed"])) if "nkeys_seed" in access else None
    last: list[Exception] = []
    unknown = asyncio.Event()

    async def note(error: Exception) -> None:
        # nats-py's own default prints a traceback for every lost connection.
        last[:] = [error]
        _log.debug("broker: %s", error)
        if is_sign_in(error):
            unknown.set()
        link.refused(error)

    async def reconnected() -> None:
        if on_reconnect is not None:
            on_reconnect()

    async def disconnected() -> None:
        if on_disconnect is not None:
            on_disconnect()

    connecting = asyncio.ensure_future(
        link.connect(
            pool,
            name=name,
            error_cb=note,
            reconnected_cb=reconnected,
            disconnected_cb=disconnected,
            reconnect_time_wait=_RECONNECT_WAIT_S,  # pyright: ignore[reportArgumentType] - seconds, fractions too
            **options(),
            **access,
        )
    )
    try:
        async with asyncio.timeout(CONNECT_S * max(1, len(pool))):
            await _until_known(link, connecting, unknown)
    except (OSError, TimeoutError, nats_errors.Error) as error:
        raise ConnectionError(str(error) or (str(last[0]) if last else "") or "no answer") from None
    finally:
        await end_tasks(connecting)
    return link


async def _until_known(link: Link, connecting: asyncio.Task[None], unknown: asyncio.Event) -> None:
    """Wait for the connection; a user that the broker does not know is not tried again.

    Raises:
        AccessDenied: the broker does not know the user.
    """
    refusing = asyncio.ensure_future(unknown.wait())
    try:
        await asyncio.wait((connecting, refusing), return_when=asyncio.FIRST_COMPLETED)
        if not connecting.done():
            who = "this user" if link.role is None else f"role {link.role}: its key is not the broker's"
            raise AccessDenied(f"the broker refuses {who}")
        await connecting
    finally:
        await end_tasks(refusing)


def servers(url: str | Sequence[str]) -> list[str]:
    """The single URLs; one without a scheme is ``nats://``."""
    listed = url.split(",") if isinstance(url, str) else url
    found = [each.strip() for each in listed if each.strip()]
    return [each if "://" in each else f"nats://{each}" for each in found]


def without_password(url: str) -> str:
    """The URL, or several with commas between them, without user, password and token."""
    # Not at the commas: a password may have one.
    return "".join(_without_user(each) for each in _NEXT_URL.split(url))


def _without_user(url: str) -> str:
    scheme, separator, rest = url.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def names_tls(pool: list[str]) -> bool:
    """Whether a URL asks for TLS."""
    return any(urlsplit(each).scheme in {"tls", "wss"} for each in pool)


def encrypted(connection: Connection) -> bool:
    """Whether a connection is encrypted: nats-py says nothing where the server does not ask for it."""
    info: dict[str, Any] = connection._server_info  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - nowhere else
    at = connection.connected_url
    return bool(info.get("tls_required")) or (at is not None and at.scheme == "wss")


async def flushed(connection: Connection) -> None:
    """Wait until the broker has everything that this connection was given so far, subscriptions among it.

    nats-py's ``flush`` writes its ping before the commands that wait in the buffer; only a second one comes after them.

    Raises:
        nats.errors.Error: the connection is lost, or the broker does not answer.
    """
    await connection.flush()
    await connection.flush()


async def close(connection: Connection) -> None:
    """Close a connection; one that is lost already raises nothing."""
    try:
        async with asyncio.timeout(_CONNECT_ONE_S):
            await connection.close()
    except (OSError, TimeoutError, nats_errors.Error) as error:
        _log.debug("closing: %r", error)
    except asyncio.CancelledError:
        # nats-py cancels its own tasks; only a cancellation of the caller's goes on.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
