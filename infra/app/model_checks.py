"""Checks of models: what the routes name, whether it can answer, and whether each content kind fits its window.

A kind fits if its window holds both calls: the instruction, a wish or draft, and an answer.  The answer is counted
with at most half of the window, which is what calls reserve for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, Literal, Protocol, runtime_checkable

import msgspec

from contracts.content.registry import Registry
from contracts.content.sketch import sketch
from contracts.events import Params
from contracts.policy.budget import NANOS
from contracts.ports import Prompt, ProviderError
from infra.extensions.entry_points import ExtensionError
from infra.host import parent_death, runtime_file
from infra.providers import route_checks, routing, table
from infra.providers.answer_limits import FREEFORM, STRUCTURING, limit_answer
from infra.providers.servers import server_of, variable, window_of
from infra.providers.spec import ContextWindow, ModelInfo
from infra.settings.narrative import KindLimits
from infra.stores import prompts as prompt_store
from infra.telemetry.process_events import WindowTooSmall
from stages.context_build.prompts import render_freeform
from stages.structuring.prompts import compact_prompt, structuring_prompt

if TYPE_CHECKING:
    from collections.abc import Iterable

    from infra.providers.probing import ProbeResult
    from infra.settings.settings import Settings
    from infra.telemetry.dispatch import Telemetry

#: Tokens of the shortest wish or draft that is worth a call.
_LEAST_TEXT: Final = 32
_CUSTOM: Final = "custom"
#: The call that shows whether a server follows a schema.
_QUESTION: Final = 'Is fire hot?  Answer with JSON only: {"answer": "yes"} or {"answer": "no"}.'
_SCHEMA: Final = {
    "type": "object",
    "properties": {"answer": {"enum": ["yes", "no"]}},
    "required": ["answer"],
    "additionalProperties": False,
}
_ANSWERS: Final = ('{"answer":"yes"}', '{"answer":"no"}')
_CALL_TOKENS: Final = 512
_CALL_S: Final = 60.0
_SHOWN: Final = 60

Fit = Literal["yes", "tight", "no", "unknown"]
Calls = Literal["none", "servers", "every"]


@runtime_checkable
class _Closing(Protocol):
    async def close(self) -> None:
        """End connections."""
        ...


class ModelRow(msgspec.Struct, frozen=True, kw_only=True):
    """A provider that routes name, and its model; ``None`` where something is not known."""

    provider: str
    kinds: tuple[str, ...]
    model: str
    place: str
    title: str | None = None
    licence: str | None = None
    size_bytes: int | None = None
    #: Tokens of prompt and answer that one request can use.
    window: int | None = None
    #: Money for 1,000 tokens.
    price_prompt: float | None = None
    price_completion: float | None = None
    #: The model is in memory.
    loaded: bool | None = None
    #: How documents follow their schema.
    schemas: str | None = None
    ok: bool = True
    detail: str = ""
    #: What to do; empty where nothing is to be done.
    fix: str = ""


class KindRow(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a content kind fits the window of one provider of its route; numbers are tokens."""

    kind: str
    provider: str
    fits: Fit
    window: int | None = None
    #: The instruction of the writing call with a short wish, and its longest answer.
    writing_prompt: int | None = None
    writing_answer: int | None = None
    #: The instruction of the structuring call without the draft, and its longest answer.
    structuring_prompt: int | None = None
    structuring_answer: int | None = None
    #: The counts are estimates.
    estimated: bool = False
    detail: str = ""
    fix: str = ""


class ModelReport(msgspec.Struct, frozen=True, kw_only=True):
    """All models and kinds."""

    #: Every kind has a provider that can write it.
    ok: bool
    #: ``False``: no model is called, golden samples answer.
    enabled: bool
    models: tuple[ModelRow, ...]
    kinds: tuple[KindRow, ...]
    #: Kinds that no provider of their route can write.
    unserved: tuple[str, ...] = ()


async def examine(settings: Settings, *, call: Calls = "none") -> ModelReport:
    """Check every provider and kind.

    Args:
        settings: this process's settings.
        call: whose model is also called once: that of each server, or of every provider, which loads a model of
            this machine.  Without it servers are asked what they have.
    """
    probed = await _probe(settings)
    report = await asyncio.to_thread(_report, settings, probed)
    names = [row.provider for row in report.models if row.ok and (call == "every" or row.provider in probed)]
    if call == "none":
        return report
    called = {name: await _called(settings, name) for name in names}
    models = tuple(called[row.provider](row) if row.provider in called else row for row in report.models)
    return _served(report, models)


