"""Which rating holds for a request, and who lowered it?

Context-build and fallback both ask here, so that a stand-in is never rated above what the model would
have been allowed.
"""

from __future__ import annotations

import msgspec

from contracts.nodes.node import Rating
from contracts.policy.social import Social, Worlds, standing


class RatingInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What rating was asked for, and what held."""

    requested: Rating = Rating.SFW
    effective: Rating = Rating.SFW
    clamped: bool = False


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for, what holds, and why."""

    rating: RatingInfo
    #: The greatest rating that world and user allow.
    most: Rating
    #: Who allows no more than ``most``, where the rating was lowered: a world by its name, the user.
    by: str = ""


def decide(*, said: Rating | None, social: Social | None, world: str | None, worlds: Worlds) -> Decision:
    """The rating of a request.

    Asked for is what the node says; else what the level of intimacy needs; else ``sfw``.  Neither the
    world nor the user lets it be more than theirs.  A world without a schema allows ``sfw`` alone: its
    own limit is not known, and a name that was misspelt must not lift one.

    Args:
        said: the rating of the request's node, all layers merged.
        social: the request's own.
        world: name of its world; ``None``: the default one.
        worlds: the schemas.
    """
    schema = worlds.world(world)
    limits = {f"world {world or 'default'!r}": schema.max_rating if schema else Rating.SFW}
    if social is not None and social.max_rating is not None:
        limits["the user"] = social.max_rating
    used = schema or worlds.world(None)
    asked = said or Rating.SFW
    if said is None and social is not None and social.tells and used is not None:
        asked = standing(social, used)[0].rating
    most = min(limits.values(), key=lambda rating: rating.rank)
    if asked.rank <= most.rank:
        return Decision(rating=RatingInfo(requested=asked, effective=asked), most=most)
    return Decision(
        rating=RatingInfo(requested=asked, effective=most, clamped=True),
        most=most,
        by=" and ".join(name for name, limit in limits.items() if limit is most),
    )
