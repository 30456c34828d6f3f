"""Verdicts of a campaign: every accepted request, and the fault that it met."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from infra.lab.bench.outcomes import PROMISED_S, Spread, overdue_ms, spread
from infra.lab.bench.proof.campaign import PREFIX, CampaignEvidence, CampaignPlan
from infra.lab.bench.proof.faults import CausedFault
from infra.lab.bench.publisher import TAKEN

if TYPE_CHECKING:
    from infra.lab.bench.proof.ledger import Ledger

#: Seconds after a fault in which what goes wrong is counted as its consequence.
_AFTERMATH_S: Final = 15.0
_NOBODY: Final = "no fault near"
#: Wrong requests that are shown.
_SHOWN: Final = 20


class Aftermath(msgspec.Struct, frozen=True, kw_only=True):
    """What is found when a campaign is over."""

    #: Faults that could not be caused here, with the reason.
    left_out: tuple[str, ...]
    #: Audit rows beyond or below one for each request.
    rows_wrong: int
    #: Dead letters by code.
    letters: dict[str, int]


class FaultCount(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the requests that were under way during faults of one kind, or in the 15 s after them."""

    kind: str
    target: str
    faults: int
    requests: int
    lost: int
    doubled: int
    unlabelled: int
    late: int
    #: Seconds beyond the deadline of the worst result; below 0: before it.
    worst_s: float | None


class Campaign(msgspec.Struct, frozen=True, kw_only=True):
    """What a campaign found."""

    plan: CampaignPlan
    seconds: float
    faults: int
    accepted: int
    #: Publishes that the broker refused or never answered.
    refused: int
    cancelled: int
    lost: int
    doubled: int
    unlabelled: int
    #: Results beyond the deadline and 2 s, without the time in which no broker or no fallback ran.
    late: int
    late_s: Spread
    #: Seconds without a broker or without a fallback.
    without_service_s: float
    endings: dict[str, int]
    by_fault: tuple[FaultCount, ...]
    #: Wrong requests, one line each, the worst ones first.
    wrong: tuple[str, ...]
    after: Aftermath

    @property
    def passed(self) -> bool:
        """Nothing lost, doubled or unlabelled; what is late has its reason in :attr:`by_fault`."""
        return not (self.lost or self.doubled or self.unlabelled or self.after.rows_wrong)


class RequestVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """One accepted request."""

    request_id: str
    asked_ms: float
    due_ms: float
    answered_ms: float | None
    results: int
    #: Seconds beyond the deadline; ``None``: no result.
    overdue_s: float | None
    label_fault: str | None

    @property
    def late(self) -> bool:
        """Beyond the promise."""
        return self.overdue_s is not None and self.overdue_s > PROMISED_S


def judge(evidence: CampaignEvidence, ledger: Ledger, *, deadline_ms: int) -> list[RequestVerdict]:
    """Judge every request that the broker acknowledged or stored.

    Args:
        evidence: of the campaign.
        ledger: what the broker stored.
        deadline_ms: of every request.
    """
    published = evidence.published
    taken = {
        f"{PREFIX}{number}": published.sent_ms[number]
        for number, code in enumerate(published.codes)
        if code == TAKEN
    }
    verdicts: list[RequestVerdict] = []
    for request_id in {**taken, **ledger.asked}:
        asked = ledger.asked.get(request_id, taken.get(request_id, 0.0))
        results = ledger.answered.get(request_id, [])
        first = min((each.time_ms for each in results), default=None)
        due = asked + ledger.deadlines.get(request_id, deadline_ms)
        verdicts.append(
            RequestVerdict(
                request_id=request_id,
                asked_ms=asked,
                due_ms=due,
                answered_ms=first,
                results=len(results),
                overdue_s=None if first is None else overdue_ms(due, first, evidence.absences) / 1000,
                label_fault=ledger.unlabelled.get(request_id),
            )
        )
    return verdicts


def count_by_fault(
    verdicts: Sequence[RequestVerdict], faults: Sequence[CausedFault]
) -> tuple[FaultCount, ...]:
    """Count requests by the fault that they met: the last one that began before their end, or their latest end.

    A request met a fault if it was under way while the fault was on or in the 15 s after it.
    """
    ordered = sorted(faults, key=lambda each: each.began_ms)
    groups: dict[tuple[str, str], list[RequestVerdict]] = {(each.kind, each.target): [] for each in ordered}
    groups[_NOBODY, ""] = []
    for verdict in verdicts:
        groups[_cause(verdict, ordered)].append(verdict)
    return tuple(
        FaultCount(
            kind=kind,
            target=target,
            faults=sum((each.kind, each.target) == (kind, target) for each in faults),
            requests=len(met),
            lost=sum(not each.results for each in met),
            doubled=sum(max(0, each.results - 1) for each in met),
            unlabelled=sum(each.label_fault is not None for each in met),
            late=sum(each.late for each in met),
            worst_s=max((round(each.overdue_s, 2) for each in met if each.overdue_s is not None), default=None),
        )
        for (kind, target), met in sorted(groups.items())
    )  # fmt: skip


def _cause(verdict: RequestVerdict, ordered: Sequence[CausedFault]) -> tuple[str, str]:
    ended = verdict.answered_ms or verdict.due_ms + PROMISED_S * 1000
    for fault in reversed(ordered):
        if fault.began_ms <= ended and fault.ended_ms + _AFTERMATH_S * 1000 >= verdict.asked_ms:
            return fault.kind, fault.target
        if fault.ended_ms + _AFTERMATH_S * 1000 < verdict.asked_ms:
            break
    return _NOBODY, ""


def summarise(
    plan: CampaignPlan,
    evidence: CampaignEvidence,
    verdicts: Sequence[RequestVerdict],
    ledger: Ledger,
    *,
    seconds: float,
    after: Aftermath,
) -> Campaign:
    """Put the figures of a campaign together."""
    endings = Counter(f"{results[0].status}/{results[0].origin}" for results in ledger.answered.values())
    wrong = [each for each in verdicts if each.results != 1 or each.label_fault or each.late]
    wrong.sort(key=lambda each: (each.results == 1 and each.label_fault is None, -(each.overdue_s or 0.0)))
    ordered = sorted(evidence.faults, key=lambda each: each.began_ms)
    return Campaign(
        plan=plan,
        seconds=round(seconds, 1),
        faults=len(ordered),
        accepted=len(verdicts),
        refused=sum(code != TAKEN for code in evidence.published.codes),
        cancelled=endings["cancelled/none"],
        lost=sum(not each.results for each in verdicts),
        doubled=sum(max(0, each.results - 1) for each in verdicts),
        unlabelled=sum(each.label_fault is not None for each in verdicts),
        late=sum(each.late for each in verdicts),
        late_s=spread([each.overdue_s for each in verdicts if each.overdue_s is not None]),
        without_service_s=round(sum(end - start for start, end in evidence.absences) / 1000, 1),
        endings=dict(sorted(endings.items())),
        by_fault=count_by_fault(verdicts, ordered),
        wrong=tuple(
            f"{each.request_id}: {each.results} results, {each.overdue_s} s beyond the deadline, "
            f"{each.label_fault or 'label ok'}; {' '.join(_cause(each, ordered))}"
            for each in wrong[:_SHOWN]
        ),
        after=after,
    )
