"""Names of providers: those that routes name, and those that an operator may choose for a rerun."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from contracts.errors import UnderstudyError
from contracts.kinds import HELPER_TASKS
from infra.extensions.entry_points import ExtensionError
from infra.providers import table
from infra.providers.servers import OPENAI, server_of
from infra.settings.narrative import LOCAL

if TYPE_CHECKING:
    from infra.settings.settings import Settings


class ModelUnknown(UnderstudyError):  # noqa: N818 - names what is missing
    """A model that no provider of the settings has; the text lists the choices."""


def chains(settings: Settings) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each kind with the names of its providers."""
    for kind, own in settings.narrative.providers:
        if kind not in HELPER_TASKS:
            yield kind, _links(settings, own)


def helper_chains(settings: Settings) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each helper task that is on with the names of its providers."""
    for task in HELPER_TASKS:
        own = getattr(settings.narrative.providers, task)
        if own is not None:
            yield task, _links(settings, own)


def _links(settings: Settings, own: str | tuple[str, ...]) -> tuple[str, ...]:
    route = settings.narrative.provider if own == LOCAL else own
    return (route,) if isinstance(route, str) else route


def choose(settings: Settings, text: str) -> str:
    """The provider that a text means: its name, ``server/model``, or the name of a model that one provider has.

    Args:
        settings: where providers are configured.
        text: what a person wrote.

    Raises:
        ModelUnknown: naming the choices.
    """
    if unnamed(settings, text) is None:
        return text
    models = {name: _model(settings, name) for name in choices(settings)}
    having = [name for name, model in models.items() if model == text]
    if len(having) == 1:
        return having[0]
    listed = [name if model is None else f"{name} ({model})" for name, model in models.items()]
    listed += [f"{name}/MODEL" for name in models if table.is_server(settings, name)]
    several = (
        f"{text!r} is the model of {', '.join(having)}"
        if having
        else f"no provider or model is called {text!r}"
    )
    raise ModelUnknown(f"{several}; use one of {', '.join(listed)}")


def choices(settings: Settings) -> tuple[str, ...]:
    """The providers that may be chosen by name: those of the routes, and every server with a model."""
    routed = [name for _, names in chains(settings) for name in names]
    servers = [OPENAI, *settings.narrative.servers]
    return tuple(dict.fromkeys([*routed, *(name for name in servers if server_of(settings, name).model)]))


def unnamed(settings: Settings, name: str) -> str | None:
    """Why a name cannot be chosen; ``None``: it can.

    A local model that no route names is not loaded for a rerun: it may not fit beside the others.
    """
    server, slash, model = name.partition("/")
    if slash:
        if not table.is_server(settings, server):
            return f"{server!r} is no server; a model can be chosen for servers alone"
        return None if model else f"{name!r} names no model"
    if name not in table.known(settings):
        return f"provider {name!r} is unknown; known are {', '.join(table.known(settings))}"
    if name not in choices(settings):
        return f"no route names provider {name!r}, so that it is not loaded; choose one of {', '.join(choices(settings))}"
    return None


def with_model(settings: Settings, server: str, model: str) -> Settings:
    """The settings with another model on a server, whose prices are not known; unchanged without a model."""
    if not model:
        return settings
    other = server_of(settings, server).model_copy(
        update={"model": model, "price_prompt": None, "price_completion": None}
    )
    narrative = settings.narrative
    changed = (
        narrative.model_copy(update={"openai": other})
        if server == OPENAI
        else narrative.model_copy(update={"servers": {**narrative.servers, server: other}})
    )
    return settings.model_copy(update={"narrative": changed})


def _model(settings: Settings, name: str) -> str | None:
    try:
        info = table.spec_of(settings, name).describe(settings, name)
    except (KeyError, ExtensionError):
        return None
    return None if info is None else info.model
