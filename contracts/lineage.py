"""Lineage: how a request descends from an earlier one, and where it starts."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from contracts import subjects

#: Stages that a repetition may start at; all before it are replaced by what they stored for the earlier request.
StartStage = Literal["structuring", "validate-repair"]
#: The stored event that each of them starts from.
INPUT_OF: Final[dict[StartStage, str]] = {"structuring": "drafted", "validate-repair": "structured"}


class Lineage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a request descends from an earlier one; a claim until :class:`contracts.ports.KnownReplays` holds it."""

    #: The request that it repeats.
    replay_of: str
    #: A shadow: no subscriber, cache or statistic sees its content.
    shadow: bool = False
    #: The first stage that works; ``None``: all of them do.
    from_stage: StartStage | None = None
    #: The replay job that edited the request's body; ``None``: it is the earlier one's.
    patched_by: str | None = None
    #: The result cache may answer it; otherwise it is generated anew.
    reuse: bool = False
    #: The provider that works instead of the routed one; ``server/model`` for another model of a server.
    provider: str | None = None

    @property
    def plain(self) -> bool:
        """Whether it says no more than which request it repeats."""
        return self == Lineage(replay_of=self.replay_of)

    @property
    def needs_mark(self) -> bool:
        """Whether only an operator may start it."""
        return self.shadow or self.from_stage is not None or self.provider is not None

    @property
    def revises(self) -> bool:
        """Whether its content also goes to the subscribers of the earlier request."""
        return not self.shadow


#: Fields of a request that say where it comes from; they are no part of what is requested, and each repetition sets its own.
DESCENT: Final = frozenset({*Lineage.__struct_fields__, "scene_of"})


def find_id_fault(lineage: Lineage | None, request_id: str) -> str | None:
    """Why a request cannot have its id, by which the place of its result is known; ``None``: it can.

    Args:
        lineage: what the request says about its descent.
        request_id: its id.
    """
    shadow = lineage is not None and lineage.shadow
    if shadow and not subjects.is_shadow(request_id):
        return f"shadow: needs an id that begins with {subjects.SHADOW}, whose result is not published as a result"
    if subjects.is_shadow(request_id) and not shadow:
        return (
            f"id: ids that begin with {subjects.SHADOW} are those of shadows, whose results subscribers do not get; "
            "choose another id"
        )
    return None
