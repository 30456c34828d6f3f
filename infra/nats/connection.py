"""Connection to the broker: address, credentials and TLS of the settings; the client library dials."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from understudy_client import connection as client_connection
from understudy_client import key_files
from understudy_client.connection import close, encrypted, inbox_prefix, names_tls, servers, without_password
from understudy_client.errors import AccessDenied

from contracts.errors import UnderstudyError
from contracts.pipeline import OPERATOR
from infra.host import runtime_file
from infra.security import keys

if TYPE_CHECKING:
    from nats.aio.client import Client

    from infra.settings.settings import NatsAccess, Settings


class Unreachable(UnderstudyError):  # noqa: N818 - names the state of the broker
    """No broker answers; the text says where, and what to do."""


def broker_url(settings: Settings) -> str:
    """Find the broker of these settings: its URL, or several separated by commas.

    Raises:
        Unreachable: no URL is set and no broker runs.
    """
    try:
        url = runtime_file.find_url(settings)
    except UnderstudyError as error:
        raise Unreachable(str(error)) from None
    if url is None:
        raise Unreachable(
            f"no broker is known; start one with `understudy up` (data folder {settings.data_dir}), "
            "or set UNDERSTUDY_NATS_URL"
        )
    return url


class NotAllowed(Unreachable):
    """The broker does not let this user in, or lacks the role that is needed; another try does not help."""


def reach(settings: Settings, role: str = OPERATOR) -> tuple[str, NatsAccess]:
    """Find the broker of these settings, and how a role signs in there.

    Args:
        settings: a key or credentials that they name come before the role's own.
        role: whose key to take from the folder of keys, where there is one.

    Raises:
        Unreachable: as :func:`broker_url`.
        NotAllowed: the folder has no key for the role.
    """
    url, access = broker_url(settings), settings.nats
    folder = access.keys
    if folder is None and settings.nats_url is None:
        found = runtime_file.read(settings)
        folder = None if found is None or found.nats_keys is None else Path(found.nats_keys)
    return url, access if folder is None else sign_in(access, folder, role)


def sign_in(access: NatsAccess, folder: Path, role: str) -> NatsAccess:
    """How a role signs in with its key from a folder.

    Raises:
        NotAllowed: the folder has no key for the role.
    """
    if access.nkey is not None or access.creds is not None:
        return access
    file = keys.file_of(folder, role)
    if not file.is_file():
        raise NotAllowed(
            f"{folder} has no key for the role {role}; run `understudy topology secure {folder}` "
            "(for stages in one process with --group), and let the broker read its configuration again"
        )
    return access.model_copy(update={"nkey": file, "keys": None})


def options(access: NatsAccess | None) -> dict[str, Any]:
    """Arguments of ``nats.connect`` for every connection.

    Args:
        access: credentials and TLS of the settings; ``None``: only those of the URL.

    Raises:
        Unreachable: a file of the settings cannot be read.
    """
    return client_connection.options() | ({} if access is None else _access(access))


def _access(access: NatsAccess) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, setting, file, fault_of in (
        ("user_credentials", "CREDS", access.creds, key_files.fault_of_creds),
        ("nkeys_seed", "NKEY", access.nkey, key_files.fault_of_seed),
    ):
        if file is None:
            continue
        if fault := fault_of(file):
            raise Unreachable(f"UNDERSTUDY_NATS__{setting}: {fault}")
        found[name] = str(file)
    prefix = access.inbox_prefix or inbox_prefix(access.nkey)
    if prefix is not None:
        found["inbox_prefix"] = prefix
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

    nats-py encrypts when the server asks for it, and raises no error when the server does not.

    Raises:
        Unreachable: the connection is not encrypted.
    """
    required = (access is not None and access.tls.wanted) or names_tls(servers(url))
    if required and not encrypted(client):
        raise Unreachable(
            f"the broker at {without_password(url)} does not speak TLS, which the URL or UNDERSTUDY_NATS__TLS requires; "
            "enable TLS there, or use nats:// without TLS"
        )


async def dial(
    where: str | Settings,
    *,
    name: str,
    role: str = OPERATOR,
    access: NatsAccess | None = None,
    on_reconnect: Callable[[], None] | None = None,
    on_disconnect: Callable[[], None] | None = None,
) -> Client:
    """Connect to a broker; the first try must succeed, after a lost connection tries are repeated for ever.

    If a server falls silent, the client tries the others of the list, or the same one again.

    Args:
        where: ``nats://host:port``, several separated by commas, or the settings that name it.
        name: shown in the broker's list of connections.
        role: whose key is taken, where ``where`` is settings and there is a folder of keys.
        access: credentials and TLS, where ``where`` is a URL.
        on_reconnect: called after each reconnect.
        on_disconnect: called when the connection is lost.

    Raises:
        Unreachable: no server answers, or the connection is not encrypted although TLS is required.
        NotAllowed: the broker does not know this user.
    """
    if not isinstance(where, str):
        where, access = reach(where, role)
    try:
        client = await client_connection.connect(
            servers(where),
            name=name,
            on_reconnect=on_reconnect,
            on_disconnect=on_disconnect,
            access={} if access is None else _access(access),
        )
    except AccessDenied as error:
        raise NotAllowed(
            f"{error} (at {without_password(where)}); UNDERSTUDY_NATS__NKEY or UNDERSTUDY_NATS__CREDS names the user's key"
        ) from None
    except ValueError:
        raise Unreachable(
            f"{without_password(where)} is not the URL of a broker; write nats://HOST:PORT into UNDERSTUDY_NATS_URL"
        ) from None
    except ConnectionError as error:
        raise Unreachable(
            f"no broker answers at {without_password(where)} ({error}); start one with `understudy up`, "
            "or correct UNDERSTUDY_NATS_URL"
        ) from None
    try:
        require_tls(client, where, access)
    except Unreachable:
        await close(client)
        raise
    return client
