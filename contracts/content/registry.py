"""The content kinds, and what a valid document of each is."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Any, Final

from contracts.content import conformance, custom, fault, instance, keywords, placeholder
from contracts.content.conformance import Budget, TooMuchWork
from contracts.content.dialogue import Dialogue
from contracts.content.document import Document, json_schema
from contracts.content.kind import ContentKind
from contracts.content.layout import Layout
from contracts.content.plot import Plot
from contracts.content.scene import Scene
from contracts.content.transition import Transition
from contracts.content.verdict import Verdict
from contracts.kinds import BUILT_IN, KINDS

CUSTOM: Final = "custom"

_models: Final[dict[str, type[Document]]] = {
    "layout": Layout,
    "plot": Plot,
    "scene": Scene,
    "dialogue": Dialogue,
    "transition": Transition,
}
_installed: Final[dict[str, ContentKind]] = {}

#: Model of each kind but ``custom``.  A new built-in kind needs a line here, one in ``contracts/kinds.py`` and a
#: placeholder.
MODELS: Final[Mapping[str, type[Document]]] = MappingProxyType(_models)
#: The kinds that extensions brought, by name.
INSTALLED: Final[Mapping[str, ContentKind]] = MappingProxyType(_installed)


class UnknownKindError(ValueError):
    """A kind without a model."""


def register(name: str, kind: ContentKind) -> None:
    """Add the kind of an extension to this process.

    Infra calls it when it reads the settings, before anything is built from the kinds; the same kind once more
    has no effect, and a kind is never removed.

    Raises:
        ValueError: the name is taken or unfit, or the kind's own placeholder is not valid.
    """
    if _installed.get(name) == kind:
        return
    if name in BUILT_IN or name in _installed:
        raise ValueError(f"there is a kind {name!r} already")
    faults = fault.faults(kind.model, kind.placeholder)
    if faults:
        raise ValueError(f"its placeholder is not valid: {faults[0]}")
    KINDS.add(name)
    _models[name] = kind.model
    _installed[name] = kind


class Registry:
    """The kinds, checked in the caller's thread; :class:`contracts.ports.Contents` checks elsewhere.

    Where a method takes a budget, it raises ``TooMuchWork`` past it; without one it says so as a fault.

    Args:
        refuses: says of a request's schema why the model that writes the documents cannot follow it, or what of it is
            not enforced while it writes; ``None``: it can follow all of it.
    """

    def __init__(self, refuses: Callable[[Mapping[str, Any]], Verdict | str | None] | None = None) -> None:
        self._refuses = refuses

    def model(self, kind: str) -> type[Document]:
        """The class of a kind's documents.

        Raises:
            UnknownKindError: for ``custom`` too, which has no class.
        """
        if kind not in MODELS:
            raise UnknownKindError(f"kind {kind!r} has no model; kinds with one are {', '.join(MODELS)}")
        return MODELS[kind]

    def schema(self, kind: str, own: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """The JSON Schema (draft 2020-12) that documents of the kind follow.

        Raises:
            UnknownKindError: an unknown kind, or ``custom`` without its schema.
        """
        if kind == CUSTOM:
            return _given(own)
        return _schema(self.model(kind))

    def verdict(self, own: Mapping[str, Any], budget: Budget | None = None) -> Verdict:
        """Whether a request's JSON Schema can be used, and what its author should hear of it.

        Raises:
            TooMuchWork: past the budget.
        """
        try:
            schema = custom.usable(own)
            # A document that is found settles it; what the search misses may still be usable.
            found = instance.build(schema, placeholder.Placeholders(), budget=budget)
            if found is None:
                conformance.faults(schema, {placeholder.MARK: placeholder.MARK}, budget)
        except custom.Unusable as error:
            return Verdict(refusal=str(error))
        except TooMuchWork as error:
            if budget is not None:
                raise
            return Verdict(refusal=str(error))
        why = None if found is not None else custom.only_empty(schema)
        if why is not None or self._refuses is None:
            return Verdict(refusal=why, warnings=schema.warnings)
        limit = self._refuses(own)
        if not isinstance(limit, Verdict):
            return Verdict(refusal=limit, warnings=schema.warnings)
        return Verdict(refusal=limit.refusal, warnings=(*schema.warnings, *limit.warnings))

    def faults(
        self, kind: str, document: Any, own: Mapping[str, Any] | None, budget: Budget | None = None
    ) -> tuple[str, ...]:
        """Why the document is not valid, one line per fault with its path; empty when it is.

        An empty document is never content, whatever the schema says.

        Raises:
            UnknownKindError: an unknown kind, or ``custom`` without its schema.
            TooMuchWork: past the budget.
        """
        judge = _judge_of(_given(own), budget) if kind == CUSTOM else partial(fault.faults, self.model(kind))
        if document is None or document in ({}, [], ""):
            return ("document: is empty",)
        if not isinstance(document, dict | list):
            return (f"document: must be a JSON object, not {keywords.show(document)}",)
        return judge(document)

    def placeholder(
        self, kind: str, own: Mapping[str, Any] | None, budget: Budget | None = None
    ) -> Any | None:
        """A valid document whose every text says that it is a placeholder.

        ``None`` where none can be built: a custom schema that cannot be used, or one for which a
        bounded search finds no document.

        Raises:
            UnknownKindError: an unknown kind, or ``custom`` without its schema.
            TooMuchWork: past the budget.
        """
        if kind != CUSTOM:
            self.model(kind)
            known = INSTALLED.get(kind)
            document = placeholder.DOCUMENTS[kind] if known is None else known.placeholder
            return copy.deepcopy(dict(document))
        return self.build(_given(own), placeholder.Placeholders(), budget=budget)

    def build(
        self,
        own: Mapping[str, Any],
        voice: instance.Voice,
        *,
        full: bool = False,
        budget: Budget | None = None,
    ) -> Any | None:
        """A valid document for a request's schema in the given voice; ``None`` where none is found.

        Raises:
            TooMuchWork: past the budget.
        """
        try:
            return instance.build(custom.usable(own), voice, full=full, budget=budget)
        except custom.Unusable:
            return None
        except TooMuchWork:
            if budget is not None:
                raise
            return None


CONTENTS: Final = Registry()


def _given(own: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if own is None:
        raise UnknownKindError("kind custom needs the request's schema")
    return own


def _judge_of(own: Mapping[str, Any], budget: Budget | None) -> Callable[[Any], tuple[str, ...]]:
    def judge(document: Any) -> tuple[str, ...]:
        try:
            return conformance.faults(custom.usable(own), document, budget)
        except custom.Unusable as error:
            return (f"schema: cannot be used: {error}",)
        except TooMuchWork as error:
            if budget is not None:
                raise
            return (str(error),)

    return judge


@lru_cache(maxsize=64)
def _schema(model: type[Document]) -> dict[str, Any]:
    return json_schema(model)
