"""Are nodes read from files as they stand there, with the place of everything that is wrong?"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.nodes.validation import Facts, Report, Severity
from contracts.nodes.validation.check import SOUND
from contracts.nodes.validation.validate import CHECKS
from infra.authoring import node_files
from infra.authoring.node_files import FileCheck, TextPosition, UnparsableFile, examine, read
from infra.authoring.sarif import sarif
from tests.unit.node_examples import JSON, TEMPLATE

YAML = """\
generationType: transition
style: {moodFrom: calm,
        moodTo: tense}
constraints:
  requiredElements:
    - lamp
    - key
strategy: per_playthrough
"""


def refused(text: str, language: Any = None) -> UnparsableFile:
    with pytest.raises(UnparsableFile) as told:
        read(text, language)
    return told.value


def test_json_and_yaml_say_the_same() -> None:
    text = json.dumps(TEMPLATE)
    assert read(text).nodes == read(text, "json").nodes == read(text, "yaml").nodes == (TEMPLATE,)


def test_a_byte_order_mark_is_no_part_of_it() -> None:
    assert read("\ufeff" + json.dumps(TEMPLATE)).nodes == (TEMPLATE,)


def test_a_file_may_hold_a_list() -> None:
    source = read(json.dumps([TEMPLATE, {}]))
    assert source.nodes == (TEMPLATE, {})
    report = examine(source, Facts())
    assert {each.path for each in report.errors} == {"1.generationType"}


def test_an_id_that_two_nodes_of_a_list_have_is_told_at_the_second() -> None:
    source = read(
        "- {id: a, generationType: plot}\n- 5\n- id: a\n  generationType: plot\n- {id: b, generationType: plot}\n"
    )
    told = [each for each in examine(source, Facts()).errors if each.code == "FIL004"]
    assert [(each.path, each.message) for each in told] == [("2.id", "'a' is the id of node 0 too")]
    assert source.place("2.id").line == 3


def test_a_fault_of_a_listed_node_names_the_node() -> None:
    report = examine(read("[1]"), Facts())
    assert [each.path for each in report.errors] == ["0"]


@pytest.mark.parametrize("check", node_files.CHECKS, ids=lambda check: check.code)
def test_a_check_of_files_finds_its_failing_example_alone(check: FileCheck) -> None:
    if check.code == "FIL004":
        assert [each.code for each in examine(read(check.failing), Facts()).errors] == [check.code]
    else:
        assert refused(check.failing).finding.code == check.code
    assert examine(read(check.passing), Facts()).ok


@pytest.mark.parametrize(
    ("text", "language", "place", "says"),
    [
        ('{"a": 1,\n  "b": }', None, (2, 8), "Expecting value"),
        ("{a: 1}", "json", (1, 2), "property name"),
        ("a: [1,\nb: {", None, (2, 5), "expected the node content"),
        ("a: 1\n\tb: 2", None, (2, 1), "cannot start any token"),
        ("a: 1\nb: \x07", None, (2, 4), "special characters are not allowed"),
        ("a: 1\n---\nb: 2", None, (2, 1), "but found another document"),
        ("a: *b", None, (1, 4), "undefined alias"),
        ("a: !!python/object:os.system x", None, (1, 4), "could not determine a constructor"),
        ('{"a": 1,\n "a": 2}', None, (2, 2), "field 'a' is given twice"),
        ('[{"s": {"x": 1, "x": 2}}]', None, (1, 17), "field 'x' is given twice"),
        ("a: 1\nb: 2\na: 3", None, (3, 1), "field 'a' is given twice"),
        ("? [x]\n: 1", None, (1, 3), "name must be a text"),
        ('{"a": NaN}', None, (1, 1), "NaN is no JSON number"),
        ("[" * 100_000, None, (1, 1), "nested too deeply"),
        ('{"version": ' + "9" * 6000 + "}", None, (1, 1), "a number has too many digits"),
        ("", None, (1, 1), "no node in the file"),
        ("[]", None, (1, 1), "no node in the file"),
        ("null", "json", (1, 1), "no node in the file"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(text, language, place, says) -> None:
    error = refused(text, language)
    assert (error.place.line, error.place.column) == place
    assert says in str(error)
    assert error.finding.severity is Severity.ERROR


def test_aliases_cannot_blow_up_a_small_file() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert "too many values" in str(refused("\n".join(lines)))


def test_an_alias_of_itself_is_a_wrong_value() -> None:
    assert not examine(read("constraints: &a\n  requiredElements: *a\n"), Facts()).ok


def test_dates_are_texts_and_merge_keys_work() -> None:
    assert read("a: 2026-01-02").nodes == ({"a": "2026-01-02"},)
    (nodes,) = read("base: &b {x: 1, y: 2}\nmine: {<<: *b, y: 3}").nodes
    assert nodes["mine"] == {"x": 1, "y": 3}


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("", (1, 1)),
        ("generationType", (1, 1)),
        ("style.moodTo", (3, 9)),
        ("constraints.requiredElements.1", (7, 7)),
        ("constraints.avoidElements", (4, 1)),
        ("fallback.mode", (1, 1)),
    ],
)
def test_places_of_yaml(path: str, place: tuple[int, int]) -> None:
    found = read(YAML).place(path)
    assert (found.line, found.column) == place


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("0", (1, 2)),
        ("0.a", (1, 3)),
        ("0.a.b.1", (2, 13)),
        ("0.c\u00e9\ud83d\ude00", (3, 2)),
        ("1.x", (4, 5)),
        ("1.y", (4, 4)),
    ],
)
def test_places_of_json(path: str, place: tuple[int, int]) -> None:
    text = '[{"a":\n  {"b": [1, 2]},\n "c\u00e9\\ud83d\\ude00": "}{"},\n   {"x": {}}]'
    path = path.encode("utf-16", "surrogatepass").decode("utf-16")
    found = read(text).place(path)
    assert (found.line, found.column) == place


@given(JSON.filter(lambda value: value not in (None, [])))
def test_json_is_read_as_python_reads_it(value: Any) -> None:
    text = json.dumps(value, indent=1)
    if "NaN" in text or "Infinity" in text:
        return
    source = read(text, "json")
    assert list(source.nodes) == (value if isinstance(value, list) else [value])


@given(st.text(max_size=60) | st.text(alphabet="{}[]:,-&*!|>'\"#%@ \nab1", max_size=60))
def test_no_text_breaks_the_reader(text: str) -> None:
    try:
        source = read(text)
    except UnparsableFile as error:
        report = Report(errors=(error.finding,))
    else:
        report = examine(source, Facts())
    assert all(each.code and each.suggestion for each in report.findings)


def test_sarif_names_rule_level_and_place() -> None:
    text = json.dumps({**SOUND, "strategy": "per_plyer", "enabled": False}, indent=2)
    source = read(text)
    log = sarif(examine(source, Facts()), uri="nodes/a%20b.json", place=source.place)
    (run,) = log["runs"]
    assert log["version"] == "2.1.0"
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == [each.code for each in (*CHECKS, *node_files.CHECKS)]
    found = {result["ruleId"]: result for result in run["results"]}
    assert {code: each["level"] for code, each in found.items()} == {
        "ENU001": "error",
        "ENA001": "warning",
        "CTX001": "note",
    }
    for code, result in found.items():
        assert rules[result["ruleIndex"]]["id"] == code
    location = found["ENU001"]["locations"][0]["physicalLocation"]
    assert location["artifactLocation"]["uri"] == "nodes/a%20b.json"
    assert location["region"] == {"startLine": 4, "startColumn": 3}
    assert text.splitlines()[3].startswith('  "strategy"')


def test_sarif_of_nothing_has_a_run_without_results() -> None:
    log = sarif(Report(), uri="x.json", place=lambda _: TextPosition())
    assert log["runs"][0]["results"] == []
