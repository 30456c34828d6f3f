"""Rating decision: the rating of a request, and who lowered it.

Context-build and fallback both use it, so that a fallback is never rated above what the model was allowed.
"""

from __future__ import annotations

import msgspec

from contracts.nodes.node import Rating
from contracts.policy.social import Social, Worlds, classify


class RatingInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Requested and effective rating."""

    requested: Rating = Rating.SFW
    effective: Rating = Rating.SFW
    clamped: bool = False


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Requested and effective rating, and the reason."""

    rating: RatingInfo
    #: The highest rating that world and user allow.
    most: Rating
    #: Who limits the rating to ``most``, if it was lowered: a world by its name, the user.
    by: str = ""


def decide(*, given: Rating | None, social: Social | None, world: str | None, worlds: Worlds) -> Decision:
    """Decide the rating of a request.

    The requested rating is the node's, else what the level of intimacy needs, else ``sfw``.  World and user can
    only lower it.  A world without a schema allows only ``sfw``: its limit is unknown, and a misspelt name must
    not raise one.

    Args:
        given: the rating of the request's node, all layers merged.
        social: the request's social context.
        world: name of the request's world; ``None``: the default world.
        worlds: the world schemas.
    """
    schema = worlds.world(world)
    limits = {f"world {world or 'default'!r}": schema.max_rating if schema else Rating.SFW}
    if social is not None and social.max_rating is not None:
        limits["the user"] = social.max_rating
    used = schema or worlds.world(None)
    requested = given or Rating.SFW
    if given is None and social is not None and social.tells and used is not None:
        requested = classify(social, used)[0].rating
    most = min(limits.values(), key=lambda rating: rating.rank)
    if requested.rank <= most.rank:
        return Decision(rating=RatingInfo(requested=requested, effective=requested), most=most)
    return Decision(
        rating=RatingInfo(requested=requested, effective=most, clamped=True),
        most=most,
        by=" and ".join(name for name, limit in limits.items() if limit is most),
    )
