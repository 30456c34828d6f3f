"""Is everything found that is wrong with a node, and nothing else?"""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given

from contracts.nodes.node import FILM_RATINGS, Node, Rating
from contracts.nodes.validation import Facts, Finding, Report, Severity, examine, validate
from contracts.nodes.validation.check import SOUND, SOUND_TRANSITION, Check, but
from contracts.nodes.validation.limits import complexity
from contracts.nodes.validation.validate import CHECKS
from infra.lab.docgen.nodes import schema
from tests.profiles import examples
from tests.unit.node_examples import JSON, NODES, TEMPLATE

SCHEMA = json.loads(schema())
_SHAPE = {"NOD001", "NOD002", "NOD003", "NOD004", "NOD005", "ENU001"}


def codes(report: Report, severity: Severity | None = None) -> list[str]:
    return [each.code for each in report.findings if severity in (None, each.severity)]


def find(report: Report, code: str) -> Finding:
    (found,) = [each for each in report.findings if each.code == code]
    return found


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.code)
def test_a_check_finds_its_failing_example(check: Check) -> None:
    report = validate(check.failing.node, facts=check.failing.facts)
    found = [each for each in report.findings if each.code == check.code]
    assert found
    assert {each.severity for each in found} == {check.severity}
    assert all(each.message and each.suggestion for each in found)
    others = {*codes(report, Severity.ERROR), *codes(report, Severity.WARNING)} - {check.code}
    assert not others or check.code == "NOD003", "the example shows more than it should"


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.code)
def test_a_check_leaves_its_passing_example_alone(check: Check) -> None:
    report = validate(check.passing.node, facts=check.passing.facts)
    assert check.code not in codes(report)
    assert (report.errors, report.warnings) == ((), ())


def test_codes_are_told_apart_and_keep_their_form() -> None:
    said = [check.code for check in CHECKS]
    assert len(set(said)) == len(said)
    assert all(re.fullmatch("[A-Z]{3}[0-9]{3}", code) for code in said)


def test_the_first_template_may_run() -> None:
    report = validate(TEMPLATE, facts=Facts(default_contents=("transition_01",)))
    assert report.ok
    assert report.warnings == ()
    assert codes(report) == ["SED002"]


@pytest.mark.parametrize("sound", [SOUND, SOUND_TRANSITION])
def test_in_a_sound_node_nothing_is_wrong(sound: Any) -> None:
    report = validate(sound)
    assert set(codes(report)) <= {"CTX001"}


def test_an_empty_node_lacks_its_type_alone() -> None:
    report = validate({})
    assert codes(report, Severity.ERROR) == ["TYP001"]
    assert codes(report, Severity.WARNING) == ["STR001"]


def test_a_template_supplies_what_the_node_leaves_out() -> None:
    node = {"style": {"moodTo": "calm"}}
    examined = examine(node, template=TEMPLATE)
    assert examined.report.ok
    assert examined.set_by["style.mood_to"] == "node"
    assert examined.set_by["strategy"] == "template"
    assert examined.node.template_id == TEMPLATE["id"]
    assert examined.node.style is not None
    assert (examined.node.style.mood_from, examined.node.style.mood_to) == ("romantic", "calm")


def test_rules_and_request_go_before_the_node() -> None:
    examined = examine(
        SOUND_TRANSITION,
        rules={"style": {"pacing": "fast"}, "constraints": {"avoidElements": ["violence"]}},
        request={"fallback": {"mode": "skip"}},
    )
    assert examined.report.warnings == (), "the default content was meant for the mode that is replaced"
    assert examined.set_by["style.pacing"] == "rules"
    assert examined.set_by["constraints.avoid_elements"] == "rules"
    assert examined.set_by["fallback.mode"] == "request"


def test_a_conflict_between_two_layers_is_found() -> None:
    node = but(SOUND, constraints={"requiredElements": ["violence"]})
    report = validate(node, rules={"constraints": {"avoid_elements": ["violence"]}})
    assert find(report, "CON001").path == "constraints.requiredElements.0"


