"""A secured broker's folder: a key for every role, and the configuration that gives each its permissions."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from contracts import roles
from contracts.errors import UnderstudyError
from infra.host import atomic_file
from infra.security import keys, server_file
from infra.security.keys import Key, KeyFileError
from infra.security.server_file import BrokerUser, Tls

#: The configuration in a folder.
FILE: Final = "nats-server.conf"


class SecuredError(UnderstudyError):
    """The folder cannot be made; the text names the option or file, and the fix."""


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """What a folder has now."""

    config: Path
    keys: dict[str, Key]
    clients: tuple[str, ...]


def write(
    folder: Path,
    *,
    groups: Iterable[Sequence[str]],
    clients: Iterable[str] = (),
    rotate: Sequence[str] = (),
    tls: Tls | None = None,
) -> Made:
    """Write the keys and the configuration of a broker; safe to repeat: keys are kept, further roles are added.

    Args:
        folder: gets a file for each role, and the configuration.
        groups: stages that one process hosts.
        clients: names of clients beside ``client``; those that the folder has already stay.
        rotate: roles that get another key.
        tls: the server's certificate.

    Raises:
        SecuredError: a name or a certificate cannot be used.
        KeyFileError: a file cannot be written or read.
    """
    if tls is not None:
        _check(tls)
    had = keys.stored(folder)
    ours = roles.pipeline_roles((*groups, *(group for name in had if (group := roles.group_of(name)))))
    taken = {role.name for role in ours}
    asked = tuple(dict.fromkeys((roles.CLIENT, *clients)))
    if clash := taken.intersection(asked):
        raise SecuredError(f"--client {min(clash)}: that is a role of the pipeline; choose another name")
    known = tuple(name for name in had if name not in taken)
    names = tuple(dict.fromkeys((*asked, *known)))
    if unknown := set(rotate) - taken - set(names):
        raise SecuredError(
            f"--rotate {min(unknown)}: there is no such role; roles are {', '.join(sorted(taken | set(names)))}"
        )
    try:
        theirs = [roles.client(name) for name in names]
    except roles.RoleError as error:
        raise SecuredError(str(error)) from None
    made = keys.ensure(folder, [role.name for role in (*ours, *theirs)], rotate=rotate)
    text = server_file.render(
        [BrokerUser(role=role, public=made[role.name].public) for role in ours],
        [BrokerUser(role=role, public=made[role.name].public) for role in theirs],
        tls=tls,
    )
    config = folder / FILE
    try:
        atomic_file.write(config, _HEAD.encode() + text.encode())
    except OSError as error:
        raise KeyFileError(f"{config} cannot be written: {error.strerror or error}") from error
    return Made(config=config, keys=made, clients=names)


#: The largest message is the one that the pipeline counts with.
_HEAD: Final = """# Made by `understudy topology secure`; another run writes it again.
# Include it in the server's own configuration, or start `nats-server -js -c` with it.
max_payload: 1048576
"""


def embedded(folder: Path, groups: Iterable[Sequence[str]]) -> str:
    """The accounts of an embedded broker, whose clients need no key.

    Args:
        folder: gets the keys.
        groups: stages that one process hosts.

    Raises:
        KeyFileError: a key cannot be written or read.
    """
    ours = roles.pipeline_roles(groups)
    made = keys.ensure(folder, [role.name for role in ours])
    anybody = roles.client()
    # Clients sign in with nothing, so they share nats-py's own inbox.
    anonymous = msgspec.structs.replace(anybody, subscribe=("_INBOX.>", *anybody.subscribe))
    return server_file.render(
        [BrokerUser(role=role, public=made[role.name].public) for role in ours],
        [BrokerUser(role=anonymous, public=None)],
    )


def _check(tls: Tls) -> None:
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(str(tls.cert), str(tls.key))
        if tls.ca is not None:
            context.load_verify_locations(str(tls.ca))
    except (OSError, ssl.SSLError) as error:
        raise SecuredError(
            f"the certificate files {tls.cert} and {tls.key} cannot be used: {error}; "
            "give a certificate and its own key, both PEM"
        ) from None
