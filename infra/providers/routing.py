"""Which provider writes which kind in this process?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

import structlog

from contracts.errors import ErrorCode, ProviderError
from contracts.result import SCRIPTED
from infra.providers.breaker import Breaker, Change, State
from infra.providers.budgeted import FREE, Budgeted, Tariff
from infra.providers.cached import Cached, Memory
from infra.providers.chain import Chain

if TYPE_CHECKING:
    from contracts.events import Params
    from contracts.ports import Accounts, Completion, OnToken, Prompt, Provider
    from infra.settings import OpenAIServer, ResponseCache, Settings

LOCAL: Final = "local"
OPENAI: Final = "openai"
_VARIABLE: Final = "UNDERSTUDY_NARRATIVE__"


@runtime_checkable
class Loading(Protocol):
    """A provider that takes a while until it can answer."""

    name: str
    model: str

    async def ready(self) -> object:
        """Wait until it can.

        Raises:
            EngineError: it never will; the text says why.
        """
        ...


class Missing:
    """A provider that is wanted and not there: every call fails and says what to do."""

    model = "none"

    def __init__(self, name: str, why: str) -> None:
        self.name = name
        self._why = why

    async def generate(
        self,
        prompt: Prompt,
        params: Params,
        schema: Mapping[str, Any] | None = None,
        on_token: OnToken | None = None,
    ) -> Completion:
        """Fail with the reason.

        Raises:
            ProviderError: always, ``GEN_PROVIDER_UNAVAILABLE``.
        """
        del prompt, params, schema, on_token
        raise ProviderError(ErrorCode.GEN_PROVIDER_UNAVAILABLE, self._why)


def providers(
    settings: Settings,
    *,
    accounts: Accounts | None = None,
    on_made: Callable[[Provider], object] | None = None,
    on_guarded: Callable[[Breaker], object] | None = None,
) -> dict[str, Provider]:
    """Provider by kind; empty when no model is wanted.

    Each provider that is named is made once, with its circuit breaker, budgets and the response cache around it.

    Args:
        settings: this process's settings.
        accounts: where budgets are kept; none: nothing is budgeted.
        on_made: told of every provider, without what is around it.
        on_guarded: told of every circuit breaker.
    """
    if not settings.use_local_model:
        return {}
    wrapped = _wrapper(settings, accounts, on_guarded)
    made: dict[str, Provider] = {}
    routed: dict[str, Provider] = {}
    for kind, route in settings.narrative.providers:
        names: tuple[str, ...] = (route,) if isinstance(route, str) else route
        for name in names:
            if name not in made:
                bare = _provider(name, settings)
                made[name] = wrapped(bare)
                if on_made is not None:
                    on_made(bare)
        routed[kind] = made[names[0]] if len(names) == 1 else Chain(tuple(made[name] for name in names))
    return routed


def routes(settings: Settings) -> dict[str, str]:
    """What writes each kind, in words that change when it does; empty when no model is wanted.

    Part of every key in the result cache: another model's content is not what was asked for.
    """
    if not settings.use_local_model:
        return {}
    return {
        kind: " ".join(
            _written_by(name, settings) for name in ((route,) if isinstance(route, str) else route)
        )
        for kind, route in settings.narrative.providers
    }


def _written_by(name: str, settings: Settings) -> str:
    narrative = settings.narrative
    if name == LOCAL:
        from infra.providers.local import model_name  # noqa: PLC0415 - only when routed

        return f"{LOCAL}:{model_name(settings.local)}"
    server = narrative.openai if name == OPENAI else narrative.servers.get(name)
    return name if server is None else f"{name}:{server.model}@{server.base_url}"


def refused_schemas(settings: Settings) -> Callable[[Mapping[str, Any]], str | None] | None:
    """What intake has to ask about a request's own schema; ``None``: nothing.

    Only the local model is held to a schema by a grammar, and what that cannot hold is refused before
    anything is written.
    """
    if not settings.use_local_model or settings.narrative.providers.custom not in (LOCAL, (LOCAL,)):
        return None
    if find_spec("llguidance") is None:
        return None
    from infra.engine.grammar import unsupported  # noqa: PLC0415 - part of the extra

    def refuses(schema: Mapping[str, Any]) -> str | None:
        why = unsupported(schema)
        return None if why is None else f"the local model cannot be held to it: {why}"

    return refuses


def _provider(name: str, settings: Settings) -> Provider:
    narrative = settings.narrative
    if name == SCRIPTED:
        from infra.providers.scripted import Script, ScriptedProvider  # noqa: PLC0415 - only when routed

        return ScriptedProvider(Script.load(settings.script) if settings.script else Script())
    if name == LOCAL:
        from infra.providers.local import LocalProvider  # noqa: PLC0415 - only when routed

        return LocalProvider(settings.local)
    if name == OPENAI:
        return _server(name, narrative.openai, _variable(name))
    if name in narrative.servers:
        return _server(name, narrative.servers[name], _variable(name))
    known = ", ".join((LOCAL, OPENAI, SCRIPTED, *narrative.servers))
    return Missing(name, f"provider {name!r} is unknown; known are {known}")


def _server(name: str, server: OpenAIServer, variable: str) -> Provider:
    if server.model is None:
        return Missing(
            name, f"provider {name!r} has no model: set {variable}__MODEL to its name on the server"
        )
    if find_spec("openai") is None:
        return Missing(name, f"provider {name!r} needs the openai client: pip install 'understudy[openai]'")
    from infra.providers.openai import OpenAIProvider  # noqa: PLC0415 - only when routed

    return OpenAIProvider(server, name=name, variable=variable)


def _tariff(name: str, settings: Settings) -> Tariff:
    if name == LOCAL:
        from infra.providers.local import drafts_of  # noqa: PLC0415 - only when routed

        return Tariff(drafts=drafts_of(settings.local))
    if name == SCRIPTED:
        return FREE
    narrative = settings.narrative
    return Tariff.of(narrative.openai if name == OPENAI else narrative.servers[name], _variable(name))


def _variable(name: str) -> str:
    """Where a server's settings are."""
    return f"{_VARIABLE}OPENAI" if name == OPENAI else f"{_VARIABLE}SERVERS__{name.upper()}"


