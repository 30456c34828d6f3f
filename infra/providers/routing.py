"""Routing: which provider writes which kind in this process, with what is around it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from cachetools import LRUCache

from contracts import pipeline
from contracts.errors import ErrorCode
from contracts.helper_tasks import ENHANCEMENT
from contracts.ports import ProviderError
from infra.extensions.entry_points import ExtensionError
from infra.providers import table
from infra.providers.answer_limits import FREEFORM, STRUCTURING, AnswerLimited
from infra.providers.breaker import Breaker, CircuitChange
from infra.providers.budget import Budgeted
from infra.providers.chain import Chain
from infra.providers.names import chains, helper_chains, unnamed, with_model
from infra.providers.observed import Observed
from infra.providers.port_guard import Guarded
from infra.providers.response_cache import CachedProvider, CachedResponse
from infra.providers.route_checks import problem
from infra.providers.servers import server_of, variable
from infra.telemetry.dispatch import Telemetry
from infra.telemetry.events import DefectFound
from infra.telemetry.provider_events import CircuitChanged
from infra.telemetry.store_events import ResponseCacheFailed

if TYPE_CHECKING:
    from contracts.events import Params
    from contracts.ports import Accounts, Completion, OnToken, Prompt, Provider
    from infra.providers.reservation import StructuringReservations
    from infra.providers.spec import SchemaLimit
    from infra.settings.narrative import OpenAIServer, ResponseCache
    from infra.settings.settings import Settings


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
    """A provider that a route names and that cannot be asked: every call fails and says what to do."""

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
    telemetry: Telemetry | None = None,
) -> dict[str, Provider]:
    """Provider by kind; empty when models are off, as :func:`build_providers`."""
    return build_providers(
        settings,
        accounts=accounts,
        on_made=on_made,
        on_guarded=on_guarded,
        ahead=ahead,
        telemetry=telemetry,
    ).by_kind


class ProviderSet:
    """The providers of one process: by kind and helper task as they are routed, and by name for reruns.

    Args:
        settings: this process's settings.
        wrap: puts breaker, budgets and cache around a provider, under some settings and for a helper task or none.
        on_made: gets every provider, without what is around it.
        stages: the stages of this process.
    """

    def __init__(
        self,
        settings: Settings,
        wrap: Callable[[Settings, Provider, str], Provider],
        on_made: Callable[[Provider], object] | None,
        *,
        stages: Collection[str] = pipeline.STAGES,
    ) -> None:
        self._settings = settings
        self._wrap = wrap
        self._on_made = on_made
        self._bare: dict[str, Provider] = {}
        self._made: dict[str, Provider] = {}
        #: Empty when models are off.
        self.by_kind: dict[str, Provider] = {}
        #: Without the tasks that are off.
        self.by_task: dict[str, Provider] = {}
        if settings.use_local_model and pipeline.EXPENSIVE & set(stages):
            for kind, names in chains(settings):
                self.by_kind[kind] = _chain(self._make(settings, name, key=name) for name in names)
        if settings.use_local_model:
            tasks = pipeline.helpers(stages)
            for task, names in helper_chains(settings):
                if task in tasks:
                    self.by_task[task] = _chain(self._make_helper(name, task) for name in names)

    def find(self, name: str) -> Provider:
        """The provider of a name; one that refuses every call where it cannot be used.

        Args:
            name: a provider that a route names, a server, or ``server/model`` for another model of a server.
        """
        if name in self._made:
            return self._made[name]
        why = unnamed(self._settings, name)
        if why is not None:
            return Missing(name, why)
        server, _, model = name.partition("/")
        return self._make(with_model(self._settings, server, model), server, key=name)

    def _make(self, settings: Settings, name: str, *, key: str) -> Provider:
        if key not in self._made:
            bare = self._make_bare(settings, name, key=key)
            self._made[key] = _limited(self._wrap(settings, bare, ""), settings, name)
        return self._made[key]

    def _make_helper(self, name: str, task: str) -> Provider:
        """A provider for a helper task, with a breaker of its own.

        Its short time-outs say nothing about the long calls that write.
        """
        return self._wrap(self._settings, self._make_bare(self._settings, name, key=name), task)

    def _make_bare(self, settings: Settings, name: str, *, key: str) -> Provider:
        if key not in self._bare:
            self._bare[key] = _make(settings, name)
            if self._on_made is not None:
                self._on_made(self._bare[key])
        return self._bare[key]


def build_providers(
    settings: Settings,
    *,
    accounts: Accounts | None = None,
    on_made: Callable[[Provider], object] | None = None,
    on_guarded: Callable[[Breaker], object] | None = None,
    ahead: StructuringReservations | None = None,
    telemetry: Telemetry | None = None,
    responses: MutableMapping[str, CachedResponse] | None = None,
    stages: Collection[str] = pipeline.STAGES,
) -> ProviderSet:
    """The providers of a process.

    Each provider that a route names is made once, with its circuit breaker, budgets and the response cache
    around it.

    Args:
        settings: this process's settings.
        accounts: where budgets are kept; none: nothing is budgeted.
        on_made: gets every provider, without what is around it.
        on_guarded: gets every circuit breaker.
        ahead: keeps what is reserved for the call that follows a draft; none: it comes back with its deadline.
        telemetry: gets what happens to providers.
        responses: the process's layer of the response cache; none: one of its own.
        stages: the stages of this process, which decide what it needs a provider for.
    """
    memory = LRUCache(settings.narrative.response_cache.entries) if responses is None else responses
    own = _wrapper(settings, accounts, on_guarded, ahead, telemetry or Telemetry(), memory)

    def wrap(under: Settings, bare: Provider, task: str) -> Provider:
        if under is settings:
            return own(bare, task)
        return _wrapper(under, accounts, on_guarded, ahead, telemetry or Telemetry(), memory)(bare, task)

    return ProviderSet(settings, wrap, on_made, stages=stages)


def routes(settings: Settings) -> dict[str, str]:
    """What writes each kind, in words that change when it does; empty when models are off.

    Part of every key in the result cache: another model's content is not what was asked for.  A judge changes no
    content, and is left out.
    """
    if not settings.use_local_model:
        return {}
    rewriting = dict(helper_chains(settings)).get(ENHANCEMENT, ())
    also = ["then", *(_identity(settings, name) for name in rewriting)] if rewriting else []
    return {
        kind: " ".join([*(_identity(settings, name) for name in names), *also])
        for kind, names in chains(settings)
    }


def identify(settings: Settings, name: str) -> str:
    """A provider in words that change when what it writes does; ``server/model`` is another model of a server."""
    server, _, model = name.partition("/")
    return f"{name} {_identity(with_model(settings, server, model), server)}"


def servers(settings: Settings) -> dict[str, tuple[OpenAIServer, str]]:
    """The servers that routes name: their settings, and the prefix of the variables of these."""
    routes = (*chains(settings), *helper_chains(settings))
    named = dict.fromkeys(name for _, names in routes for name in names)
    return {
        name: (server_of(settings, name), variable(name)) for name in named if table.is_server(settings, name)
    }


def refused_schemas(settings: Settings) -> SchemaLimit | None:
    """The limit on a request's own schema where one provider alone writes ``custom``; ``None``: no limit."""
    if not settings.use_local_model:
        return None
    match dict(chains(settings))["custom"]:
        case (name,) if name in table.known(settings):
            return table.spec_of(settings, name).schema_limit(settings, name)
        case _:
            return None


