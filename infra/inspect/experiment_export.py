"""Readings of experiments for tools of continuous integration: promptfoo's result file and JUnit's report."""

from __future__ import annotations

from typing import Any, Final
from xml.etree import ElementTree as ET

from contracts import timestamp
from contracts.printable import printable
from infra.inspect.experiments import ArmReading, ExperimentReading

#: promptfoo's numbers for why a test failed: it did not, or an assertion of it did.
NO_FAILURE: Final = 0
ASSERTION: Final = 1


def to_promptfoo(found: ExperimentReading) -> dict[str, Any]:
    """The reading as a result file of promptfoo, version 3: a prompt for each arm, with one test against the control."""
    results = [_promptfoo_result(found, index, each) for index, each in enumerate(found.arms)]
    passed = sum(each["success"] for each in results)
    return {
        "evalId": f"understudy-{found.name}-{found.revision}",
        "results": {
            "version": 3,
            "timestamp": timestamp.format_ms(found.until_ms),
            "prompts": [_promptfoo_prompt(each) for each in found.arms],
            "results": results,
            "stats": {
                "successes": passed,
                "failures": len(results) - passed,
                "errors": 0,
                "tokenUsage": token_usage(sum(each.tokens or 0 for each in found.arms)),
            },
        },
        "config": {"description": found.sentence},
        "shareableUrl": None,
    }


def to_junit(found: ExperimentReading) -> str:
    """The reading as a report of JUnit: a test for the split, and one for each arm against the control."""
    suite = ET.Element("testsuite", name=f"experiment {found.name}")
    split = ET.SubElement(suite, "testcase", classname=found.name, name="split")
    if found.split.ok is False:
        add_failure(split, found.sentence)
    elif found.split.ok is None:
        add_skip(split, "too few units to test the split")
    for each in found.arms:
        if each.standing == "control":
            continue
        case = ET.SubElement(suite, "testcase", classname=found.name, name=f"{each.name}: {found.goal}")
        if each.standing == "worse":
            add_failure(case, _explain(found, each))
        elif each.standing in ("too_few", "not_read"):
            add_skip(case, found.sentence)
    return count_tests(suite)


def count_tests(suite: ET.Element) -> str:
    """The text of a suite whose tests are all there."""
    for name in ("failure", "skipped"):
        suite.set("failures" if name == "failure" else name, str(len(suite.findall(f"testcase/{name}"))))
    suite.set("tests", str(len(suite.findall("testcase"))))
    return ET.tostring(suite, encoding="unicode")


def _promptfoo_prompt(arm: ArmReading) -> dict[str, Any]:
    successes = arm.results - sum(each.results for each in arm.failures)
    return {
        "raw": "\n".join(arm.set) or "as configured",
        "label": arm.name,
        "provider": "understudy",
        "metrics": {
            "score": arm.success.value if arm.success else 0,
            "testPassCount": successes,
            "testFailCount": arm.results - successes,
            "testErrorCount": 0,
            "tokenUsage": token_usage(arm.tokens or 0),
            "cost": arm.spent or 0,
            "namedScores": {"p95_ms": arm.p95_ms.value} if arm.p95_ms else {},
        },
    }


def _promptfoo_result(found: ExperimentReading, index: int, arm: ArmReading) -> dict[str, Any]:
    passed = found.split.ok is not False and arm.standing != "worse"
    why = found.sentence if found.split.ok is False else _explain(found, arm)
    return {
        "promptIdx": index,
        "testIdx": 0,
        "prompt": {"raw": "\n".join(arm.set) or "as configured", "label": arm.name},
        "provider": {"id": "understudy", "label": arm.name},
        "vars": {"experiment": found.name},
        "success": passed,
        "failureReason": NO_FAILURE if passed else ASSERTION,
        "score": arm.success.value if arm.success else 0,
        "latencyMs": arm.p95_ms.value if arm.p95_ms else 0,
        "cost": arm.cost.value if arm.cost else 0,
        "gradingResult": {"pass": passed, "score": int(passed), "reason": why},
    }


def token_usage(tokens: int) -> dict[str, int]:
    """Tokens as promptfoo counts them."""
    return {"total": tokens, "prompt": 0, "completion": 0, "cached": 0}


def _explain(found: ExperimentReading, arm: ArmReading) -> str:
    difference = arm.goal_difference or arm.success_difference
    said = f"{arm.name}: {arm.standing.replace('_', ' ')}"
    if difference is None:
        return said
    return f"{said}; {found.goal} differs by {difference.value:.4g} ({difference.low:.4g} to {difference.high:.4g})"


def add_failure(case: ET.Element, text: str, *, detail: str = "") -> None:
    """Let a test of JUnit fail."""
    ET.SubElement(case, "failure", message=printable(text)).text = printable(detail, keep="\n") or None


def add_skip(case: ET.Element, text: str) -> None:
    """Let a test of JUnit be skipped."""
    ET.SubElement(case, "skipped", message=printable(text))
