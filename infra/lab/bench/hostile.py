"""Bench of normal requests beside hostile ones.

Each hostile input gets a pipeline of its own: innocent requests at a rate, and in their midst the hostile one, many
times at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from contracts import subjects
from contracts.errors import ErrorCode, Unavailable
from contracts.request import DEFAULT_DEADLINE_MS
from infra.lab.bench import hostile_inputs, report
from infra.lab.bench.hostile_inputs import Hostile, obj
from infra.lab.bench.model_server import serving
from infra.lab.bench.outcomes import PROMISED_S, Outage, Outcomes
from infra.lab.bench.publisher import PublishPlan, RequestSpec
from infra.lab.bench.trial import LoadStep, Say, Trial, scripted, starting

if TYPE_CHECKING:
    from infra.settings.settings import Settings

#: What innocent requests ask for, in turn.
_INNOCENT: Final = (
    RequestSpec(),
    RequestSpec(kind="custom", fields={"schema": obj(title={"type": "string"}, coins={"type": "integer"})}),
)
#: Reasons of hostile requests that are shown, and characters of each.
_REASONS: Final = 3
_REASON: Final = 200


class HostilePlan(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters of a run."""

    #: Names of :mod:`infra.lab.bench.hostile_inputs`.
    inputs: tuple[str, ...]
    #: Of each input, at once.
    copies: int = 45
    innocent: int = 200
    #: Innocent requests per second.
    rate: float = 40.0
    deadline_ms: int = 2000
    #: Who writes kind ``custom``: the house model compiles a grammar for each schema.
    writer: Literal["scripted", "local"] = "scripted"
    sync_interval: str = "2m"
    patience_s: float = 60.0


class Beside(msgspec.Struct, frozen=True, kw_only=True):
    """Outcome of one hostile input."""

    name: str
    #: The innocent requests.
    step: LoadStep
    #: Seconds from the worst innocent request to its result.
    worst_s: float
    #: Share of the innocent ones that the model answered.
    live_share: float
    #: How the hostile ones ended: ``status`` or ``status code``, and how many.
    hostile: dict[str, int]
    reasons: tuple[str, ...]
    #: Publishes that the broker refused, or did not answer.
    refused: int
    #: Hostile ones without a result, with several, beyond their deadline and 2 s, and called our own defect.
    lost: int
    doubled: int
    late: int
    internal: int
    #: Processes that ended and were started again.
    restarts: int

    @property
    def passed(self) -> bool:
        """Every request has one result in time, and none is called our own defect."""
        return self.step.tally.passed and not (self.lost or self.doubled or self.late or self.internal)


class HostileReport(msgspec.Struct, frozen=True, kw_only=True):
    """Outcome of a run."""

    wanted: HostilePlan
    inputs: tuple[Beside, ...]

    @property
    def passed(self) -> bool:
        """No hostile input delayed a request."""
        return all(each.passed for each in self.inputs)


async def run(wanted: HostilePlan, *, say: Say = lambda _: None) -> HostileReport:
    """Publish normal requests beside each hostile input.

    Args:
        wanted: inputs and loads.
        say: told what is being done.
    """
    found: list[Beside] = []
    for name in wanted.inputs:
        one = hostile_inputs.make(name, deadline_ms=wanted.deadline_ms)
        server = contextlib.nullcontext() if one.said is None else serving(one.said)
        async with (
            server as url,
            starting(partial(_settings, wanted=wanted, one=one, server=url)) as trial,
        ):
            found.append(await _beside(trial, wanted, one))
        say(_line(found[-1]))
    return HostileReport(wanted=wanted, inputs=tuple(found))


def _settings(folder: Path, *, wanted: HostilePlan, one: Hostile, server: str | None) -> Settings:
    rule: dict[str, Any] = {
        "match": {"request_id": "h-*", "stage": "structuring"},
        "do": "answer",
        "text": one.answer,
    }
    return scripted(
        folder, sync_interval=wanted.sync_interval, rules=[rule], custom=wanted.writer, server=server
    )


async def _beside(trial: Trial, wanted: HostilePlan, one: Hostile) -> Beside:
    plan = PublishPlan(
        url=trial.supervisor.nats_url,
        prefix="i-",
        requests=wanted.innocent,
        rate=wanted.rate,
        asks=_INNOCENT,
        deadline_ms=wanted.deadline_ms,
    )
    ids = [f"h-{number}" for number in range(wanted.copies)]
    refused: list[str] = []
    step = await trial.step(
        one.name,
        plan,
        beside=partial(_ask, trial, one, ids, refused, wanted.patience_s),
        patience_s=wanted.patience_s,
    )
    return judged(
        one,
        [each for each in ids if each not in refused],
        step,
        trial.outcomes,
        deadline_ms=wanted.deadline_ms,
        refused=len(refused),
        restarts=sum(each.restarts for each in trial.supervisor.processes),
    )


