"""Fault campaign: a steady load, and one fault after another."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec

from contracts.errors import Unavailable
from infra.lab.bench.outcomes import Outage
from infra.lab.bench.proof.faults import CausedFault, FaultPlan, ServiceClock, timed
from infra.lab.bench.publisher import TAKEN, Published, PublishPlan, RequestSpec, publish
from infra.lab.bench.trial import Say, looking

if TYPE_CHECKING:
    from infra.lab.bench.proof.ledger import Ledger
    from infra.nats.multiplexer import RequestMultiplexer

#: Of the request ids.
PREFIX: Final = "p-"
#: Kinds of the load, in turn.
ASKS: Final = tuple(RequestSpec(kind=kind) for kind in ("layout", "dialogue", "transition", "layout"))
#: Requests whose model fails, is late or writes broken JSON: by the last figure of the id.
RULES: Final = (
    {"match": {"request_id": "*7", "stage": "freeform-gen"}, "do": "refuse"},
    {"match": {"request_id": "*3", "stage": "structuring"}, "do": "malformed", "times": 1},
    {"match": {"request_id": "*9", "stage": "freeform-gen"}, "do": "slow", "after_ms": 10_000},
)
#: Every so many milliseconds a client cancels a request.
_CANCEL_EACH_S: Final = 2.0
#: Seconds in which a client tries a publish again.
_AGAIN_S: Final = 120.0
#: Seconds of load beyond the plan's, until the last fault is over.
_MORE_S: Final = 20.0
#: Seconds beyond the last deadline after which a result counts as lost.
_LOST_S: Final = 600.0


class CampaignPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How much of everything."""

    requests: int
    #: Per second.
    rate: float
    #: Spread evenly over the load, which goes on until all of them are over.
    faults: int
    deadline_ms: int = 3000
    seed: int = 1

    @property
    def seconds(self) -> float:
        """Length of the load."""
        return self.requests / self.rate


class CampaignEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """What happened in a campaign, beside what the broker stored."""

    published: Published
    faults: tuple[CausedFault, ...]
    #: When the promise's clock stood still.
    absences: tuple[Outage, ...]


async def load_and_strike(
    plan: CampaignPlan,
    *,
    url: str,
    wire: RequestMultiplexer,
    ledger: Ledger,
    clock: ServiceClock,
    faults: Sequence[FaultPlan],
    say: Say,
) -> CampaignEvidence:
    """Run the load and the faults, and wait until every accepted request has its result.

    Args:
        plan: how much of everything.
        url: of the broker.
        wire: cancels some requests.
        ledger: fills with what is stored.
        clock: records when the promise's clock stands still.
        faults: what can be caused.
        say: told what is being done.
    """
    happened: list[CausedFault] = []
    striking = asyncio.create_task(_strike(plan, faults, happened, say))
    publishing = asyncio.create_task(_keep_publishing(plan, url, striking))
    watching = asyncio.create_task(clock.keep_looking())
    cancelling = asyncio.create_task(_cancel_some(plan, wire, ledger))
    async with looking(ledger):
        try:
            await asyncio.wait((striking, publishing), return_when=asyncio.FIRST_EXCEPTION)
            if striking.done():
                striking.result()
            published = publishing.result()
            ids = [f"{PREFIX}{number}" for number, code in enumerate(published.codes) if code == TAKEN]
            await ledger.until_answered(ids, timeout_s=plan.deadline_ms / 1000 + _LOST_S)
        finally:
            tasks = (publishing, striking, watching, cancelling)
            for task in tasks:
                task.cancel()
            *_, cancelled = await asyncio.gather(*tasks, return_exceptions=True)
    await ledger.look()
    if isinstance(cancelled, Exception):
        raise cancelled
    return CampaignEvidence(published=published, faults=tuple(happened), absences=tuple(clock.absences()))


async def _keep_publishing(plan: CampaignPlan, url: str, striking: asyncio.Task[None]) -> Published:
    """The requests of the plan, and more of them until the last fault is over."""
    load = PublishPlan(
        url=url,
        prefix=PREFIX,
        requests=plan.requests,
        rate=plan.rate,
        asks=ASKS,
        deadline_ms=plan.deadline_ms,
        again_s=_AGAIN_S,
    )
    published = await publish(load)
    while not striking.done():
        more = msgspec.structs.replace(
            load, first=len(published.codes), requests=max(1, round(plan.rate * _MORE_S))
        )
        published = published.followed_by(await publish(more))
    return published


async def _strike(
    plan: CampaignPlan, faults: Sequence[FaultPlan], happened: list[CausedFault], say: Say
) -> None:
    dice = random.Random(plan.seed)  # noqa: S311 - a schedule, no secret
    began = time.monotonic()
    deck: list[FaultPlan] = []
    while len(happened) < plan.faults:
        due = began + plan.seconds * (len(happened) + 0.5) / plan.faults
        await asyncio.sleep(max(0.1, due - time.monotonic()))
        if not deck:
            deck = [each for each in faults for _ in range(each.weight)]
            dice.shuffle(deck)
        one = deck.pop()
        struck: list[CausedFault] = []
        async with timed(one.kind, one.target, struck):
            hit = await one.strike()
        if hit:
            happened += struck
            took = (struck[0].ended_ms - struck[0].began_ms) / 1000
            say(
                f"{time.monotonic() - began:.0f} s, fault {len(happened)}: {one.kind} {one.target}, {took:.1f} s"
            )


async def _cancel_some(plan: CampaignPlan, wire: RequestMultiplexer, ledger: Ledger) -> None:
    dice = random.Random(plan.seed + 1)  # noqa: S311 - as above
    while True:
        await asyncio.sleep(_CANCEL_EACH_S)
        open_ones = [one for one in ledger.asked if one not in ledger.answered]
        if not open_ones:
            continue
        chosen = dice.choice(open_ones)
        kind = ASKS[int(chosen.removeprefix(PREFIX)) % len(ASKS)].kind
        with suppress(Unavailable):
            await wire.publish(f"gen.cancelled.{kind}.{chosen}", b"{}")
