"""Plan of a replay: the requests that it publishes, what today's contracts say about each, and what they may cost.

A plan is made of values; nothing here publishes.  Its hash names it: an operator who has seen one plan starts that one.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec

from contracts.errors import ErrorCode, UnderstudyError
from contracts.lineage import StartStage
from contracts.request_edits import EditError, Edits, apply_edits
from infra.replay import patching
from infra.replay.letters import Unreplayable, decode_fields
from infra.replay.origins import ReplayOrigin
from infra.replay.patching import Operations, PatchRefused

#: Characters of a plan's hash.
_HASH: Final = 16
#: Requests that are read at a time.
_AT_A_TIME: Final = 200


class ItemState(StrEnum):
    """What became of one request of a job."""

    #: It will be published.
    PLANNED = "planned"
    #: It cannot be published: no request, a patch that does not apply, or refused by today's contracts.
    REFUSED = "refused"
    #: A replay of this number was published before.
    PRESENT = "present"
    PUBLISHED = "published"
    #: Its id belongs to another request.
    TAKEN = "taken"
    #: What it repeats is gone or differs from the plan.
    CHANGED = "changed"
    #: It was published, and undone.
    UNDONE = "undone"


class ReplayOptions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How every request of a job is repeated."""

    #: Edits of each body, as JSON Patch.
    patch: Operations | None = None
    #: Further edits of each body, after those: new values of fields.
    edits: Edits | None = None
    #: The provider that works instead of the routed one, which :attr:`Edits.model` means.
    provider: str | None = None
    #: The first stage that works; ``None``: all of them.
    from_stage: StartStage | None = None
    #: The result cache may answer.
    reuse: bool = False
    #: Also what was replayed before, under the next number.
    again: bool = False

    @property
    def changes(self) -> bool:
        """Whether anything but the request that is repeated decides what is generated."""
        return self.patch is not None or self.edits is not None

    @property
    def shares(self) -> bool:
        """Whether the result cache may answer: not what is edited, nor what starts later."""
        return self.reuse and not self.changes and self.from_stage is None


class ReplayVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What context-build would decide about a request now."""

    accepted: bool
    code: ErrorCode | None = None
    reason: str | None = None
    #: The fields at fault, each a dotted path with a message.
    faults: tuple[tuple[str, str], ...] = ()
    #: Key in the result cache, and those of earlier releases; none: it is not cached.
    keys: tuple[str, ...] = ()
    #: The most tokens that its calls may take.
    max_tokens: int = 0


class PlannedItem(msgspec.Struct, frozen=True, kw_only=True):
    """One request of a plan."""

    origin: ReplayOrigin
    #: Which replay of its origin it is, from 1.
    number: int
    #: The body without the job that edits it; empty where it is refused.
    body: bytes = b""
    state: ItemState = ItemState.PLANNED
    code: ErrorCode | None = None
    reason: str | None = None
    #: The result cache would answer it, or an equal request of the same plan.
    cached: bool = False
    max_tokens: int = 0
    #: Key under which the result cache gets its content; ``None``: it is not cached.
    cache_key: str | None = None

    @property
    def request_id(self) -> str:
        """The id that it is published under."""
        return make_replay_id(self.origin, self.number)


class ReplayPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The requests of a replay, in order."""

    options: ReplayOptions
    items: tuple[PlannedItem, ...]
    plan_hash: str

    @property
    def counts(self) -> Counter[str]:
        """Items by state; those that the cache answers as ``cached`` too."""
        found = Counter(str(each.state) for each in self.items)
        found["cached"] = sum(each.cached for each in self.items)
        return found

    @property
    def generated(self) -> list[PlannedItem]:
        """The items that models write."""
        return [each for each in self.items if each.state is ItemState.PLANNED and not each.cached]


class PlanChanged(UnderstudyError):  # noqa: N818 - names the plan's state
    """The requests differ from those of the plan; the text lists the difference."""

    def __init__(self, differences: Sequence[str]) -> None:
        shown = "\n".join(f"  {each}" for each in differences[:20])
        more = f"\n  … {len(differences) - 20:,} more" if len(differences) > 20 else ""  # noqa: PLR2004 - as above
        super().__init__(f"the plan has changed, and nothing was published:\n{shown}{more}\nmake a new plan")
        self.differences = tuple(differences)


#: Judges bodies, in order: kind, id, body, and the origin whose stored steps it may start from.
Judge = Callable[[Sequence[tuple[ReplayOrigin, str, bytes]]], Awaitable[Sequence[ReplayVerdict]]]


def make_replay_id(origin: ReplayOrigin, number: int) -> str:
    """The id of a replay: the same for the same origin and number.

    Sequences of two streams would meet, so those of REQUESTS are told apart.
    """
    place = str(origin.letter) if origin.letter is not None else f"r{origin.sequence}"
    return f"rp-{place}-{number}"


def compose(origin: ReplayOrigin, options: ReplayOptions, *, patched_by: str | None = None) -> bytes:
    """The body of a replay.

    Args:
        origin: what is repeated.
        options: how.
        patched_by: the job that edits it.

    Raises:
        Unreplayable: the origin's body is no JSON object.
        PatchRefused, EditError: the patch, or another edit, does not apply to it.
    """
    fields = decode_fields(origin.body)
    for name in patching.find_descent(fields):
        del fields[name]
    if options.patch is not None:
        fields = patching.apply(options.patch, fields)
    if options.edits is not None:
        fields = apply_edits(fields, options.edits)
    if origin.replay_of is not None:
        fields |= make_lineage_fields(origin.replay_of, options, patched_by=patched_by)
    return msgspec.json.encode(fields)


