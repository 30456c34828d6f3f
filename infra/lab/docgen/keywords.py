"""Page of the keywords of JSON Schema: what the grammar enforces, what the validator checks, what asks nothing.

Every cell is the outcome of a run: the local model's grammar and the validator decide about one document that
follows the keyword and one that does not.
"""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

from contracts.content import keywords
from contracts.content.registry import Registry
from infra.lab.docgen import markdown

_INTEGER: Final = {"type": "integer"}
_TEXT: Final = {"type": "string"}
_LIST: Final = {"type": "array", "items": {"type": "integer"}}
_PAIR: Final = {"type": "object", "properties": {"a": _INTEGER, "b": _INTEGER}}
_OLD: Final = "http://json-schema.org/draft-04/schema#"


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """A schema with a keyword, and two values that differ in it."""

    keyword: str
    #: Where the keyword is used in this way; empty: everywhere.
    when: str = ""
    #: Of the field ``v``, or of the document if ``root``.
    schema: dict[str, Any]
    good: Any
    bad: Any
    root: bool = False
    #: Beside the schema, at the root.
    beside: dict[str, Any] = {}

    @property
    def whole(self) -> dict[str, Any]:
        """The schema of the documents."""
        if self.root:
            return {**self.schema, **self.beside}
        return {"type": "object", "properties": {"v": self.schema}, "required": ["v"], **self.beside}

    def document(self, value: Any) -> Any:
        """The document that has a value."""
        return value if self.root else {"v": value}


def _v(
    keyword: str,
    schema: dict[str, Any],
    good: Any,
    bad: Any,
    when: str = "",
    beside: dict[str, Any] | None = None,
) -> Probe:
    return Probe(keyword=keyword, when=when, schema=schema, good=good, bad=bad, beside=beside or {})


def _part(keyword: str, value: Any, good: Any, bad: Any, when: str = "", **more: Any) -> Probe:
    return _v(keyword, {**_PAIR, keyword: value, **more}, good, bad, when)