def test_what_a_template_may_supply_is_not_missing_while_it_is_unknown() -> None:
    report = validate({"templateId": "somewhere", "generationType": "dialogue"})
    assert report.ok
    assert codes(report, Severity.WARNING) == ["TPL001"]


def test_a_node_that_only_adds_to_a_request_need_not_be_complete() -> None:
    added = {"constraints": {"requiredElements": ["lamp"]}}
    examined = examine(added, facts=Facts(kind="plot"))
    assert examined.report.findings == ()
    assert (examined.node.strategy, examined.node.generation_type) == ("always", "plot")
    assert codes(validate(added), Severity.ERROR) == ["TYP001"]


@pytest.mark.parametrize(
    "node", [{"generationType": "plot", "style": {"pacing": "slow"}}, {"id": "my-node"}, {"strategy": None}]
)
def test_a_designers_node_gets_what_it_leaves_out_with_a_warning(node: Any) -> None:
    examined = examine(node, facts=Facts(kind="plot"))
    assert examined.report.ok
    assert codes(examined.report, Severity.WARNING) == ([] if set(node) == {"strategy"} else ["STR001"])
    assert (examined.node.purpose, examined.node.strategy) == ("original", "always")
    assert examined.set_by["strategy"] == "defaults"


def test_a_purpose_that_is_nearly_known_is_told_beside_other_errors() -> None:
    report = validate({"purpose": "gapfill", "generationType": "sceen"})
    assert "did you mean 'gap_fill'?" in find(report, "PUR002").message


@pytest.mark.parametrize("node", [{"seedSource": "timestamp"}, {"strategy": "always"}])
def test_a_node_that_asks_for_something_new_each_time_needs_nothing_more(node: Any) -> None:
    assert not {"PUR001", "STR001"} & set(codes(validate(node, facts=Facts(kind="plot"))))


def test_a_purpose_is_missed_where_content_is_kept_but_for_transitions() -> None:
    node = {"id": "n", "strategy": "once"}
    assert codes(validate(node, facts=Facts(kind="plot")), Severity.WARNING) == ["PUR001"]
    assert "PUR001" not in codes(validate(node, facts=Facts(kind="transition")))


@pytest.mark.parametrize(
    ("node", "suggestion"),
    [
        ({"type": "layout"}, "did you mean 'generationType'?"),
        ({"type": "layout", "seed_source": "fixed"}, "did you mean 'generation_type'?"),
        ({"mood_to": "calm", "seed_source": "fixed"}, "did you mean 'style.mood_to'?"),
        ({"moodTo": "calm"}, "did you mean 'style.moodTo'?"),
        ({"GenerationType": "layout"}, "did you mean 'generationType'?"),
    ],
)
def test_a_name_that_was_meant_is_told_in_its_authors_spelling(node: Any, suggestion: str) -> None:
    assert find(validate(node), "NOD002").suggestion == suggestion


def test_what_is_not_known_is_not_checked_and_said_so() -> None:
    needing = {check.code for check in CHECKS if check.needs}
    assert set(validate(SOUND).unchecked) == needing
    facts = Facts(
        kind="dialogue",
        default_contents=(),
        templates=(),
        max_rating=Rating.RESTRICTED,
        p95_ms=1,
        provider_available=True,
    )
    assert validate(SOUND, facts=facts).unchecked == ()


def test_one_wrong_value_hides_nothing_else() -> None:
    node = but(
        SOUND_TRANSITION,
        strategy="sometimes",
        duration={"min": "ten", "max": 5, "target": 9},
        constraints={"requiredElements": ["lamp", 7, "key"], "avoidElements": ["key"], "colour": "red"},
    )
    report = validate(node)
    assert codes(report, Severity.ERROR) == ["NOD002", "NOD004", "NOD004", "ENU001", "DUR002", "CON001"]