def answer_limits(settings: Settings, name: str) -> dict[tuple[str, str], int]:
    """The longest answers of a provider's model, in tokens by content kind and stage, where it has limits of its own."""
    try:
        limit = table.spec_of(settings, name).answer_limit
    except (KeyError, ExtensionError):
        return {}
    calls = [(kind, stage) for kind, _ in chains(settings) for stage in (FREEFORM, STRUCTURING)]
    return {call: tokens for call in calls if (tokens := limit(settings, name, *call)) is not None}


def _chain(links: Iterable[Provider]) -> Provider:
    asked = tuple(links)
    return asked[0] if len(asked) == 1 else Chain(asked)


def _limited(provider: Provider, settings: Settings, name: str) -> Provider:
    limits = answer_limits(settings, name)
    return AnswerLimited(provider, limits=limits) if limits else provider


def _identity(settings: Settings, name: str) -> str:
    try:
        return table.identity_of(settings, name)
    except (KeyError, ExtensionError):
        return name


def _make(settings: Settings, name: str) -> Provider:
    known = table.known(settings)
    if name not in known:
        return Missing(name, f"provider {name!r} is unknown; known are {', '.join(known)}")
    why = problem(settings, name)
    if why is not None:
        return Missing(name, why)
    try:
        made = table.spec_of(settings, name).make(settings, name)
    except Exception as error:
        extension = settings.extensions.providers.get(name)
        if extension is None:
            raise
        raise extension.error(f"it makes no provider: {type(error).__name__}: {error}") from error
    if made.name != name:
        raise settings.extensions.providers[name].error(
            f"its provider calls itself {made.name!r}, not {name!r}"
        )
    return made


