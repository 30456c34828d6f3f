"""Model names of OpenAI's API: ``understudy/<kind>``, and the models that the settings route."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from contracts.errors import UnderstudyError
from contracts.kinds import KINDS
from infra.gateway.openai_api.error_form import refuse_parameter
from infra.providers import table
from infra.providers.names import chains

if TYPE_CHECKING:
    from understudy_client import Result

    from infra.settings.settings import Settings

#: What the names of kinds begin with.
OWN: Final = "understudy"
#: The kind whose schema the request brings.
CUSTOM: Final = "custom"
#: Origins of content that a model wrote.
MODEL_ORIGINS: Final = frozenset({"live", "cache"})
_WRITTEN: Final = MODEL_ORIGINS | {"scripted"}


def routed_models(settings: Settings) -> dict[str, tuple[str, ...]]:
    """The models of the routes, and the kinds that each may write; none while models are off."""
    found: dict[str, list[str]] = {}
    if not settings.use_local_model:
        return {}
    routes = dict(chains(settings))
    for kind in KINDS:
        for provider in routes.get(kind, ()):
            for name in dict.fromkeys((_model_of(settings, provider) or provider, provider)):
                found.setdefault(name, []).append(kind)
    return {name: tuple(kinds) for name, kinds in found.items()}


def list_models(settings: Settings) -> list[dict[str, Any]]:
    """Every model that a request may name."""
    own = [_entry(f"{OWN}/{kind}", OWN, (kind,)) for kind in KINDS]
    return own + [_entry(name, "routed", kinds) for name, kinds in routed_models(settings).items()]


def choose_kind(settings: Settings, model: str, *, schema: bool, object_only: bool) -> str:
    """The kind of content that a model's name means.

    Args:
        settings: where models are routed.
        model: the name.
        schema: the request brings a schema; its kind is ``custom``.
        object_only: it asks for any JSON object.

    Raises:
        Problem: 404, there is no such model; 400, it cannot write what is asked.
    """
    family, _, kind = model.partition("/")
    if family == OWN and (not kind or kind in KINDS):
        kinds: tuple[str, ...] = (kind,) if kind else tuple(KINDS)
    else:
        kinds = routed_models(settings).get(model, ())
        if not kinds:
            listed = ", ".join(each["id"] for each in list_models(settings))
            raise refuse_parameter(
                "model",
                f"there is no model {model!r}; use one of {listed}",
                code="model_not_found",
                status=404,
            )
        if schema and CUSTOM not in kinds:
            raise refuse_parameter(
                "model", f"{model!r} writes {', '.join(kinds)} only, without a schema of your own"
            )
    if schema:
        return CUSTOM
    chosen = next((each for each in kinds if each != CUSTOM), CUSTOM)
    if chosen == CUSTOM and not object_only:
        raise refuse_parameter(
            "response_format", f"{model!r} writes by a schema of your own: send a format of type json_schema"
        )
    return chosen


def served_by(result: Result) -> str:
    """The model that wrote a result's content, or what stood in for it."""
    if result.origin in _WRITTEN:
        return result.meta.model or result.meta.provider or OWN
    name = f"{OWN}/{result.origin}"
    return name if result.stand_in is None else f"{name}:{result.stand_in.name}"


def _entry(name: str, owner: str, kinds: tuple[str, ...]) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": owner, OWN: {"kinds": kinds}}


def _model_of(settings: Settings, provider: str) -> str | None:
    try:
        described = table.spec_of(settings, provider).describe(settings, provider)
    except (KeyError, UnderstudyError):
        return None
    return None if described is None else described.model
