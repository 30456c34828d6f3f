"""Verdicts of a fault campaign: every kind of wrong result is counted, and charged to the fault that it met."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.policy import fingerprint
from infra.lab.bench.outcomes import StoredAnswer
from infra.lab.bench.proof import verdicts
from infra.lab.bench.proof.campaign import CampaignEvidence, CampaignPlan
from infra.lab.bench.proof.command import proof
from infra.lab.bench.proof.faults import CausedFault
from infra.lab.bench.proof.ledger import LabelCheck, Ledger
from infra.lab.bench.publisher import SILENT, TAKEN, Published
from infra.lab.docgen import benchmarks
from infra.nats.multiplexer import RequestMultiplexer
from infra.settings import shipped
from infra.stores import samples

STORE = samples.load(shipped.SAMPLES)
SAMPLE = STORE.of_kind("layout")[0]
LABELS = LabelCheck(STORE)
DEADLINE_MS = 1000


def _result(**fields: Any) -> bytes:
    content = {"title": "a forest"}
    given = {
        "request_id": "p-0",
        "kind": "layout",
        "status": "success",
        "origin": "live",
        "content": content,
        "content_hash": fingerprint.digest(content),
        "attempts": [
            {"stage": "freeform-gen", "provider": "local", "model": "m", "outcome": "ok", "attempt": 1}
        ],
        "meta": {"provider": "local"},
    }
    return msgspec.json.encode(given | fields)


def _stand_in(**fields: Any) -> bytes:
    given = {
        "status": "fail_fallback",
        "origin": "golden_sample",
        "reason": "the model does not answer",
        "content": SAMPLE.content,
        "content_hash": SAMPLE.hash,
        "stand_in": {"name": "sample_x", "hash": SAMPLE.hash},
        "error": {"code": "GEN_TIMEOUT", "stage": "fallback", "message": "late"},
    }
    return _result(**(given | fields))


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (_stand_in(), None),
        (_stand_in(status="success", origin="live", stand_in=None, error=None), "prepared document with origin live"),
        (_stand_in(reason=""), "needs a reason"),
        (_stand_in(stand_in={"name": "mine", "hash": "0" * 64}), "no document of ours"),
        (_stand_in(content={"title": "another"}), "content_hash is not the hash"),
        (_result(attempts=[]), "without a provider call"),
        (_result(content=None, content_hash=None), "origin live and content contradict"),
        (b"{}", "missing required field"),
    ],
)  # fmt: skip
def test_a_label_that_does_not_match_is_found(body: bytes, fault: str | None) -> None:
    found = LABELS.find_fault(body)
    assert (found is None) if fault is None else (found is not None and fault in found)


def _answer(time_ms: float) -> StoredAnswer:
    return StoredAnswer(time_ms=time_ms, status="success", origin="live", code="none", reason="")


def _campaign(
    *, answers: dict[str, list[float]], faults: tuple[CausedFault, ...] = (), absences: tuple[tuple[float, float], ...] = ()
) -> verdicts.Campaign:  # fmt: skip
    """Three requests at 0, 10 and 100 s; the broker took the first and the third, and stored the second."""
    ledger = Ledger(RequestMultiplexer(), LABELS)
    ledger.asked = {"p-0": 0.0, "p-1": 10_000.0, "p-2": 100_000.0}
    ledger.deadlines = dict.fromkeys(ledger.asked, DEADLINE_MS)
    ledger.answered = {one: [_answer(at) for at in times] for one, times in answers.items() if times}
    evidence = CampaignEvidence(
        published=Published(
            sent_ms=(0.0, 10_000.0, 100_000.0),
            taken_ms=(1.0, 1.0, 1.0),
            codes=(TAKEN, SILENT, TAKEN),
            deadlines_ms=(DEADLINE_MS,) * 3,
            sending_s=100,
            taking_s=100,
            behind_ms=0,
        ),
        faults=faults,
        absences=absences,
    )
    plan = CampaignPlan(requests=3, rate=1, faults=len(faults), deadline_ms=DEADLINE_MS)
    found = verdicts.judge(evidence, ledger, deadline_ms=DEADLINE_MS)
    after = verdicts.Aftermath(left_out=(), rows_wrong=0, letters={})
    return verdicts.summarise(plan, evidence, found, ledger, seconds=100, after=after)


def test_a_good_campaign_passes_with_what_was_stored_without_an_answer() -> None:
    found = _campaign(answers={"p-0": [500], "p-1": [10_500], "p-2": [100_500]})
    assert found.passed
    assert (found.accepted, found.refused, found.late) == (3, 1, 0)


def test_lost_doubled_and_late_results_are_counted_with_their_fault() -> None:
    kill = CausedFault(kind="SIGKILL", target="fallback", began_ms=9_000, ended_ms=9_500)
    freeze = CausedFault(kind="SIGSTOP", target="broker", began_ms=99_000, ended_ms=99_900)
    found = _campaign(answers={"p-0": [500, 600], "p-1": [], "p-2": [103_500]}, faults=(kill, freeze))
    assert not found.passed
    assert (found.lost, found.doubled, found.late) == (1, 1, 1)
    by_fault = {(each.kind, each.target): each for each in found.by_fault}
    assert by_fault["no fault near", ""].doubled == 1
    # A request without a result met the last fault that began while it was open, within its aftermath.
    assert by_fault["SIGKILL", "fallback"].lost == 1
    assert by_fault["SIGSTOP", "broker"].late == 1


def test_time_without_a_broker_is_not_counted_as_late() -> None:
    found = _campaign(
        answers={"p-0": [500], "p-1": [10_500], "p-2": [110_000]}, absences=((101_000, 109_000),)
    )
    assert found.late == 0
    assert found.without_service_s == 8


def test_an_unknown_section_names_those_there_are() -> None:
    with pytest.raises(Exception, match="there are faults, full-disk, cluster"):
        proof(["fault"])


def test_the_page_says_what_was_not_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmarks, "FIGURES", tmp_path / "none.json")
    assert "Not measured yet: `faults`, `full-disk`" in benchmarks.render()
