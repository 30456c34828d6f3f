"""Letter desk: what would be decided about a dead letter's request now, as it is and with an edit."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from contracts.errors import ErrorCode
from infra.app.replay_judge import ReplayJudge
from infra.inspect.letter_faults import LetterFault, convert_faults
from infra.replay import letters, origins, plans
from infra.replay.letters import Unreplayable
from infra.replay.patching import Operations, PatchRefused
from infra.replay.plans import ReplayOptions

if TYPE_CHECKING:
    from infra.inspect.dead_letters import Letter
    from infra.nats.multiplexer import RequestMultiplexer
    from infra.settings.settings import Settings


class LetterVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What would be decided about the request of a dead letter now."""

    accepted: bool
    code: ErrorCode | None = None
    #: Why it is refused; ``None``: it is accepted.
    reason: str | None = None
    #: The fields at fault.
    violations: tuple[LetterFault, ...] = ()
    kind: str | None = None
    #: The request whose subscribers get the content; ``None``: a replay would be a request of its own.
    replay_of: str | None = None
    #: The body that a replay would publish; ``None``: there is none.
    body: msgspec.Raw | None = None
    #: The most tokens that its calls may take.
    max_tokens: int = 0

    @property
    def workspace(self) -> str | None:
        """The workspace that a replay would belong to."""
        return None if self.body is None else letters.read_workspace(self.body)


async def judge(
    settings: Settings, wire: RequestMultiplexer, letter: Letter, *, patch: Operations | None = None
) -> LetterVerdict:
    """Judge the request of a letter; nothing is published.

    Args:
        settings: this process's settings, which must be those of the stages.
        wire: an open wire.
        letter: the letter.
        patch: an edit of the body, as JSON Patch.

    Raises:
        UnderstudyError: samples, prompts or settings that cannot be used.
        StreamMissing, Unavailable: the broker does not answer.
    """
    (origin,) = await origins.read_letters(wire, [letter])
    if origin.refusal is not None:
        return LetterVerdict(accepted=False, reason=origin.refusal)
    try:
        body = plans.compose(origin, ReplayOptions(patch=patch))
    except (Unreplayable, PatchRefused) as error:
        return LetterVerdict(accepted=False, reason=str(error), kind=origin.kind, replay_of=origin.replay_of)
    judging = await asyncio.to_thread(ReplayJudge, settings, wire)
    try:
        (verdict,) = await judging.judge([(origin, plans.make_replay_id(origin, 1), body)])
    finally:
        judging.close()
    return LetterVerdict(
        accepted=verdict.accepted,
        code=verdict.code,
        reason=verdict.reason,
        violations=convert_faults(verdict.faults),
        kind=origin.kind,
        replay_of=origin.replay_of,
        body=msgspec.Raw(body),
        max_tokens=verdict.max_tokens,
    )
