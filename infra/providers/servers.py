"""Servers that speak the OpenAI protocol: their settings, and their specification in the table of providers.

Imports without the extra ``openai``; the provider itself needs it.
"""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit

from infra.host import extras
from infra.providers.answer_limits import TINY, small_model_limit
from infra.providers.budget import Tariff
from infra.providers.model_size import small_size
from infra.providers.request_mapping import TEMPLATE_TOKENS, JsonMode, estimate_tokens
from infra.providers.spec import ContextWindow, ModelInfo, ProviderSpec

if TYPE_CHECKING:
    from contracts.ports import Prompt, Provider
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


def window_of(server: OpenAIServer, variable: str, tokens: int) -> ContextWindow:
    """The window of a server; its prompts are estimated, because its tokenizer is not at hand."""
    sketched = server.mode in ("auto", JsonMode.JSON_SCHEMA, JsonMode.JSON_OBJECT_SCHEMA)
    return ContextWindow(
        tokens=tokens,
        count=partial(_estimate, sketched=sketched),
        estimated=True,
        fix=partial(_fix, variable),
    )


def _estimate(prompt: Prompt, *, sketched: bool) -> int:
    return estimate_tokens((sketched and prompt.compact) or prompt.text) + TEMPLATE_TOKENS


def _fix(variable: str, needed: int) -> str:
    return (
        f"start the server with a window of at least {needed} tokens for each request (llama.cpp: --ctx-size, "
        f"Ollama: OLLAMA_CONTEXT_LENGTH, vLLM: --max-model-len), and set {variable}__WINDOW if it is set"
    )


def _window(settings: Settings, name: str) -> ContextWindow | None:
    server = server_of(settings, name)
    return None if server.window is None else window_of(server, variable(name), server.window)


def _answer_limit(settings: Settings, name: str, kind: str, stage: str) -> int | None:
    parameters = small_size(server_of(settings, name).model or "")
    return None if parameters is None else small_model_limit(kind, stage, tiny=parameters < TINY)


def _describe(settings: Settings, name: str) -> ModelInfo:
    server = server_of(settings, name)
    how = "the strongest form that the server takes" if server.mode == "auto" else server.mode
    return ModelInfo(
        model=server.model or "",
        place=_without_secrets(server.base_url),
        window=server.window,
        schemas=how,
    )


def _without_secrets(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))


SPEC: Final = ProviderSpec(
    make=_make,
    tariff=_tariff,
    problem=_problem,
    identity=_identity,
    window=_window,
    answer_limit=_answer_limit,
    describe=_describe,
)
