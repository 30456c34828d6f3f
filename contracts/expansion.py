"""Expansion of a request: the layers that its template and its rules add.

Context-build, the fallback and waiting clients must agree on it: it decides the deadline.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from contracts.nodes import layers, wording
from contracts.ports import Overrides, Templates
from contracts.request import GenerationRequest

#: Fields of a request that conditions of rules can refer to.
_ASKED_FOR: Final = frozenset(
    {"player_context", "social", "world", "workspace", "tags", "scene_from", "scene_to"}
)


class Expansion(msgspec.Struct, frozen=True, kw_only=True):
    """The layers that are not in the request itself, as far as they are known."""

    layers: Mapping[str, Mapping[str, Any]] = {}
    #: Why a template that existed at the start is missing.
    lost: str | None = None


def template_of(asked: GenerationRequest) -> str | None:
    """The id of the template that a request or its node names."""
    return asked.template_id or (asked.node.template_id if asked.node else None)


def rules_context(asked: GenerationRequest) -> dict[str, Any]:
    """The context for the conditions of a request's rules."""
    return asked.model_dump(mode="json", by_alias=False, exclude_unset=True, include=set(_ASKED_FOR))


def expand(asked: GenerationRequest, *, templates: Templates, overrides: Overrides) -> Expansion:
    """The layers of a request's template and rules; an unknown template or invalid rules add nothing.

    Args:
        asked: a validated request.
        templates: the template library.
        overrides: evaluates rules.
    """
    found: dict[str, Mapping[str, Any]] = {}
    named, lost = template_of(asked), None
    if named is not None:
        lost = templates.lost(named)
        template = None if lost else templates.find(named)
        if template is not None:
            found[layers.TEMPLATE] = layers.template_layer(template)
    if asked.rules is not None:
        found[layers.RULES] = overrides(asked.rules, rules_context(asked))
    return Expansion(layers=found, lost=lost)


def format_unknown_template(named: str, templates: Templates) -> str:
    """The message for an unknown template id, with the closest id or with all."""
    return wording.format_unknown("template", named, templates.ids())
