"""Which provider writes which kind in this process?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

import structlog

from contracts.errors import ErrorCode
from contracts.ports import ProviderError
from contracts.result import SCRIPTED
from infra.providers.breaker import Breaker, CircuitChange, CircuitState
from infra.providers.budget import FREE, Budgeted, Tariff
from infra.providers.chain import Chain
from infra.providers.port_guard import Guarded
from infra.providers.response_cache import CachedProvider, ResponseMemory
from infra.settings.settings import SettingsError

if TYPE_CHECKING:
    from contracts.events import Params
    from contracts.ports import Accounts, Completion, OnToken, Prompt, Provider
    from infra.providers.reservation import StructuringReservations
    from infra.settings.settings import OpenAIServer, ResponseCache, Settings

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
    ahead: StructuringReservations | None = None,
) -> dict[str, Provider]:
    """Provider by kind; empty when no model is wanted.

    Each provider that is named is made once, with its circuit breaker, budgets and the response cache around it.

    Args:
        settings: this process's settings.
        accounts: where budgets are kept; none: nothing is budgeted.
        on_made: told of every provider, without what is around it.
        on_guarded: told of every circuit breaker.
        ahead: keeps what is reserved for the call that follows a draft; none: it comes back with its deadline.
    """
    if not settings.use_local_model:
        return {}
    wrapped = _wrapper(settings, accounts, on_guarded, ahead)
    made: dict[str, Provider] = {}
    routed: dict[str, Provider] = {}
    for kind, names in _chains(settings):
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
        kind: " ".join(_written_by(name, settings) for name in names) for kind, names in _chains(settings)
    }


def check(settings: Settings) -> tuple[str, ...]:
    """What is wrong with the providers that the settings name, one sentence each, with what to do.

    A name that is no provider is a mistake also while no model is wanted; what a provider lacks is not.
    Whether a server answers, and whether a model can be loaded, is not known before it is tried.
    """
    return tuple(dict.fromkeys(_mistakes(settings)))


def require(settings: Settings) -> None:
    """Refuse settings that name providers which cannot be.

    Raises:
        SettingsError: naming each setting, its value and what is allowed.
    """
    mistakes = check(settings)
    if mistakes:
        raise SettingsError("; ".join(mistakes))


def servers(settings: Settings) -> dict[str, tuple[OpenAIServer, str]]:
    """The servers that routes name: their settings, and the prefix of the variables of these."""
    named = dict.fromkeys(name for _, names in _chains(settings) for name in names)
    return {
        name: (server_of(name, settings), _variable(name)) for name in named if name not in {LOCAL, SCRIPTED}
    }


def _mistakes(settings: Settings) -> Iterator[str]:
    narrative = settings.narrative
    for name in (LOCAL, OPENAI, SCRIPTED):
        if name in narrative.servers:
            yield (
                f"setting {_VARIABLE}SERVERS names a server {name!r}, and that is a provider of its own; "
                "choose another name"
            )
    known = (LOCAL, OPENAI, SCRIPTED, *narrative.servers)
    named: dict[str, list[str]] = {}
    for kind, names in _chains(settings):
        for name in names:
            named.setdefault(name, []).append(kind.upper())
    for name, (first, *others) in named.items():
        also = f" (and {', '.join(others)})" if others else ""
        where = f"setting {_VARIABLE}PROVIDERS__{first}{also}"
        if name not in known:
            near = get_close_matches(name, known, n=1)
            yield (
                f"{where} is {name!r}: no such provider"
                f"{f', did you mean {near[0]!r}?' if near else ''}; known are {', '.join(known)}"
            )
        elif (
            settings.use_local_model and name not in {LOCAL, SCRIPTED} and (why := _unusable(name, settings))
        ):
            yield f"{where} is {name!r}: {why}"


def _unusable(name: str, settings: Settings) -> str | None:
    """Why a server cannot be asked; ``None`` where it can."""
    server, variable = server_of(name, settings), _variable(name)
    if not (server.model or "").strip():
        return f"provider {name!r} has no model: set {variable}__MODEL to its name on the server"
    if find_spec("httpx2") is None:
        return f"provider {name!r} needs an HTTP client: pip install 'understudy-pipeline[openai]'"
    from infra.providers.openai import mistake  # noqa: PLC0415 - only when routed

    return mistake(server, variable)


def _chains(settings: Settings) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each kind with the names of its providers."""
    for kind, route in settings.narrative.providers:
        yield kind, (route,) if isinstance(route, str) else route


