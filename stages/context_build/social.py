"""Social setting of a request: what its world, its relationship and its user ask of the content."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from contracts import events as ev
from contracts.nodes import required_terms
from contracts.nodes.node import Constraints
from contracts.policy import rating
from contracts.policy.social import IntimacyLevel, RelationshipEffect, Tier, Worlds, classify
from contracts.request import GenerationRequest


class SocialSetting(msgspec.Struct, frozen=True, kw_only=True):
    """Rating, constraints and prompt lines that follow from world, relationship and user."""

    decision: rating.Decision
    #: ``None``: the request has no relationship, or no world is known.
    standing: RelationshipEffect | None
    #: The node's constraints, with what world and user avoid.
    constraints: Constraints
    #: Lines of the prompt below the request's own text.
    told: tuple[str, ...] = ()
    #: Two requirements that exclude each other, in words; ``None``: there are none.
    contradiction: str | None = None

    @property
    def clamped(self) -> tuple[ev.Clamped, ...]:
        """The event of a lowered rating; empty where the rating was not lowered."""
        held = self.decision.rating
        if not held.clamped:
            return ()
        return (ev.Clamped(requested=held.requested, effective=held.effective, by=self.decision.by),)


def build_setting(asked: GenerationRequest, constraints: Constraints, worlds: Worlds) -> SocialSetting:
    """Build the social setting, and decide the effective rating.

    Args:
        asked: the request.
        constraints: its node's, all layers merged.
        worlds: the worlds' schemas.
    """
    social = asked.social
    named = worlds.world(asked.world)
    world = named or worlds.world(None)
    decision = rating.decide(given=constraints.rating, social=social, world=asked.world, worlds=worlds)
    stands = None
    told: list[str] = []
    if social is not None and social.tells and world is not None:
        stands, tier, level = classify(social, world)
        told.append(f"relationship: {tier.name}{_said(tier)}")
        # The prompt must not ask for what the rating forbids.
        if stands.rating.rank <= decision.rating.effective.rank:
            told.append(f"intimacy: {level.band}, {level.name}{_said(level)}")
    if named is not None and named.preferences.tone is not None:
        told.append(f"tone: {named.preferences.tone}")
    if stands is not None or constraints.rating is not None:
        told.append(f"rating: {decision.rating.effective}")
    whose = {
        f"world {asked.world or 'default'!r}": named.preferences.avoid_elements if named else (),
        "the user": social.preferences.avoid_elements if social else (),
    }
    return SocialSetting(
        decision=decision,
        standing=stands,
        constraints=_avoiding(constraints, whose.values()),
        told=tuple(told),
        contradiction=next(
            (
                f"{wanted!r} is required, and {who} avoids {avoided!r}; require something else"
                for who, avoids in whose.items()
                for avoided in avoids
                for wanted in constraints.required_elements
                if required_terms.term_includes(wanted, avoided)
            ),
            None,
        ),
    )


def _said(of: Tier | IntimacyLevel) -> str:
    return f" ({of.says})" if of.says else ""


def _avoiding(constraints: Constraints, more: Iterable[tuple[str, ...]]) -> Constraints:
    avoids = [each for some in more for each in some]
    if not avoids:
        return constraints
    known = {required_terms.normalise_term(each) for each in constraints.avoid_elements}
    added: dict[str, str] = {}
    for avoided in avoids:
        words = required_terms.normalise_term(avoided)
        if words not in known:
            added.setdefault(words, avoided)
    if not added:
        return constraints
    return constraints.model_copy(update={"avoid_elements": (*constraints.avoid_elements, *added.values())})
