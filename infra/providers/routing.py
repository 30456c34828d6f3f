"""Which provider writes which kind in this process?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from contracts.errors import ErrorCode, ProviderError
from contracts.result import SCRIPTED

if TYPE_CHECKING:
    from contracts.events import Params
    from contracts.ports import Completion, OnToken, Prompt, Provider
    from infra.settings import Settings


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


def providers(settings: Settings) -> dict[str, Provider]:
    """Provider by kind; empty when no model is wanted."""
    if not settings.use_local_model:
        return {}
    made: dict[str, Provider] = {}
    routes = settings.narrative.providers.model_dump()
    for name in set(routes.values()):
        made[name] = _provider(name, settings)
    return {kind: made[name] for kind, name in routes.items()}


def _provider(name: str, settings: Settings) -> Provider:
    if name == SCRIPTED:
        from infra.providers.scripted import Script, ScriptedProvider  # noqa: PLC0415 - only when routed

        return ScriptedProvider(Script.load(settings.script) if settings.script else Script())
    if name == "local":
        return Missing(name, "provider 'local' is not part of this version yet; route to another provider")
    return Missing(name, f"provider {name!r} is unknown; known are local and {SCRIPTED}")