def _wrapper(
    settings: Settings, accounts: Accounts | None, on_guarded: Callable[[Breaker], object] | None
) -> Callable[[Provider], Provider]:
    """Puts breaker, budgets and cache around a provider.

    The scripted provider does what a test says, call for call; a missing one has nothing to protect.
    """
    log = structlog.get_logger()
    limits, allowed = settings.narrative.breaker, settings.budgets.limits()
    keep = (
        _cache(settings.narrative.response_cache, log) if settings.narrative.response_cache.enabled else None
    )

    def changed(change: Change) -> None:
        write = log.warning if change.now is State.OPEN else log.info
        write(
            "circuit breaker",
            provider=change.provider,
            model=change.model,
            was=str(change.was),
            state=str(change.now),
            problem=change.why,
        )

    def budgeted(provider: Provider) -> Provider:
        if accounts is None:
            return provider
        return Budgeted(provider, accounts=accounts, limits=allowed, tariff=_tariff(provider.name, settings))

    def wrapped(provider: Provider) -> Provider:
        if isinstance(provider, Missing):
            return provider
        if provider.name == SCRIPTED:
            return budgeted(provider)
        breaker = Breaker(provider, failures=limits.failures, cooldown_s=limits.cooldown, on_change=changed)
        if on_guarded is not None:
            on_guarded(breaker)
        guarded = budgeted(breaker)
        return guarded if keep is None else keep(guarded)

    return wrapped


def _cache(cache: ResponseCache, log: Any) -> Callable[[Provider], Provider]:
    memory = Memory(cache.entries)
    files = None
    if cache.directory is not None:
        from infra.providers.cache_files import CacheFiles  # noqa: PLC0415 - only with a folder

        files = CacheFiles(
            cache.directory,
            max_bytes=cache.max_bytes,
            on_fault=lambda what: log.warning("response cache", problem=what),
        )
    return lambda provider: Cached(provider, memory=memory, files=files)
