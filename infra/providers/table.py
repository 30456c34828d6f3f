"""Table of providers: one line for each built-in one, and those of installed extensions."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from infra.providers.servers import OPENAI
from infra.providers.spec import ProviderSpec

if TYPE_CHECKING:
    from infra.extensions.entry_points import Extension
    from infra.settings.settings import Settings

#: Module of each built-in provider; its ``SPEC`` says the rest, and it imports without what the provider needs.
BUILT_IN: Final = {
    "local": "infra.providers.local",
    OPENAI: "infra.providers.servers",
    "scripted": "infra.providers.scripted",
    "gguf": "infra.providers.gguf_spec",
}


def known(settings: Settings) -> tuple[str, ...]:
    """Every name that a route may use."""
    return (*BUILT_IN, *settings.narrative.servers, *_installed(settings))


def is_server(settings: Settings, name: str) -> bool:
    """Whether a name is that of a server with the OpenAI protocol."""
    return name == OPENAI or name in settings.narrative.servers


def spec_of(settings: Settings, name: str) -> ProviderSpec:
    """What the table says about a provider.

    Raises:
        KeyError: there is none of this name.
        ExtensionError: its extension cannot be used.
    """
    if is_server(settings, name):
        name = OPENAI
    if name in BUILT_IN:
        spec: ProviderSpec = import_module(BUILT_IN[name]).SPEC
        return spec
    return _installed(settings)[name].load(ProviderSpec)


def identity_of(settings: Settings, name: str) -> str:
    """What writes under a name, in words that change when the model does.

    Raises:
        KeyError: there is none of this name.
        ExtensionError: its extension cannot be used.
    """
    identity = spec_of(settings, name).identity
    if identity is not None:
        return identity(settings, name)
    extension = _installed(settings).get(name)
    return name if extension is None else f"{name}:{extension.package}@{extension.version}"


def extension_problems(settings: Settings) -> dict[Extension, str]:
    """Why providers of extensions cannot be used, a sentence each; imports them all."""
    from infra.extensions.entry_points import ExtensionError  # noqa: PLC0415 - for these rows alone

    problems: dict[Extension, str] = {}
    for name, extension in settings.extensions.providers.items():
        if name in BUILT_IN or name in settings.narrative.servers:
            where = "built-in provider" if name in BUILT_IN else "server of narrative.servers"
            problems[extension] = str(extension.error(f"there is a {where} of this name"))
            continue
        try:
            extension.load(ProviderSpec)
        except ExtensionError as error:
            problems[extension] = str(error)
    return problems


def _installed(settings: Settings) -> dict[str, Extension]:
    """Extensions whose name is their own."""
    return {
        name: extension
        for name, extension in settings.extensions.providers.items()
        if name not in BUILT_IN and name not in settings.narrative.servers
    }