def _wrapper(
    settings: Settings,
    accounts: Accounts | None,
    on_guarded: Callable[[Breaker], object] | None,
    ahead: StructuringReservations | None,
    telemetry: Telemetry,
    memory: MutableMapping[str, CachedResponse],
) -> Callable[[Provider, str], Provider]:
    """Puts breaker, budgets and cache around a provider, for a helper task or none.

    A test double gets every call; a missing provider has nothing to protect.
    """
    limits, allowed = settings.narrative.breaker, settings.budgets.limits()
    keep = (
        _cache(settings.narrative.response_cache, telemetry, memory)
        if settings.narrative.response_cache.enabled
        else None
    )

    def emit_change(change: CircuitChange) -> None:
        telemetry.emit(
            CircuitChanged(
                provider=change.provider,
                model=change.model,
                was=change.was,
                state=change.now,
                problem=change.why,
            )
        )

    def emit_defect(provider: Provider, error: Exception) -> None:
        telemetry.emit(DefectFound(part=f"provider {provider.name} ({provider.model})", raised=error))

    def budgeted(provider: Provider, task: str) -> Provider:
        if accounts is None:
            return provider
        return Budgeted(
            provider,
            accounts=accounts,
            limits=allowed,
            tariff=table.spec_of(settings, provider.name).tariff(settings, provider.name),
            ahead=None if task else ahead,
            task=task,
        )

    def wrap(provider: Provider, task: str) -> Provider:
        if isinstance(provider, Missing):
            return provider
        if table.spec_of(settings, provider.name).double:
            return budgeted(Observed(provider, telemetry), task)
        guarded = Guarded(provider, on_defect=lambda error: emit_defect(provider, error))
        breaker = Breaker(
            Observed(guarded, telemetry),
            failures=limits.failures,
            cooldown_s=limits.cooldown,
            on_change=emit_change,
            task=task,
        )
        if on_guarded is not None:
            on_guarded(breaker)
        paid = budgeted(breaker, task)
        return paid if keep is None else keep(paid)

    return wrap


def _cache(
    cache: ResponseCache, telemetry: Telemetry, memory: MutableMapping[str, CachedResponse]
) -> Callable[[Provider], Provider]:
    store = None
    if cache.directory is not None:
        from infra.providers.response_store import ResponseStore  # noqa: PLC0415 - only with a folder

        store = ResponseStore(
            cache.directory,
            max_bytes=cache.max_bytes,
            on_fault=lambda what: telemetry.emit(ResponseCacheFailed(problem=what)),
        )
    return lambda provider: CachedProvider(provider, memory=memory, store=store)