async def emit_misfits(settings: Settings, telemetry: Telemetry) -> None:
    """Emit the kinds that do not fit the window of a model."""
    probed = await _probe(settings)
    for row in await asyncio.to_thread(fits, settings, probed):
        if row.fits == "no":
            telemetry.emit(
                WindowTooSmall(provider=row.provider, kind=row.kind, problem=row.detail, fix=row.fix)
            )


async def _called(settings: Settings, name: str) -> Callable[[ModelRow], ModelRow]:
    """What a small call to a server shows of it."""
    provider = table.spec_of(settings, name).make(settings, name)
    prompt = Prompt(text=_QUESTION, kind="answer", stage="check", request_id="check")
    params = Params(temperature=0.0, top_p=1.0, max_tokens=_CALL_TOKENS, seed=0, timeout_s=_CALL_S)
    try:
        done = await provider.generate(prompt, params, _SCHEMA)
    except ProviderError as error:
        why = str(error)
        return lambda row: msgspec.structs.replace(
            row, ok=False, detail=f"{row.detail}; a call failed: {why}"
        )
    finally:
        if isinstance(provider, _Closing):
            await provider.close()
    follows = (
        "and followed it"
        if done.text.strip().replace(" ", "") in _ANSWERS
        else f"and answered {done.text[:_SHOWN]!r}"
    )
    return lambda row: msgspec.structs.replace(row, schemas=f"{done.note or 'a grammar'}, {follows}")


def _served(report: ModelReport, models: tuple[ModelRow, ...]) -> ModelReport:
    """A report with other findings about its models."""
    usable = {row.provider for row in models if row.ok}
    served = {row.kind for row in report.kinds if row.provider in usable and row.fits != "no"}
    unserved = tuple(dict.fromkeys(row.kind for row in report.kinds if row.kind not in served))
    return msgspec.structs.replace(report, ok=not unserved, models=models, unserved=unserved)


def fits(settings: Settings, probed: Mapping[str, ProbeResult] | None = None) -> tuple[KindRow, ...]:
    """Whether each kind fits each provider of its route.

    Args:
        settings: this process's settings.
        probed: what servers said of themselves.
    """
    found: list[KindRow] = []
    calls = _Calls(settings)
    windows = {name: _window(settings, name, (probed or {}).get(name)) for name in _names(settings)}
    for kind, names in routing.chains(settings):
        found += [calls.fit(kind, name, windows[name]) for name in names]
    return tuple(found)


async def _probe(settings: Settings) -> dict[str, ProbeResult]:
    usable = {
        name: where
        for name, where in routing.servers(settings).items()
        if route_checks.problem(settings, name) is None
    }
    if not usable:
        return {}
    from infra.providers.probing import probe  # noqa: PLC0415 - needs the extra

    return dict(zip(usable, await asyncio.gather(*map(probe, usable.values())), strict=True))


def _report(settings: Settings, probed: Mapping[str, ProbeResult]) -> ModelReport:
    models = tuple(_model(settings, name, probed.get(name)) for name in _names(settings))
    report = ModelReport(ok=True, enabled=settings.use_local_model, models=(), kinds=fits(settings, probed))
    return _served(report, models)


def _names(settings: Settings) -> Iterable[str]:
    return dict.fromkeys(name for _, names in _routes(settings) for name in names)


