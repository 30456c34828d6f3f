"""The collection of schemas: its list, the classes of refusals, and what documents say of a schema."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import msgspec
import pytest

from contracts.content import custom
from infra.engine.grammar_schema import AFTERWARDS
from infra.lab.bench import limited, wild, wild_documents

OBJECT = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]}
MEMORY = 1 << 30


def test_the_list_has_300_schemas_of_10_projects_each_once() -> None:
    listed = wild.read_list()
    assert len(listed) >= 300
    assert len({each.project for each in listed}) >= 10
    assert len({each.file for each in listed}) == len({each.sha256 for each in listed}) == len(listed)


@pytest.mark.parametrize(
    ("schema", "outcome"),
    [
        ({"type": "object", "not": {}}, wild.REFUSED),
        ({"$ref": "https://example.org/other.json"}, wild.OUTSIDE),
        ({"properties": {"a": {"$ref": "other.json#/definitions/a"}}}, wild.OUTSIDE),
        ({"$id": "https://e.org/a", "$ref": "https://e.org/a#/$defs/b", "$defs": {"b": {}}}, wild.REFUSED),
        ({"$id": "https://e.org/a", "$ref": "b", "$defs": {"b": {"$id": "b"}}}, wild.REFUSED),
        ({"type": "intrinsic"}, wild.INVALID),
        ({"description": "x" * custom.MAX_BYTES}, wild.TOO_LARGE),
    ],
)
def test_a_refused_schema_has_the_class_of_its_own_faults(schema: dict[str, Any], outcome: str) -> None:
    assert wild.classify(schema) == outcome


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        ("properties.a.pattern: '(a' is no expression", "pattern: '…' is no expression"),
        (
            "schema: has 300000 bytes, and at most 262144 are accepted",
            "schema: has N bytes, and at most N are accepted",
        ),
        (
            "constrained decoding does not support it: $defs.x.not: has no grammar",
            "grammar: not: has no grammar",
        ),
    ],
)
def test_reasons_are_grouped_without_path_values_and_numbers(refusal: str, reason: str) -> None:
    assert wild.strip(refusal) == reason


def test_work_comes_back_unless_it_exceeds_its_limits() -> None:
    assert limited.run_limited(lambda: b"done", cpu_s=5, memory=MEMORY) == b"done"
    assert limited.run_limited(lambda: bytes(4 * MEMORY), cpu_s=60, memory=MEMORY) is None
    assert limited.run_limited(_run_forever, cpu_s=0.05, memory=MEMORY) is None


def _run_forever() -> bytes:
    while True:
        pass


def test_a_run_reads_the_listed_files_and_says_which_are_absent_or_changed(tmp_path) -> None:
    texts = {"a": json.dumps(OBJECT), "b": json.dumps({"type": "text"}), "c": "{}", "d": "{}"}
    listed = [_listed(name, text) for name, text in texts.items()]
    (tmp_path / "project").mkdir()
    for name, text in (texts | {"c": "{ }"}).items():
        if name != "d":
            (tmp_path / f"project/{name}.json").write_text(text)

    found = wild.run(tmp_path, listed=listed, cpu_s=10, documents=0, seed=1)

    assert [each.outcome for each in found.verdicts] == [wild.ACCEPTED, wild.INVALID]
    assert (found.changed, found.absent) == (("project/c.json",), ("project/d.json",))
    assert not found.passed
    assert "project        2         1    50%" in wild.table(found)


def _listed(name: str, text: str) -> wild.WildSchema:
    return msgspec.convert(
        {
            "file": f"project/{name}.json",
            "repository": "owner/project",
            "commit": "0" * 40,
            "path": f"{name}.json",
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
            "bytes": len(text),
            "dialect": "none",
        },
        wild.WildSchema,
    )


def test_documents_are_held_against_the_schema_as_written() -> None:
    pytest.importorskip("transformers")
    found = wild_documents.draw_limited(json.dumps(OBJECT).encode(), (), count=5, seed=1, cpu_s=60)
    assert not found.failed
    assert (found.drawn, found.valid, found.caught, found.missed) == (5, 5, 0, 0)
    assert found.clean


def test_a_broken_keyword_is_dropped_in_silence_unless_a_warning_names_it() -> None:
    broken = wild_documents.check({**OBJECT, "maxProperties": 1}, ('{"a": true}', '{"a": true, "b": 1}'), ())
    assert broken.silent == {"maxProperties": 1}
    named = wild_documents.check(
        {**OBJECT, "maxProperties": 1}, ('{"a": true, "b": 1}',), (f"maxProperties: {AFTERWARDS}",)
    )
    assert (named.caught, named.silent) == (1, {})
