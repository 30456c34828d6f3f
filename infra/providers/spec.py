"""Provider specification: what the table of providers says about each one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from contracts.content.verdict import Verdict
from infra.providers.budget import FREE, Tariff

if TYPE_CHECKING:
    from contracts.ports import Prompt, Provider
    from infra.settings.settings import Settings

#: Says why a JSON Schema cannot be followed, or as a verdict, what of it is not enforced; ``None``: it can.
SchemaLimit = Callable[[Mapping[str, Any]], Verdict | str | None]


def _free(settings: Settings, name: str) -> Tariff:
    del settings, name
    return FREE


def _nothing(settings: Settings, name: str) -> None:
    del settings, name


def _no_limit(settings: Settings, name: str, kind: str, stage: str) -> None:
    del settings, name, kind, stage


class ContextWindow(msgspec.Struct, frozen=True, kw_only=True):
    """What a model holds of prompt and answer together."""

    tokens: int
    #: Tokens of a prompt as this model gets it.
    count: Callable[[Prompt], int]
    #: The counts are estimates: the tokenizer is not at hand.
    estimated: bool = False
    #: Says what to do where more tokens are needed, which are given.
    fix: Callable[[int], str]


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a provider's model without asking it; ``None`` where it is not known."""

    model: str
    #: A folder, a file, a hub id, or the address of a server.
    place: str
    #: The name that the model gives itself, and its licence.
    title: str | None = None
    licence: str | None = None
    size_bytes: int | None = None
    #: Tokens of its own window; the settings may allow less.
    window: int | None = None
    #: How documents follow their schema.
    schemas: str | None = None
    #: What is wrong with its files.
    problem: str | None = None


class ProviderSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of provider.  Every function gets the settings and the provider's name in routes.

    An extension exports an instance under an entry point of the group ``understudy.providers``; the entry
    point's name is the name that routes use (docs/extending.md).
    """

    #: Makes the provider, once per process; its ``name`` must be the one that is given.
    make: Callable[[Settings, str], Provider]
    #: What budgets are charged for its tokens, unless its answers say what they cost.
    tariff: Callable[[Settings, str], Tariff] = _free
    #: What is missing, with the fix: a setting, a Python package.  ``None``: it can be asked.
    problem: Callable[[Settings, str], str | None] = _nothing
    #: Identifies what writes, in keys of the result cache: it must change when the model does.  ``None`` for an
    #: extension means its name and the version of its package.
    identity: Callable[[Settings, str], str] | None = None
    #: Limit on a request's own schema, checked before anything is written.
    schema_limit: Callable[[Settings, str], SchemaLimit | None] = _nothing
    #: Window of the model; ``None``: not known before it is asked.
    window: Callable[[Settings, str], ContextWindow | None] = _nothing
    #: Longest answer, in tokens, for a content kind and a stage, where neither the request nor a setting says another.
    answer_limit: Callable[[Settings, str, str, str], int | None] = _no_limit
    #: What is known of the model.
    describe: Callable[[Settings, str], ModelInfo | None] = _nothing
    #: Why its model can neither judge nor rewrite, with the fix; ``None``: it can.
    helper_problem: Callable[[Settings, str], str | None] = _nothing
    #: A test double: no circuit breaker and no response cache around it, so that every call reaches it.
    double: bool = False
