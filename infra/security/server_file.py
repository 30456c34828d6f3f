"""The broker's users as a configuration of nats-server: accounts, permissions, and what crosses between accounts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from contracts import roles
from contracts.roles import BrokerRole

#: The account of the pipeline; the streams are its own.
PIPELINE: Final = "PIPELINE"
#: The account of clients without a name.
CLIENTS: Final = "CLIENTS"


class BrokerUser(msgspec.Struct, frozen=True, kw_only=True):
    """A role and how it signs in."""

    role: BrokerRole
    #: Public NKey; ``None``: the one user that signs in with nothing.
    public: str | None


class Tls(msgspec.Struct, frozen=True, kw_only=True):
    """The server's certificate."""

    cert: Path
    key: Path
    #: Who signs the certificates that clients must have; ``None``: they need none.
    ca: Path | None = None


def account_of(client: str) -> str:
    """The account of a client: the broker checks no reply subject, so only a border keeps two of them apart."""
    return CLIENTS if client == roles.CLIENT else f"CLIENT_{client}"


def render(pipeline: Sequence[BrokerUser], clients: Sequence[BrokerUser], *, tls: Tls | None = None) -> str:
    """Write the accounts, and TLS.

    Args:
        pipeline: users of the pipeline's account.
        clients: each gets an account of its own, but for those without a name, who share one.
        tls: encryption for everybody.
    """
    exports = [f"{{ service: {_text(each)}, response_type: stream }}" for each in roles.CLIENT_SERVICES]
    exports += [f"{{ stream: {_text(each)} }}" for each in roles.CLIENT_STREAMS]
    by_account: dict[str, list[BrokerUser]] = {}
    for user in clients:
        by_account.setdefault(account_of(user.role.name), []).append(user)
    blocks = [_account(PIPELINE, pipeline, "exports", exports, ("jetstream: enabled",))]
    blocks += [_account(name, users, "imports", _imports()) for name, users in sorted(by_account.items())]
    lines = ["accounts {", *blocks, "}"]
    lines += (f"no_auth_user: {_text(user.role.name)}" for user in clients if user.public is None)
    if tls is not None:
        lines += _tls(tls)
    return "\n".join(lines) + "\n"


def _imports() -> list[str]:
    found: list[str] = []
    for form, subjects in (("service", roles.CLIENT_SERVICES), ("stream", roles.CLIENT_STREAMS)):
        found += (f"{{ {form}: {{ account: {PIPELINE}, subject: {_text(each)} }} }}" for each in subjects)
    return found


def _account(
    name: str, users: Sequence[BrokerUser], crossing: str, subjects: Iterable[str], first: Iterable[str] = ()
) -> str:
    lines = [f"  {_text(name)}: {{", *(f"    {line}" for line in first), "    users: ["]
    for user in users:
        lines += _user(user)
    lines += ["    ]", f"    {crossing}: [", *(f"      {line}" for line in subjects), "    ]", "  }"]
    return "\n".join(lines)


def _user(user: BrokerUser) -> list[str]:
    role = user.role
    signs_in = f"nkey: {user.public}"
    if user.public is None:
        # The password is never asked for: no_auth_user signs in everybody who names no user.
        signs_in = f'user: {_text(role.name)}, password: ""'
    return [
        f"      # {role.name}",
        f"      {{ {signs_in}, permissions: {{",
        f"        publish: {{ allow: {_list(role.publish)} }}",
        f"        subscribe: {{ allow: {_list(role.hears)} }}",
        "      } }",
    ]


def _list(subjects: Sequence[str]) -> str:
    return "[" + ", ".join(map(_text, subjects)) + "]"


def _tls(tls: Tls) -> list[str]:
    lines = ["tls {", f"  cert_file: {_text(tls.cert)}", f"  key_file: {_text(tls.key)}"]
    if tls.ca is not None:
        lines += [f"  ca_file: {_text(tls.ca)}", "  verify: true"]
    return [*lines, "}"]


def _text(value: Path | str) -> str:
    # A JSON string without \u escapes is a string of the server's format too.
    return json.dumps(str(value), ensure_ascii=False)