def make_lineage_fields(replay_of: str, options: ReplayOptions, *, patched_by: str | None) -> dict[str, Any]:
    """The fields that say a replay's descent; one that is edited or starts later is never answered by the cache."""
    fields: dict[str, Any] = {"replay_of": replay_of}
    if options.from_stage is not None:
        fields["from_stage"] = options.from_stage
    if patched_by is not None:
        fields["patched_by"] = patched_by
    if options.provider is not None:
        fields["provider"] = options.provider
    if options.shares:
        fields["reuse"] = True
    return fields


async def build(
    origins: Sequence[ReplayOrigin],
    options: ReplayOptions,
    *,
    numbers: Mapping[tuple[int, str, int], int],
    present: Callable[[Sequence[str]], Awaitable[set[str]]],
    judge: Judge,
    held: Callable[[Sequence[str]], Awaitable[set[str]]],
) -> ReplayPlan:
    """Plan a replay.

    Args:
        origins: what is repeated.
        options: how.
        numbers: by origin, which replay of it this would be; an origin without an entry: the first.
        present: those of some ids that have a request.
        judge: what context-build would decide.
        held: those of some keys that the result cache holds.

    Raises:
        StreamMissing, Unavailable: the broker does not answer.
    """
    items: list[PlannedItem] = []
    for start in range(0, len(origins), _AT_A_TIME):
        some = origins[start : start + _AT_A_TIME]
        items += [_compose_item(each, options, numbers.get(each.key, 1)) for each in some]
        # Whatever else runs in this process has its turn.
        await asyncio.sleep(0)
    items = await _number(items, options, present)
    open_items = [each for each in items if each.state is ItemState.PLANNED]
    verdicts = await judge([(each.origin, each.request_id, each.body) for each in open_items])
    judged = dict(zip([each.origin.key for each in open_items], verdicts, strict=True))
    keys = {key for each in verdicts for key in each.keys} if options.reuse else set[str]()
    stored = await held(sorted(keys)) if keys else set[str]()
    led: set[str] = set()
    done: list[PlannedItem] = []
    for item in items:
        verdict = judged.get(item.origin.key) if item.state is ItemState.PLANNED else None
        done.append(item if verdict is None else _decide(item, verdict, options, stored, led))
    return ReplayPlan(options=options, items=tuple(done), plan_hash=hash_items(options, done))


def hash_items(options: ReplayOptions, items: Sequence[PlannedItem]) -> str:
    """The hash of a plan: of its options, and of every origin, number and body, in their order."""
    digest = hashlib.sha256(msgspec.json.encode(options, order="deterministic"))
    for each in items:
        origin = each.origin
        line = (origin.stream, origin.sequence, origin.letter, origin.replay_of, origin.kind, each.number)
        digest.update(msgspec.json.encode((*line, hashlib.sha256(each.body).hexdigest())))
    return digest.hexdigest()[:_HASH]


def _compose_item(origin: ReplayOrigin, options: ReplayOptions, number: int) -> PlannedItem:
    if origin.refusal is not None:
        return _refuse(origin, number, origin.refusal)
    if options.from_stage is not None and origin.replay_of is None:
        return _refuse(origin, number, "it never was a request: no stage has stored anything for it")
    if options.provider is not None and origin.replay_of is None:
        return _refuse(origin, number, "it never was a request: only a repetition may name its model")
    try:
        body = compose(origin, options)
    except (Unreplayable, PatchRefused, EditError) as error:
        return _refuse(origin, number, str(error))
    return PlannedItem(origin=origin, number=number, body=body)


def _refuse(origin: ReplayOrigin, number: int, reason: str) -> PlannedItem:
    return PlannedItem(origin=origin, number=number, state=ItemState.REFUSED, reason=reason)


async def _number(
    items: Sequence[PlannedItem],
    options: ReplayOptions,
    present: Callable[[Sequence[str]], Awaitable[set[str]]],
) -> list[PlannedItem]:
    """Find the items that were published before; with ``again`` they get the next free number."""
    found = list(items)
    asked = [at for at, each in enumerate(found) if each.state is ItemState.PLANNED]
    while asked:
        taken = await present([found[at].request_id for at in asked])
        asked = [at for at in asked if found[at].request_id in taken]
        for at in asked:
            if options.again:
                found[at] = msgspec.structs.replace(found[at], number=found[at].number + 1)
            else:
                found[at] = msgspec.structs.replace(
                    found[at], state=ItemState.PRESENT, reason="it was replayed before"
                )
        if not options.again:
            break
    return found


def _decide(
    item: PlannedItem, verdict: ReplayVerdict, options: ReplayOptions, stored: set[str], led: set[str]
) -> PlannedItem:
    if not verdict.accepted:
        return msgspec.structs.replace(
            item, state=ItemState.REFUSED, code=verdict.code, reason=verdict.reason
        )
    shares = options.shares and bool(verdict.keys)
    cached = shares and (not stored.isdisjoint(verdict.keys) or verdict.keys[0] in led)
    if shares:
        # Of equal requests the first one generates, and the others get its content.
        led.add(verdict.keys[0])
    return msgspec.structs.replace(
        item,
        cached=cached,
        max_tokens=verdict.max_tokens,
        cache_key=verdict.keys[0] if verdict.keys else None,
    )