@pytest.mark.parametrize(
    ("node", "code", "path", "says"),
    [
        ({"generatonType": "plot"}, "NOD002", "generatonType", "did you mean 'generationType'?"),
        ({"generation_type": "plots"}, "ENU001", "generation_type", "did you mean 'plot'?"),
        ({"constraints": {"rating": "pg13"}}, "ENU001", "constraints.rating", "did you mean 'PG-13'?"),
        ({"fallback": {"timeoutMs": True}}, "NOD004", "fallback.timeoutMs", "write a whole number"),
        ({"fallback": []}, "NOD004", "fallback", "write an object"),
        ({"strategy": 5}, "NOD004", "strategy", "write one of once, per_playthrough, per_player, always"),
        ({"version": 1.0}, "NOD004", "version", "write a whole number"),
    ],
)
def test_a_finding_names_the_place_and_the_fix(node: Any, code: str, path: str, says: str) -> None:
    found = find(validate(node), code)
    assert found.path == path
    assert says in found.suggestion


@pytest.mark.parametrize(("film", "rating"), FILM_RATINGS.items())
def test_the_film_scale_becomes_the_canonical_one(film: str, rating: Rating) -> None:
    made = examine(but(SOUND, constraints={"rating": film})).node.constraints
    assert made is not None
    assert made.rating is rating
    assert made.model_dump(mode="json")["rating"] == rating


@pytest.mark.parametrize(
    ("required", "avoided", "clash"),
    [
        ("lamp", "lamp", True),
        ("Oil Lamp", "oil_lamp", True),
        ("phone_ring", "phone", True),
        ("phones", "phone", True),
        ("phone", "phone_ring", False),
        ("spring", "ring", False),
        (">>>", ">>>", True),
        (">>>", "<<<", False),
    ],
)
def test_elements_clash_where_naming_one_names_the_other(required, avoided, clash) -> None:
    node = but(SOUND, constraints={"requiredElements": [required], "avoidElements": [avoided]})
    assert ("CON001" in codes(validate(node))) is clash


def test_a_rule_may_not_forbid_what_must_be_named() -> None:
    node = but(SOUND, constraints={"requiredElements": ["phone_ring"], "contentRules": ["avoid_phone"]})
    found = find(validate(node), "CON002")
    assert (found.path, found.severity) == ("constraints.contentRules.0", Severity.ERROR)


def test_the_complexity_score_is_the_documented_sum() -> None:
    assert complexity(rules=2, required=3, span_s=30) == 8
    assert complexity(rules=0, required=0, span_s=-30) == 0


def test_the_report_of_a_large_heap_of_faults_stays_small() -> None:
    heap = {f"field_{number}": number for number in range(20_000)}
    report = validate({**heap, "style": heap, "constraints": {"required_elements": list(range(20_000))}})
    assert not report.ok
    assert len(report.findings) < 200


def test_a_deep_value_is_refused_like_any_other() -> None:
    deep: Any = {}
    for _ in range(5000):
        deep = {"style": deep}
    assert not validate(deep).ok
    assert not validate({"style": deep, "x": deep}).ok


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.code)
def test_the_schema_and_the_checks_of_shape_agree(check: Check) -> None:
    for shown in (check.failing, check.passing):
        fits = jsonschema.Draft202012Validator(SCHEMA).is_valid(shown.node)
        shape = _SHAPE & set(codes(validate(shown.node, facts=shown.facts)))
        assert fits is not bool(shape)


def test_the_schema_takes_lists_of_nodes_and_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert jsonschema.Draft202012Validator(SCHEMA).is_valid([TEMPLATE, SOUND])


@given(JSON)
def test_no_json_value_breaks_the_checks(value: Any) -> None:
    report = validate(value, facts=Facts(kind="plot", default_contents=(), p95_ms=1))
    assert report.ok is not bool(report.errors)
    msgspec.json.encode(report)


@given(NODES, NODES)
@examples(300)
def test_no_layers_break_the_checks(node: dict[str, Any], template: dict[str, Any]) -> None:
    examined = examine(node, template=template, rules=node, request=template)
    assert isinstance(examined.node, Node)
    msgspec.json.encode(examined.report)


@given(NODES)
@examples(300)
def test_a_node_that_may_run_reads_the_same_again(node: dict[str, Any]) -> None:
    examined = examine(node)
    if examined.report.ok:
        again = examined.node.model_dump(mode="json", exclude_none=True)
        assert examine(again).node == examined.node
