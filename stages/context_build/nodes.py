"""Check of a request's node with the layers around it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contracts.expansion import Expansion
from contracts.nodes import validation
from contracts.policy import rating
from contracts.policy.social import Worlds
from contracts.ports import Samples
from contracts.request import GenerationRequest


def examine(
    asked: GenerationRequest,
    node: Any,
    kind: str,
    *,
    samples: Samples,
    worlds: Worlds,
    expansion: Expansion,
    template: Mapping[str, Any] | None = None,
    rules: Mapping[str, Any] | None = None,
) -> validation.Examined:
    """The request's node with the layers around it, and what was found.

    Args:
        asked: a checked request.
        node: its node as it came; findings name fields as they are spelled there.
        kind: the kind that the request's subject names.
        samples: knows the default contents.
        worlds: know the greatest rating.
        expansion: the layers that are not in the request, to know which default content is meant.
        template: the layer below the node.
        rules: the layer above it.
    """
    fallback = asked.merged_fallback(expansion.layers)
    named = fallback.default_content_id if fallback else None
    known = (named,) if named is not None and samples.default_content(named) is not None else ()
    limits = rating.decide(given=None, social=asked.social, world=asked.world, worlds=worlds)
    facts = validation.Facts(
        kind=kind,
        moods=asked.moods,
        default_contents=known,
        max_rating=limits.most,
        social=asked.social is not None,
    )
    return validation.examine(node, template=template, rules=rules, request=asked.layer, facts=facts)