def _routes(settings: Settings) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The providers of kinds and of helper tasks."""
    return (*routing.chains(settings), *routing.helper_chains(settings))


def _model(settings: Settings, name: str, probed: ProbeResult | None) -> ModelRow:
    kinds = tuple(kind for kind, names in _routes(settings) if name in names)
    problem = route_checks.problem(settings, name)
    try:
        spec = table.spec_of(settings, name)
    except (KeyError, ExtensionError):
        return ModelRow(provider=name, kinds=kinds, model="", place="", ok=False, detail=problem or "")
    info = spec.describe(settings, name) or ModelInfo(model="", place="")
    tariff = spec.tariff(settings, name)
    problem = problem or info.problem
    window = _window(settings, name, probed)
    row = ModelRow(
        provider=name,
        kinds=kinds,
        model=info.model,
        place=info.place,
        title=info.title,
        licence=info.licence,
        size_bytes=info.size_bytes,
        window=window.tokens if window else info.window,
        price_prompt=_price(tariff.prompt),
        price_completion=_price(tariff.completion),
        loaded=probed.loaded if probed else _loaded(settings, name),
        schemas=info.schemas,
    )
    if problem is not None:
        return msgspec.structs.replace(row, ok=False, detail=problem)
    if probed is not None:
        return msgspec.structs.replace(row, ok=probed.reached, detail=probed.detail, fix=probed.fix)
    return row


def _price(nanos: float | None) -> float | None:
    return None if nanos is None else nanos * 1000 / NANOS


def _loaded(settings: Settings, name: str) -> bool | None:
    """Whether a model of this machine is in memory: certainly not where no pipeline runs."""
    if table.is_server(settings, name):
        return None
    try:
        runtime = runtime_file.read(settings)
    except runtime_file.StaleRuntimeError:
        return None
    return None if runtime is not None and parent_death.alive(runtime.pid) else False


def _window(settings: Settings, name: str, probed: ProbeResult | None) -> ContextWindow | None:
    try:
        window = table.spec_of(settings, name).window(settings, name)
    except (KeyError, ExtensionError):
        return None
    if window is None and probed is not None and probed.window is not None:
        return window_of(server_of(settings, name), variable(name), probed.window)
    return window


def _is_double(settings: Settings, name: str) -> bool:
    try:
        return table.spec_of(settings, name).double
    except (KeyError, ExtensionError):
        return False


class _Calls:
    """The two calls of each kind, as the stages make them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._prompts = prompt_store.load(*settings.prompt_folders)
        self._contents = Registry()

    def fit(self, kind: str, name: str, window: ContextWindow | None) -> KindRow:
        """Whether a kind fits a window."""
        if window is None and _is_double(self._settings, name):
            return KindRow(kind=kind, provider=name, fits="yes", detail="a test double has no window")
        if window is None:
            why = "the window of its model is not known"
            fix = f"set {variable(name)}__WINDOW" if table.is_server(self._settings, name) else ""
            return KindRow(kind=kind, provider=name, fits="unknown", detail=why, fix=fix)
        half = window.tokens // 2
        writing, structuring = window.count(self._writing(kind)), window.count(self._structuring(kind))
        draft, document = (self._answer(kind, name, stage) for stage in (FREEFORM, STRUCTURING))
        row = KindRow(
            kind=kind,
            provider=name,
            fits="yes",
            window=window.tokens,
            writing_prompt=writing,
            writing_answer=draft,
            structuring_prompt=structuring,
            structuring_answer=document,
            estimated=window.estimated,
        )
        rules = max(writing, structuring + _LEAST_TEXT)
        if max(writing + min(draft, half), structuring + _LEAST_TEXT + min(document, half)) > window.tokens:
            return msgspec.structs.replace(
                row,
                fits="no",
                detail=f"its prompts take {rules} tokens; the window holds {window.tokens}, half of it for the answer",
                fix=window.fix(2 * rules),
            )
        needed = structuring + draft + min(document, half)
        if needed > window.tokens:
            longest = window.tokens - structuring - min(document, half)
            return msgspec.structs.replace(
                row,
                fits="tight",
                detail=f"a draft may have {draft} tokens, and {longest} of them fit the window of {window.tokens}",
                fix=f"{window.fix(structuring + draft + document)}; or {self._lower(kind)}",
            )
        about = " (estimated)" if window.estimated else ""
        own = "; a request's own schema comes on top" if kind == _CUSTOM else ""
        return msgspec.structs.replace(row, detail=f"{needed} of {window.tokens} tokens{about}{own}")

    def _lower(self, kind: str) -> str:
        setting = f"UNDERSTUDY_NARRATIVE__DEFAULTS__KINDS__{kind.upper()}"
        return f"lower {setting}__FREEFORM__MAX_TOKENS or __STRUCTURING__MAX_TOKENS"

    def _writing(self, kind: str) -> Prompt:
        text = render_freeform(self._prompts, kind, "a wish of a few words").text
        return Prompt(text=text, kind=kind, stage=FREEFORM, request_id="check")

    def _structuring(self, kind: str) -> Prompt:
        schema = {} if kind == _CUSTOM else self._contents.schema(kind, None)
        fields = "" if kind == _CUSTOM else sketch(schema)
        return Prompt(
            text=structuring_prompt(kind, "", msgspec.json.encode(schema).decode()),
            compact=compact_prompt(kind, "", fields),
            kind=kind,
            stage=STRUCTURING,
            request_id="check",
        )

    def _answer(self, kind: str, name: str, stage: str) -> int:
        defaults = self._settings.narrative.defaults
        own = defaults.kinds.get(kind, KindLimits())
        tokens = (
            own.freeform.max_tokens or defaults.freeform.max_tokens
            if stage == FREEFORM
            else own.structuring.max_tokens or defaults.structuring.max_tokens
        )
        return limit_answer(tokens, stage, routing.answer_limits(self._settings, name).get((kind, stage)))
