"""Evaluation runs for tools of continuous integration: promptfoo's result file and JUnit's report."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

from contracts import timestamp
from infra.inspect.evaluation_comparison import CaseChange, MeasureComparison, RunComparison
from infra.inspect.evaluation_scores import RunTotals
from infra.inspect.experiment_export import (
    ASSERTION,
    NO_FAILURE,
    add_failure,
    add_skip,
    count_tests,
    token_usage,
)
from infra.stores.evaluations import CaseResult, StoredRun


def to_promptfoo(found: StoredRun, totals: RunTotals, comparison: RunComparison | None) -> dict[str, Any]:
    """The run as a result file of promptfoo, version 3: a test for each case and repeat.

    A test passes if its content is valid and has all that the case expects; it is not about the earlier run.
    """
    results = [_result(found, index, each) for index, each in enumerate(found.results)]
    passed = sum(each["success"] for each in results)
    run, failed = found.run, len(results) - passed
    return {
        "evalId": f"understudy-{run.name}-{run.run}",
        "results": {
            "version": 3,
            "timestamp": timestamp.format_ms(run.ended_ms or run.started_ms),
            "prompts": [
                {
                    "raw": run.name,
                    "label": f"run {run.run}",
                    "provider": "understudy",
                    "metrics": {
                        "score": passed,
                        "testPassCount": passed,
                        "testFailCount": failed,
                        "testErrorCount": 0,
                        "tokenUsage": token_usage(totals.all_tokens or 0),
                        "cost": totals.all_cost or 0,
                        "namedScores": _means(totals),
                    },
                }
            ],
            "results": results,
            "stats": {
                "successes": passed,
                "failures": failed,
                "errors": 0,
                "tokenUsage": token_usage(totals.all_tokens or 0),
            },
        },
        "config": {"description": comparison.sentence if comparison else f"Run {run.run} of {run.name}."},
        "shareableUrl": None,
    }


def to_junit(found: StoredRun, comparison: RunComparison | None) -> str:
    """The run as a report of JUnit: a test for each measure against the earlier run."""
    run = found.run
    suite = ET.Element("testsuite", name=f"evaluation {run.name}")
    if comparison is None:
        case = ET.SubElement(suite, "testcase", classname=run.name, name="comparison")
        add_skip(case, "there is no earlier run")
        return count_tests(suite)
    detail = "\n".join(_lines(each) for each in comparison.cases if each.worse)
    for each in comparison.measures:
        case = ET.SubElement(suite, "testcase", classname=run.name, name=each.name)
        if each.verdict == "worse":
            add_failure(case, _explain(each), detail=detail)
        elif each.verdict == "not_enough":
            add_skip(case, f"not enough cases for a verdict: {each.cases}")
    if not comparison.measures:
        case = ET.SubElement(suite, "testcase", classname=run.name, name="comparison")
        add_skip(case, comparison.sentence)
    return count_tests(suite)


def _result(found: StoredRun, index: int, each: CaseResult) -> dict[str, Any]:
    fault = _fault(each)
    scores = {"facts": each.facts_kept / each.facts} if each.facts else {}
    scores |= {"quality": each.quality} if each.quality is not None else {}
    scores |= {"judge": each.judge_score} if each.judge_score is not None else {}
    passed = not fault
    return {
        "promptIdx": 0,
        "testIdx": index,
        "prompt": {"raw": each.case, "label": f"run {found.run.run}"},
        "provider": {"id": "understudy", "label": f"{each.provider}/{each.model}" if each.model else "none"},
        "vars": {"case": each.case, "repeat": each.repeat, "kind": each.kind},
        "success": passed,
        "failureReason": NO_FAILURE if passed else ASSERTION,
        "score": int(passed),
        "namedScores": scores,
        "latencyMs": each.latency_ms or 0,
        "cost": each.cost or 0,
        "gradingResult": {"pass": passed, "score": int(passed), "reason": fault or "as expected"},
    }


def _fault(each: CaseResult) -> str:
    """Why a result is not as the case expects; empty: it is."""
    if not each.valid:
        return f"{each.status} {each.code}" if each.code else each.status
    faults = [f"without {name!r}" for name in each.missing]
    faults += [f"mentions {name!r}" for name in each.found]
    if each.max_latency_ms is not None and not each.in_time:
        faults.append(f"after {each.latency_ms} ms, not within {each.max_latency_ms}")
    return "; ".join(faults)


def _means(totals: RunTotals) -> dict[str, float]:
    names = ("valid", "facts", "avoid", "in_time", "quality", "judge", "p50_ms", "p95_ms")
    return {name: value.value for name in names if (value := getattr(totals, name)) is not None}


def _explain(each: MeasureComparison) -> str:
    told = f"{each.name}: {each.before:.4g} before, {each.after:.4g} now"
    if each.difference is None:
        return told
    return f"{told} ({each.difference.low:+.4g} to {each.difference.high:+.4g})"


def _lines(change: CaseChange) -> str:
    return f"{change.case}: {'; '.join(change.worse)}"