def server_of(name: str, settings: Settings) -> OpenAIServer:
    """The settings of a server that routes name."""
    return settings.narrative.openai if name == OPENAI else settings.narrative.servers[name]


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
    if name == OPENAI or name in narrative.servers:
        why = _unusable(name, settings)
        if why is not None:
            return Missing(name, why)
        from infra.providers.openai import OpenAIProvider  # noqa: PLC0415 - only when routed

        return OpenAIProvider(server_of(name, settings), name=name, variable=_variable(name))
    known = ", ".join((LOCAL, OPENAI, SCRIPTED, *narrative.servers))
    return Missing(name, f"provider {name!r} is unknown; known are {known}")


def _tariff(name: str, settings: Settings) -> Tariff:
    if name == LOCAL:
        from infra.providers.local import drafts_of  # noqa: PLC0415 - only when routed

        return Tariff(drafts=drafts_of(settings.local))
    if name == SCRIPTED:
        return FREE
    return Tariff.of(server_of(name, settings), _variable(name))


def _variable(name: str) -> str:
    """Where a server's settings are."""
    return f"{_VARIABLE}OPENAI" if name == OPENAI else f"{_VARIABLE}SERVERS__{name.upper()}"


def _wrapper(
    settings: Settings,
    accounts: Accounts | None,
    on_guarded: Callable[[Breaker], object] | None,
    ahead: StructuringReservations | None,
) -> Callable[[Provider], Provider]:
    """Puts breaker, budgets and cache around a provider.

    The scripted provider does what a test says, call for call; a missing one has nothing to protect.
    """
    log = structlog.get_logger()
    limits, allowed = settings.narrative.breaker, settings.budgets.limits()
    keep = (
        _cache(settings.narrative.response_cache, log) if settings.narrative.response_cache.enabled else None
    )

    def changed(change: CircuitChange) -> None:
        write = log.warning if change.now is CircuitState.OPEN else log.info
        write(
            "circuit breaker",
            provider=change.provider,
            model=change.model,
            was=str(change.was),
            state=str(change.now),
            problem=change.why,
        )

    def told(provider: Provider, error: Exception) -> None:
        log.error("defect in a provider", provider=provider.name, model=provider.model, exc_info=error)

    def budgeted(provider: Provider) -> Provider:
        if accounts is None:
            return provider
        return Budgeted(
            provider,
            accounts=accounts,
            limits=allowed,
            tariff=_tariff(provider.name, settings),
            ahead=ahead,
        )

    def wrapped(provider: Provider) -> Provider:
        if isinstance(provider, Missing):
            return provider
        if provider.name == SCRIPTED:
            return budgeted(provider)
        guarded = Guarded(provider, on_defect=lambda error: told(provider, error))
        breaker = Breaker(guarded, failures=limits.failures, cooldown_s=limits.cooldown, on_change=changed)
        if on_guarded is not None:
            on_guarded(breaker)
        paid = budgeted(breaker)
        return paid if keep is None else keep(paid)

    return wrapped


def _cache(cache: ResponseCache, log: Any) -> Callable[[Provider], Provider]:
    memory = ResponseMemory(cache.entries)
    files = None
    if cache.directory is not None:
        from infra.providers.response_cache_files import CacheFiles  # noqa: PLC0415 - only with a folder

        files = CacheFiles(
            cache.directory,
            max_bytes=cache.max_bytes,
            on_fault=lambda what: log.warning("response cache", problem=what),
        )
    return lambda provider: CachedProvider(provider, memory=memory, files=files)
