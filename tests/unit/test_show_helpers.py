"""Helper tasks on a terminal."""

from __future__ import annotations

from contracts.errors import ErrorCode
from contracts.helper_tasks import CriterionScore, EnhancementInfo, EvaluationInfo
from infra.cli.show_helpers import helper_lines

SCORED = EvaluationInfo(
    state="scored",
    score=3.5,
    criteria=(
        CriterionScore(name="fits_wish", score=4, reason="it does"),
        CriterionScore(name="plays", score=3, reason="so so\x1b[31m"),
    ),
    rubric="default",
    provider="judge",
    model="j-1",
    time_ms=1500.0,
)


def lines(evaluation: EvaluationInfo | None = None, enhancement: EnhancementInfo | None = None) -> list[str]:
    return [each.plain for each in helper_lines(evaluation, enhancement)]


def test_nothing_is_said_where_both_are_off() -> None:
    assert lines() == []


def test_a_judgement_has_a_line_for_each_criterion() -> None:
    assert lines(SCORED) == [
        "evaluation: 3.5 of 5 by judge/j-1, rubric default, 1.50 s",
        "  fits_wish  4  it does",
        r"  plays      3  so so\x1b[31m",
    ]


def test_what_is_missing_has_its_reason() -> None:
    failed = EvaluationInfo(state="failed", code=ErrorCode.GEN_TIMEOUT, reason="no answer within 5.0 s")
    assert lines(failed) == ["evaluation: failed: no answer within 5.0 s"]
    assert lines(None, EnhancementInfo(reason="no time")) == [
        "enhancement: draft not rewritten, skipped: no time"
    ]
    assert lines(None, EnhancementInfo(state="kept", reason="cut off")) == [
        "enhancement: draft kept: cut off"
    ]


def test_a_rewriting_says_of_what_and_by_whom() -> None:
    done = EnhancementInfo(state="rewritten", provider="p", model="m", time_ms=12.0)
    assert lines(None, done) == ["enhancement: draft rewritten by p/m, 12.0 ms"]
