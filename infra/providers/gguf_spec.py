"""GGUF models in the table of providers.

Imports without the extra ``gguf``; the provider itself needs it.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from infra.engine.files import Unloadable
from infra.host import extras
from infra.providers import local
from infra.providers.gguf_files import model_of
from infra.providers.spec import ProviderSpec, SchemaLimit

if TYPE_CHECKING:
    from contracts.ports import Provider
    from infra.settings.settings import Settings

#: Modules of the extra.
NEEDS: Final = ("xllamacpp", "httpx2", "llguidance")


def _make(settings: Settings, name: str) -> Provider:
    del name
    from infra.providers.gguf import GgufProvider  # noqa: PLC0415 - needs the extra

    return GgufProvider(settings.gguf, model_of(settings.gguf))


def _problem(settings: Settings, name: str) -> str | None:
    missing = next((each for each in NEEDS if find_spec(each) is None), None)
    if missing is not None:
        return f"provider {name!r} needs {missing}: {extras.install_command('gguf')}"
    try:
        model_of(settings.gguf).check()
    except Unloadable as error:
        return str(error)
    return None


def _identity(settings: Settings, name: str) -> str:
    try:
        return f"{name}:{model_of(settings.gguf).name}"
    except Unloadable:
        return f"{name}:{settings.gguf.model}"


def _schema_limit(settings: Settings, name: str) -> SchemaLimit | None:
    """The local provider's: both use the same grammars, and llama.cpp ignores one that it cannot compile."""
    return local.SPEC.schema_limit(settings, name)


SPEC: Final = ProviderSpec(make=_make, problem=_problem, identity=_identity, schema_limit=_schema_limit)
