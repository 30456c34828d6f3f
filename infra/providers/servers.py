"""Servers that speak the OpenAI protocol: their settings, and their specification in the table of providers.

Imports without the extra ``openai``; the provider itself needs it.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from infra.host import extras
from infra.providers.budget import Tariff
from infra.providers.spec import ProviderSpec

if TYPE_CHECKING:
    from contracts.ports import Provider
    from infra.settings.narrative import OpenAIServer
    from infra.settings.settings import Settings

#: The server of ``narrative.openai``; others have a name of their own in ``narrative.servers``.
OPENAI: Final = "openai"


def server_of(settings: Settings, name: str) -> OpenAIServer:
    """The settings of a server that a route names."""
    return settings.narrative.openai if name == OPENAI else settings.narrative.servers[name]


def variable(name: str) -> str:
    """Prefix of the environment variables that hold a server's settings."""
    part = "OPENAI" if name == OPENAI else f"SERVERS__{name.upper()}"
    return f"UNDERSTUDY_NARRATIVE__{part}"


def _make(settings: Settings, name: str) -> Provider:
    from infra.providers.openai import OpenAIProvider  # noqa: PLC0415 - needs the extra

    return OpenAIProvider(server_of(settings, name), name=name, variable=variable(name))


def _problem(settings: Settings, name: str) -> str | None:
    server = server_of(settings, name)
    if not (server.model or "").strip():
        return f"provider {name!r} has no model: set {variable(name)}__MODEL to its name on the server"
    if find_spec("httpx2") is None:
        return f"provider {name!r} needs an HTTP client: {extras.install_command('openai')}"
    from infra.providers.openai import mistake  # noqa: PLC0415 - needs the extra

    return mistake(server, variable(name))


def _tariff(settings: Settings, name: str) -> Tariff:
    return Tariff.of(server_of(settings, name), variable(name))


def _identity(settings: Settings, name: str) -> str:
    server = server_of(settings, name)
    return f"{name}:{server.model}@{server.base_url}"


SPEC: Final = ProviderSpec(make=_make, tariff=_tariff, problem=_problem, identity=_identity)
