"""Which seed does a request get, and who shares its content?"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from contracts.events import Brief
from contracts.lineage import SHADOW
from contracts.nodes.layers import DEFAULTS
from contracts.nodes.node import SeedSource, Strategy
from contracts.policy import cache_key, seeds
from contracts.policy.cache_key import CacheKeyParts
from contracts.request import GenerationRequest, PlayerContext
from stages.context_build.layering import Laid

#: What a brief says about one request alone, or what only decides whether there is an answer; all the rest
#: of it shapes the content, fields of later versions included.
NOT_SHAPING: Final = frozenset(
    {
        "request_seq",
        "requested_at_ms",
        "deadline_at_ms",
        "input_hash",
        "prompt",  # its hash shapes
        "rating",  # the effective one shapes
        "tags",  # they choose stand-ins
        "cache_key",
        "slot",
        "spender",  # who pays
        "scenes",  # such a plot has no slot
        "replay_of",
    }
)
#: The same of the parameters of a call; the seed follows from what the key names, or is in the request.
_NOT_SHAPING_PARAMS: Final = frozenset({"seed", "timeout_s", "fresh"})


class CacheScope(msgspec.Struct, frozen=True, kw_only=True):
    """How a request's content comes to be its own or everybody's."""

    seed: int
    #: Nothing that was kept may stand in for an answer.
    fresh: bool = False
    #: Which contents are the same; ``None``: nothing is kept.
    parts: CacheKeyParts | None = None
    source: SeedSource | None = None
    #: Seed that the request itself names.
    own_seed: int | None = None
    node: str | None = None
    warnings: tuple[str, ...] = ()


def sharing(
    asked: GenerationRequest,
    laid: Laid | None,
    *,
    kind: str,
    moment: str,
    input_seed: int,
) -> CacheScope:
    """Seed and sharing of a request; without a node its content is its own.

    Args:
        asked: the request.
        laid: its node with all layers merged, if it has one.
        kind: its content kind.
        moment: what no other request has: its id, and when it came.
        input_seed: the seed that follows from what is asked for.
    """
    plain = asked.seed if asked.seed is not None else input_seed
    if laid is None or laid.node.strategy is None:
        return CacheScope(seed=plain)
    node, strategy, player = laid.node, laid.node.strategy, asked.player_context or PlayerContext()
    added = laid.by("strategy") == DEFAULTS
    source = node.seed_source or (None if added else seeds.fitting(strategy))
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
        parts=parts if keeps(strategy, player) else None,
        source=source,
        own_seed=asked.seed,
        node=node.id,
        warnings=warnings,
    )


def placed(
    brief: Brief,
    shared: CacheScope,
    *,
    request_id: str,
    route: str | None,
    schemes: tuple[cache_key.Scheme, ...] = cache_key.SCHEMES,
) -> Brief:
    """The brief with its key and its place in the cache, where it has one.

    Args:
        brief: everything else that was decided.
        shared: who shares the content.
        request_id: a shadow has no place.
        route: which models write the kind; ``None``: no model is wanted, and there is nothing to keep.
        schemes: how keys are made; the first is written, all are read.
    """
    if shared.parts is None:
        return brief
    slot = None
    # A plot that asks for its scenes is its own: they are requests with its id.  Each of them may be kept.
    if route is not None and brief.scenes is None and not request_id.startswith(SHADOW):
        slot = cache_key.slot(shared.parts, shaping(brief, shared, route), node=shared.node, schemes=schemes)
    return msgspec.structs.replace(brief, cache_key=str(shared.parts), slot=slot)


def shaping(brief: Brief, shared: CacheScope, route: str) -> dict[str, Any]:
    """Everything that shapes the content and is not among the key's parts, as JSON values."""
    said = {name: getattr(brief, name) for name in Brief.__struct_fields__ if name not in NOT_SHAPING} | {
        "rating": brief.rating.effective,
        "seed": shared.own_seed,
        "seed_source": shared.source,
        "node": shared.node,
        "route": route,
    }
    for name in ("freeform", "structuring"):
        params = getattr(brief, name)
        said[name] = {
            field: _number(getattr(params, field))
            for field in params.__struct_fields__
            if field not in _NOT_SHAPING_PARAMS
        }
    return msgspec.to_builtins(said)


def keeps(strategy: Strategy, player: PlayerContext) -> bool:
    """Whether content of a strategy is kept, for an owner that the request names."""
    return strategy is not Strategy.ALWAYS and _owner(strategy, player) is not None


def _owner(strategy: Strategy, player: PlayerContext) -> str | None:
    """Who shares the content; ``None`` where the request does not tell."""
    match strategy:
        case Strategy.PER_PLAYTHROUGH:
            return player.playthrough_id
        case Strategy.PER_PLAYER:
            return player.player_id
        case Strategy.ONCE | Strategy.ALWAYS:
            return ""


def _origin(source: SeedSource, player: PlayerContext, moment: str) -> str | None:
    """What the seed is made from; ``None`` where the request does not tell."""
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
    told: list[str] = []
    if _owner(strategy, player) is None:
        name = "playthrough_id" if strategy is Strategy.PER_PLAYTHROUGH else "player_id"
        told.append(f"strategy {strategy} needs player_context.{name}; without it nothing is kept")
    if source is not None and not seeded and _origin(source, player, "") is None:
        name = "playthrough_id" if source is SeedSource.PLAYTHROUGH else "player_id"
        told.append(
            f"seed source {source} needs player_context.{name}; the seed was taken from the request instead"
        )
    return tuple(told)


def _number(value: Any) -> Any:
    # 1 and 1.0 are the same temperature.
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
