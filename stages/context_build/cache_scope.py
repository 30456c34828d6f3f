"""Seed and cache key of a request: which requests share its content."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from contracts.events import Brief
from contracts.nodes.layers import DEFAULTS
from contracts.nodes.node import SeedSource, Strategy
from contracts.policy import cache_key, seeds
from contracts.policy.cache_key import CacheKeyParts
from contracts.request import GenerationRequest, PlayerContext
from stages.context_build.layering import MergedNode

#: Fields of a brief that do not shape the content; every other field does, those of later versions included.
NOT_SHAPING: Final = frozenset(
    {
        "request_seq",
        "requested_at_ms",
        "deadline_at_ms",
        "input_hash",
        "prompt",  # its hash is in the key
        "rating",  # the effective one is in the key
        "tags",  # they select stand-ins
        "cache_key",
        "slot",
        "spender",  # who pays
        "scenes",  # such a plot has no key
        "replay_of",
        "lineage",
        "experiment",  # its arm is in the key
    }
)
#: The same for the parameters of a call; the seed follows from other parts of the key, or is in the request.
_NOT_SHAPING_PARAMS: Final = frozenset({"seed", "timeout_s", "fresh"})


_NO_PLAYER: Final = PlayerContext()


class CacheScope(msgspec.Struct, frozen=True, kw_only=True):
    """Seed of a request, and the parts of its cache key."""

    seed: int
    #: No cached answer may be used for it.
    fresh: bool = False
    #: The readable key; ``None``: the content is not cached.
    parts: CacheKeyParts | None = None
    source: SeedSource | None = None
    #: Seed in the request.
    own_seed: int | None = None
    node: str | None = None
    warnings: tuple[str, ...] = ()


def decide_scope(
    asked: GenerationRequest,
    merged: MergedNode | None,
    *,
    kind: str,
    moment: str,
    input_seed: int,
) -> CacheScope:
    """Decide a request's seed and who shares its content; without a strategy nobody does.

    Args:
        asked: the request.
        merged: its node with all layers merged; ``None``: it has none.
        kind: its content kind.
        moment: unique to the request: its time and id.
        input_seed: the seed that follows from the request's input.
    """
    plain = asked.seed if asked.seed is not None else input_seed
    if merged is None or merged.node.strategy is None:
        return CacheScope(seed=plain)
    node, strategy, player = merged.node, merged.node.strategy, asked.player_context or _NO_PLAYER
    added = merged.by("strategy") == DEFAULTS
    source = node.seed_source or (None if added else seeds.default_source(strategy))
    fresh = strategy is Strategy.ALWAYS or source is SeedSource.TIMESTAMP
    parts = CacheKeyParts(
        type=kind,
        purpose=node.purpose or "",
        from_scene=asked.scene_from.id if asked.scene_from else "",
        to_scene=asked.scene_to.id if asked.scene_to else "",
        strategy=strategy,
        owner=_owner(strategy, player) or "",
        version=node.version,
    )
    seed, warnings = plain, _missing(strategy, source, player, seeded=asked.seed is not None)
    if asked.seed is None and source is not None:
        origin = _origin(source, player, moment)
        seed = plain if origin is None else seeds.derive(parts, source, origin)
    return CacheScope(
        seed=seed,
        fresh=fresh,
        parts=parts if is_cacheable(strategy, player) else None,
        source=source,
        own_seed=asked.seed,
        node=node.id,
        warnings=warnings,
    )


def assign_key(
    brief: Brief,
    shared: CacheScope,
    *,
    route: str | None,
    schemes: tuple[cache_key.Scheme, ...] = cache_key.SCHEMES,
) -> Brief:
    """Add the cache key to a brief, where it has one; a shadow has none, nor what another provider writes.

    Args:
        brief: the brief without its key.
        shared: seed and parts of the key.
        route: the models that write the kind; ``None``: there are none, and nothing is cached.
        schemes: how keys are made; the first is written, all are read.
    """
    if shared.parts is None:
        return brief
    slot = None
    # A plot that requests scenes is not shared: their ids contain its id.  Each scene may be cached.
    own = brief.lineage is not None and (brief.lineage.shadow or brief.lineage.provider is not None)
    if route is not None and brief.scenes is None and not own:
        slot = cache_key.build_key(
            shared.parts, shaping_inputs(brief, shared, route), node=shared.node, schemes=schemes
        )
    return msgspec.structs.replace(brief, cache_key=str(shared.parts), slot=slot)


def shaping_inputs(brief: Brief, shared: CacheScope, route: str) -> dict[str, Any]:
    """Everything that shapes the content and is not part of the readable key, as JSON values."""
    said = {name: getattr(brief, name) for name in Brief.__struct_fields__ if name not in NOT_SHAPING} | {
        "rating": brief.rating.effective,
        "seed": shared.own_seed,
        "seed_source": shared.source,
        "node": shared.node,
        "route": route,
    }
    if brief.experiment is not None:
        # No arm gets another one's content, nor what was generated before: the figures of both would be wrong.
        arm = brief.experiment
        said["experiment"] = [arm.label, arm.provider, arm.route]
    for name in ("freeform", "structuring"):
        params = getattr(brief, name)
        said[name] = {
            field: _number(getattr(params, field))
            for field in params.__struct_fields__
            if field not in _NOT_SHAPING_PARAMS
        }
    return msgspec.to_builtins(said)


def is_cacheable(strategy: Strategy, player: PlayerContext) -> bool:
    """Whether content of a strategy is cached: not for ``always``, nor where the owner is missing."""
    return strategy is not Strategy.ALWAYS and _owner(strategy, player) is not None


def _owner(strategy: Strategy, player: PlayerContext) -> str | None:
    """The owner of the content; ``None``: the request does not name it."""
    match strategy:
        case Strategy.PER_PLAYTHROUGH:
            return player.playthrough_id
        case Strategy.PER_PLAYER:
            return player.player_id
        case Strategy.ONCE | Strategy.ALWAYS:
            return ""


def _origin(source: SeedSource, player: PlayerContext, moment: str) -> str | None:
    """The text that the seed is derived from; ``None``: the request does not have it."""
    match source:
        case SeedSource.PLAYTHROUGH:
            return player.playthrough_id
        case SeedSource.PLAYER:
            return player.player_id
        case SeedSource.TIMESTAMP:
            return moment
        case SeedSource.FIXED:
            return ""


def _missing(
    strategy: Strategy, source: SeedSource | None, player: PlayerContext, *, seeded: bool
) -> tuple[str, ...]:
    warnings: list[str] = []
    if _owner(strategy, player) is None:
        name = "playthrough_id" if strategy is Strategy.PER_PLAYTHROUGH else "player_id"
        warnings.append(f"strategy {strategy} needs player_context.{name}; without it nothing is kept")
    if source is not None and not seeded and _origin(source, player, "") is None:
        name = "playthrough_id" if source is SeedSource.PLAYTHROUGH else "player_id"
        warnings.append(
            f"seed source {source} needs player_context.{name}; the seed was taken from the request instead"
        )
    return tuple(warnings)


def _number(value: Any) -> Any:
    # 1 and 1.0 are the same temperature.
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