PROBES: Final[tuple[Probe, ...]] = (
    _v("type", _INTEGER, 1, "x"),
    _v("enum", {"enum": ["x", 2]}, 2, 3),
    _v("const", {"const": "x"}, "x", "y"),
    _v("properties", _PAIR, {"a": 1}, {"a": "x"}),
    _part("required", ["a"], {"a": 1}, {"b": 1}),
    _v("additionalProperties", {**_PAIR, "additionalProperties": False}, {"a": 1}, {"a": 1, "z": 1}),
    _v("patternProperties", {"type": "object", "patternProperties": {"^x": _INTEGER}}, {"xa": 1}, {"xa": "y"}),
    _v(
        "patternProperties",
        {"type": "object", "patternProperties": {"^x": _INTEGER, "z$": {"type": "integer", "maximum": 1}}},
        {"xa": 2},
        {"xz": 2},
        "of which one name can match two",
    ),
    _v(
        "propertyNames",
        {"type": "object", "propertyNames": {"maxLength": 2}, "additionalProperties": _INTEGER},
        {"ab": 1},
        {"abc": 1},
    ),
    _v(
        "propertyNames",
        {"type": "object", "propertyNames": {"not": {"const": "z"}}, "additionalProperties": _INTEGER},
        {"a": 1},
        {"z": 1},
        "with other keywords than those of texts",
    ),
    _part("minProperties", 1, {"a": 1}, {}),
    _part("maxProperties", 1, {"a": 1}, {"a": 1, "b": 1}, "of which at most one is optional"),
    _v(
        "maxProperties",
        {"type": "object", "properties": dict.fromkeys("abcd", _INTEGER), "maxProperties": 2},
        {"a": 1},
        {"a": 1, "b": 1, "c": 1},
        "with more optional fields",
    ),
    _part("dependentRequired", {"a": ["b"]}, {"a": 1, "b": 1}, {"a": 1}, "of at most 3 fields"),
    _part("dependentSchemas", {"a": {"required": ["b"]}}, {"a": 1, "b": 1}, {"a": 1}, "of at most 3 fields"),
    _v("unevaluatedProperties", {**_PAIR, "unevaluatedProperties": False}, {"a": 1}, {"z": 1}),
    _v(
        "unevaluatedProperties",
        {"allOf": [{**_PAIR, "unevaluatedProperties": False}, {"properties": {"c": _INTEGER}}]},
        {"a": 1},
        {"a": 1, "c": 1},
        "beside a part that it does not see",
    ),
    _v("items", _LIST, [1], ["x"]),
    _v("prefixItems", {"type": "array", "prefixItems": [_INTEGER]}, [1], ["x"]),
    _v("minItems", {**_LIST, "minItems": 2}, [1, 2], [1]),
    _v("maxItems", {**_LIST, "maxItems": 1}, [1], [1, 2]),
    _v("uniqueItems", {**_LIST, "uniqueItems": True}, [1, 2], [1, 1]),
    _v("contains", {**_LIST, "contains": {"const": 7}}, [1, 7], [1]),
    _v("minContains", {**_LIST, "contains": {"const": 7}, "minContains": 2}, [7, 7], [1, 7]),
    _v("maxContains", {**_LIST, "contains": {"const": 7}, "maxContains": 1}, [1, 7], [7, 7]),
    _v("unevaluatedItems", {"type": "array", "prefixItems": [_INTEGER], "unevaluatedItems": False}, [1], [1, 2]),
    _v("minLength", {**_TEXT, "minLength": 2}, "ab", "a"),
    _v("maxLength", {**_TEXT, "maxLength": 2}, "ab", "abc"),
    _v("pattern", {**_TEXT, "pattern": "^a+$"}, "aa", "ab"),
    _v("pattern", {**_TEXT, "pattern": "^(?!b)[a-z]+$"}, "a", "b", "with look-around at its ends"),
    _v("format", {**_TEXT, "format": "date"}, "2024-01-31", "2024-02-30", "that is checked"),
    _v("format", {**_TEXT, "format": "color"}, "red", "?", "that is not known"),
    _v("minimum", {**_INTEGER, "minimum": 2}, 2, 1),
    _v("maximum", {**_INTEGER, "maximum": 2}, 2, 3),
    _v("exclusiveMinimum", {"type": "number", "exclusiveMinimum": 2}, 2.5, 2),
    _v("exclusiveMaximum", {"type": "number", "exclusiveMaximum": 2}, 1.5, 2),
    _v("multipleOf", {"type": "number", "multipleOf": 0.25}, 0.25, 0.3),
    _v("allOf", {"allOf": [{"type": "integer", "minimum": 2}, {"maximum": 4}]}, 3, 5),
    _v("anyOf", {"anyOf": [_INTEGER, {"type": "null"}]}, None, "x"),
    _v("oneOf", {"oneOf": [_INTEGER, {"type": "null"}]}, None, "x", "whose alternatives differ in type, fields or constants"),
    _v("oneOf", {"oneOf": [{"type": "integer", "minimum": 1}, {"type": "integer", "maximum": 5}]}, 7, 3, "with other alternatives"),
    _part("not", {"required": ["a", "b"]}, {"a": 1}, {"a": 1, "b": 1}, "of types or required fields"),
    _v("not", {**_TEXT, "not": {"const": "x"}}, "y", "x", "with other keywords"),
    _part(
        "if", {"properties": {"a": {"const": 1}}}, {"a": 1, "b": 2}, {"a": 1}, "about the listed values of a field",
        then={"required": ["b"]}, properties={"a": {"enum": [1, 2]}, "b": _INTEGER}, required=["a"],
    ),
    _part("if", {"properties": {"a": {"minimum": 5}}}, {"a": 1}, {"a": 7}, "with other conditions", then={"required": ["b"]}, required=["a"]),
    _part(
        "then", {"required": ["b"]}, {"a": 1, "b": 2}, {"a": 1}, "as `if`",
        properties={"a": {"enum": [1, 2]}, "b": _INTEGER}, required=["a"], **{"if": {"properties": {"a": {"const": 1}}}},
    ),
    _part(
        "else", {"required": ["b"]}, {"a": 1}, {"a": 2}, "as `if`",
        properties={"a": {"enum": [1, 2]}, "b": _INTEGER}, required=["a"], **{"if": {"properties": {"a": {"const": 1}}}},
    ),
    _v("$ref", {"$ref": "#/$defs/d"}, 1, "x", beside={"$defs": {"d": _INTEGER}}),
    _v("$dynamicRef", {"$dynamicRef": "#d"}, 1, "x", beside={"$defs": {"d": {"$dynamicAnchor": "d", **_INTEGER}}}),
    _v("$recursiveRef", {"anyOf": [_INTEGER, {"$recursiveRef": "#"}]}, {"v": 1}, {"v": "x"}, "of 2019-09"),
    _v("definitions", {"$ref": "#/definitions/d"}, 1, "x", beside={"definitions": {"d": _INTEGER}}),
    _v("$defs", {"$ref": "#/$defs/d"}, 1, "x", beside={"$defs": {"d": _INTEGER}}),
    _v("dependencies", {**_PAIR, "dependencies": {"a": ["b"]}}, {"b": 1}, {"a": 1}, "of draft-07 and before"),
    _v("additionalItems", {"type": "array", "items": [_INTEGER], "additionalItems": False}, [1], [1, 2], "of 2019-09 and before"),
    _v("exclusiveMinimum", {**_INTEGER, "minimum": 2, "exclusiveMinimum": True}, 3, 2, "true, of draft-04", beside={"$schema": _OLD}),
    _v("divisibleBy", {**_INTEGER, "divisibleBy": 2}, 2, 3, "of draft-03"),
    *(
        _v(word, {**_TEXT, word: value}, "x", "y")
        for word, value in {
            "$anchor": "v", "$comment": "x", "$dynamicAnchor": "v", "contentEncoding": "base64", "contentMediaType": "text/html",
            "contentSchema": {}, "default": "x", "deprecated": True, "description": "x", "examples": ["x"], "readOnly": True,
            "title": "x", "writeOnly": True,
        }.items()
    ),
    _v("$id", _TEXT, "x", "y", "which names addresses", beside={"$id": "https://example.org/v"}),
    _v("$schema", _TEXT, "x", "y", "which chooses the draft", beside={"$schema": _OLD}),
    _v("another word", {**_TEXT, "minLenght": 2}, "xx", "y", "with a warning"),
)  # fmt: skip


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a probe."""

    #: The grammar takes the good document, and takes the bad one.
    written: tuple[bool, bool]
    #: The same for the validator.
    checked: tuple[bool, bool]
    #: Whether a warning names the keyword as one that is checked after writing.
    warned: bool

    @property
    def name(self) -> str:
        """The outcome as the table shows it."""
        if self.written == (True, False):
            return "grammar and validator" if self.checked == (True, False) else "grammar"
        return (
            "validator, with a warning"
            if self.checked == (True, False) and self.warned
            else ("annotation" if self.checked == (True, True) else "fault")
        )


def measure(probe: Probe) -> Outcome:
    """Run the grammar and the validator on a probe's documents.

    Raises:
        ValueError: intake refuses its schema.
    """
    from infra.engine.grammar import check  # noqa: PLC0415 - part of the extra
    from infra.engine.grammar_check import ByteGrammar  # noqa: PLC0415 - as above

    verdict = Registry(refuses=check).verdict(probe.whole)
    if verdict.refusal is not None:
        raise ValueError(f"{probe.keyword}: {verdict.refusal}")
    documents = [probe.document(each) for each in (probe.good, probe.bad)]
    contents, grammar = Registry(), ByteGrammar(probe.whole)
    written = [grammar.accepts(json.dumps(each, separators=(",", ":"))) for each in documents]
    checked = [not contents.faults("custom", each, probe.whole) for each in documents]
    return Outcome(
        written=(written[0], written[1]),
        checked=(checked[0], checked[1]),
        warned=any("after writing" in line for line in verdict.warnings),
    )


def page() -> str:
    """The page as Markdown."""
    rows = [
        (
            each.keyword if " " in each.keyword else markdown.code(each.keyword),
            each.when,
            measure(each).name,
        )
        for each in PROBES
    ]
    missing = sorted(keywords.KNOWN - {each.keyword for each in PROBES})
    if missing:
        raise ValueError(f"no probe for {', '.join(missing)}")
    return markdown.page(
        markdown.notice("infra/lab/docgen/keywords.py"),
        _HEAD,
        markdown.table(("keyword", "where", "enforced by"), rows),
        _TAIL,
    )


_HEAD: Final = """# Keywords of JSON Schema

Who enforces a keyword of a request's own schema ([custom](custom.md)). This page is generated: each row is a run of the local
model's grammar and of the validator on one document that follows the keyword and one that does not.

"""
_TAIL: Final = """
*Grammar*: the local model cannot write a document that breaks the keyword. *Validator, with a warning*: the grammar leaves the
keyword out, a line in `meta.warnings` names its path, and a document that breaks it costs the re-ask. *Annotation*: asks nothing.
Models on other servers have no such grammar: for them, the validator checks everything.
"""