async def _ask(
    trial: Trial, one: Hostile, ids: Sequence[str], refused: list[str], patience_s: float
) -> Sequence[Outage]:
    """Publish the hostile requests while normal ones are running, and wait for their results."""
    await trial.outcomes.until(lambda: bool(trial.outcomes.asked), timeout_s=patience_s)
    taken = await asyncio.gather(*(_taken(trial, one, each) for each in ids))
    refused += [each for each, is_taken in zip(ids, taken, strict=True) if not is_taken]
    await trial.outcomes.until_answered(
        [each for each in ids if each not in refused], timeout_s=_deadline_s(one, 0) + patience_s
    )
    return ()


async def _taken(trial: Trial, one: Hostile, request_id: str) -> bool:
    """Publish one; whether the broker accepted it."""
    try:
        ack = await trial.wire.publish(subjects.gen("requested", one.kind, request_id), one.body)
    except Unavailable:
        return False
    return ack.error is None


def _deadline_s(one: Hostile, deadline_ms: int) -> float:
    """Seconds until the answer is due; unreadable requests have the default deadline."""
    return (deadline_ms if one.readable else DEFAULT_DEADLINE_MS) / 1000


def judged(
    one: Hostile,
    ids: Sequence[str],
    step: LoadStep,
    outcomes: Outcomes,
    *,
    deadline_ms: int,
    refused: int,
    restarts: int,
) -> Beside:
    """Evaluate one hostile input.

    Args:
        one: the input.
        ids: of the hostile requests that the broker took.
        step: the innocent ones.
        outcomes: of all.
        deadline_ms: of all.
        refused: hostile requests that the broker did not take.
        restarts: of processes.
    """
    endings: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    late = 0
    for each in ids:
        for number, result in enumerate(outcomes.answered.get(each, ())):
            endings[result.status if result.code == "none" else f"{result.status} {result.code}"] += 1
            reasons[result.reason[:_REASON]] += 1
            asked_ms = outcomes.asked.get(each)
            if number == 0 and asked_ms is not None:
                late += (result.time_ms - asked_ms) / 1000 > _deadline_s(one, deadline_ms) + PROMISED_S
    internal = sum(
        result.code == ErrorCode.GEN_INTERNAL or "GEN_INTERNAL" in result.reason
        for each in ids
        for result in outcomes.answered.get(each, ())
    )
    worst = step.tally.late_s.max
    return Beside(
        name=one.name,
        step=step,
        worst_s=round((deadline_ms / 1000) + (worst or 0.0), 3),
        live_share=round(report.live(step.tally), 4),
        hostile=dict(endings),
        reasons=tuple(reason for reason, _ in reasons.most_common(_REASONS)),
        refused=refused,
        lost=sum(each not in outcomes.answered for each in ids),
        doubled=sum(max(0, len(outcomes.answered.get(each, ())) - 1) for each in ids),
        late=late,
        internal=internal,
        restarts=restarts,
    )


def _endings(one: Beside) -> str:
    return ", ".join(f"{count} {name}" for name, count in one.hostile.items()) or "no result"


def _line(one: Beside) -> str:
    tally = one.step.tally
    return (
        f"{one.name}: {tally.late + tally.lost} innocent late, worst after {one.worst_s:.2f} s; "
        f"hostile: {_endings(one)}; {one.late} late, {one.lost} lost"
    )


def table(found: HostileReport) -> str:
    """A run as tables for people."""
    rows: list[tuple[str, ...]] = [
        (
            "input", "innocent", "late", "lost", "worst s", "live",
            "hostile late", "lost", "twice", "internal", "restarts", "most MiB", "of", "ended as",
        )
    ]  # fmt: skip
    for one in found.inputs:
        tally = one.step.tally
        largest = max(one.step.memory_mib, key=lambda name: one.step.memory_mib[name].max)
        rows.append(
            (
                one.name,
                str(tally.accepted),
                str(tally.late),
                str(tally.lost),
                f"{one.worst_s:.2f}",
                f"{one.live_share:.0%}",
                str(one.late),
                str(one.lost),
                str(one.doubled),
                str(one.internal),
                str(one.restarts),
                f"{one.step.memory_mib[largest].max:.0f}",
                largest,
                _endings(one),
            )
        )
    return f"{report.columns(rows)}\n"
