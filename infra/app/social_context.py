"""Social context without a request: the rating, constraints and prompt lines of a relationship in a world."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from contracts.nodes import wording
from contracts.request import GenerationRequest, RequestError
from infra.stores import worlds as world_store
from stages.context_build.social import build_setting

if TYPE_CHECKING:
    from contracts.nodes.node import Constraints
    from contracts.policy.social import Social
    from infra.settings.settings import Settings


def build_social_context(
    settings: Settings, *, social: Social | None, world: str | None, constraints: Constraints
) -> dict[str, Any]:
    """What context-build makes of a relationship, as plain JSON values.

    Args:
        settings: where the worlds are.
        social: the relationship, and what the user allows.
        world: the world's name; ``None``: the default one.
        constraints: those of the node.

    Raises:
        RequestError: there is no such world.
        WorldError: a world's file cannot be used.
    """
    worlds = world_store.load(settings.worlds_dir)
    if world is not None and worlds.world(world) is None:
        raise RequestError("world", wording.format_unknown("world", world, worlds.names()))
    asked = GenerationRequest(prompt="social context", social=social, world=world)
    found = build_setting(asked, constraints, worlds)
    return {
        "rating": msgspec.to_builtins(found.decision.rating),
        "decided_by": found.decision.by or None,
        "relationship": msgspec.to_builtins(found.standing),
        "constraints": found.constraints.model_dump(mode="json", exclude_defaults=True),
        "prompt_lines": list(found.told),
        "contradiction": found.contradiction,
    }
