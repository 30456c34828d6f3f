"""Repair of JSON by example: slips with one meaning, texts that are refused, and what is reported."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stages.validate_repair.parse import MAX_MENDED, Parsed, parse
from stages.validate_repair.tokens import UnparsableText


def repaired(text: str) -> Any:
    """The one document of a text that is not strict JSON."""
    (parsed,) = parse(text)
    assert parsed.repaired
    assert parsed.changes
    assert parsed.filled == ()
    return parsed.document


@pytest.mark.parametrize(
    ("text", "document"),
    [
        # Punctuation
        ('{"title": "x", "hp": 1e5,}', {"title": "x", "hp": 100000.0}),
        ('{"a": [1, 2,], "b": {"c": 1,},}', {"a": [1, 2], "b": {"c": 1}}),
        ('{"a": 1,, "b": 2}', {"a": 1, "b": 2}),
        ('{"a": 1 "b": 2}', {"a": 1, "b": 2}),
        ('{"a": "x"\n"b": 2}', {"a": "x", "b": 2}),
        (
            '{"a": {"b": 1} "c": [2] "d": [{"e": 3} {"e": 4}]}',
            {"a": {"b": 1}, "c": [2], "d": [{"e": 3}, {"e": 4}]},
        ),
        ('["rope" "lamp"]', ["rope", "lamp"]),
        ('{"a": 1}}', {"a": 1}),
        # A bracket that is missing in the middle, where its place is certain
        ('{"items": ["rope", "lamp", "hp": 2}', {"items": ["rope", "lamp"], "hp": 2}),
        ('{"items": [1, 2}', {"items": [1, 2]}),
        ('{"x": [{"a": 1, "b": 2], "c": 3}', {"x": [{"a": 1, "b": 2}], "c": 3}),
        ('{"x": [{"a": 1, {"a": 2}]}', {"x": [{"a": 1}, {"a": 2}]}),
        # Quotes, names, literals
        ("{'a': 'b', \"c\": 'say \"no\"'}", {"a": "b", "c": 'say "no"'}),
        (r"""{"a": "it\'s", 'b': 'it\'s'}""", {"a": "it's", "b": "it's"}),
        ("{a: 1, b_2: 2}", {"a": 1, "b_2": 2}),
        ('{"a": True, "b": FALSE, "c": None, "d": Null}', {"a": True, "b": False, "c": None, "d": None}),
        ('{"a": "two\nlines\tand a tab"}', {"a": "two\nlines\tand a tab"}),
        ('{"a":\u00a01}\ufeff', {"a": 1}),
        # Numbers
        ('{"a": .5, "b": -.5, "c": 5., "d": +5}', {"a": 0.5, "b": -0.5, "c": 5.0, "d": 5}),
        ('{"a": 1_000, "b": 1e3,}', {"a": 1000, "b": 1000.0}),
        ('{"a": 12345678901234567890,}', {"a": 12345678901234567890}),
        # Escapes
        (r'{"title": "\ud83d\ude00",}', {"title": "😀"}),
        (r'{"a": "\u00e9\n\\\/\"",}', {"a": 'é\n\\/"'}),
        # Comments, fences, prose, reasoning
        ('{"a": 1, // one\n "b": /* two */ 2 # three\n}', {"a": 1, "b": 2}),
        ('```json\n{"a": 1}\n```', {"a": 1}),
        ('Here it is [as asked], with {name} left out:\n{"a": 1}\nEnjoy!', {"a": 1}),
        ('<think>Perhaps {"name": "x"}? No.</think>{"title": "x"}', {"title": "x"}),
        ('<think>\n</think>\n{"a": "</think>"}', {"a": "</think>"}),
        # A field twice
        ('{"a": [1, {"b": 2}], "a": [1, {"b": 2}]}', {"a": [1, {"b": 2}]}),
    ],
)
def test_a_slip_with_one_meaning_is_repaired(text, document) -> None:
    found = repaired(text)
    assert json.dumps(found) == json.dumps(document)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        # Not written to its end
        ('{"title": "x", "items": ["rope", "the old keep', "items.1: the text ends inside"),
        ('{"title": "x", "items": ["rope", "lamp"', "items.1: the text ends before"),
        ('{"lines": [{"text": "Wait"}, {"speaker": "Bo", "te', "lines.1: the text ends"),
        ('{"a": 12', "cut off"),
        ('{"a": 12,', "cut off"),
        ('{"a": "one", "b": "two', "cut off"),
        ('{"a": "one", "b": "", "c"', "cut off"),
        ('{"note": "", "price":', "price: the text ends"),
        ('{"a": 1} {"a": 2', "cut off"),
        ('```json\n{"a": [1, 2]\n```', "a: '```'"),
        ("<think>Perhaps {'a': 1}?", "reasoning"),
        ('{"a": 1, /* and', "cut off"),
        # More than one meaning
        (
            '{"title": "She: "no, "never", I won\'t"", "hp": 2}',
            "title: 'no' stands where a comma or } has to",
        ),
        ('{"a": "He left." She stayed. "b": 2}', r"write \" for a quote"),
        ('{"a": "b" c, "d": 1}', "a: 'c'"),
        ('{"a": "b" "c"}', "c: '}'"),
        ('{"a": "first part"\n "second part", "b": 2}', "has no value"),
        ('{"a": """b"""}', "a: '\"b\"'"),
        ('{"a": "x""b": 1}', "a: "),
        ('["say " " loud"]', "quote inside"),
        ("{`a`: `b`}", "name in double quotes"),
        ("{“a”: “b”}", "name in double quotes"),
        ('{"a": "x, "b": "y"}', "a: 'b'"),
        ('{"a": x", "b": "y"}', "a: x is no value"),
        ("{'a': 'it's'}", "a: 's'"),
        ('{"x": "a" y: 1}', "x: 'y'"),
        ('{"x": [[1, 2, [3, 4]], "k": 1}', "x.0"),
        ('{"x": [[1, 2}', "x.0.1"),
        ('[{"a": 1, "p": {"x": 2, "y": 3}, {"b": 2}]', "0: '{'"),
        ('{"a": [}', "a.0: '}'"),
        ('{"a": {]}', "a: ']'"),
        ('{"a": 1]', "a: ']'"),
        # Numbers
        ('{"hp": 5 + 3}', "hp: '+'"),
        ('{"hp": 50%}', "hp: 50% is no value"),
        ('{"price": 1 299.00, "b": "x"}', "price: '299.00'"),
        ("[1 299]", "0: '299'"),
        ('{"a": 1,000}', "'000'"),
        ("{'a': [1,000]}", "a.1: 000"),
        ('{"a": 12:30}', "a: ':'"),
        ('{"a": 3 coins}', "a: 'coins'"),
        ('{"a": 10 - 20, "b": 1}', "a: '-'"),
        ('{"a": 10-20}', "a: 10-20"),
        ('{"n": 5 or 6}', "n: 'or'"),
        ('{"b": true or false}', "b: 'or'"),
        ('{"a": "1",234}', "'234'"),
        ('{"a": $5}', "$5 is no value"),
        ('{"a": ~5}', "~5"),
        ('{"a": >5}', ">5"),
        ('{"a": 7 // 2\n}', "a: '// 2'"),
        ('{"a": 1/2}', "1/2"),
        ('{"a": 0x1F}', "0x1F"),
        ('{"a": 007}', "007"),
        ('{"a": 1_0}', "1_0"),
        ('{"a": 2026-11-27}', "2026-11-27"),
        ('{"a": NaN}', "NaN is no JSON"),
        ('{"a": -Infinity}', "-Infinity is no JSON"),
        ('{"a": 1e999}', "too large for JSON"),
        ('{"a": 1e-999}', "would not keep its value"),
        ('{"a": 0.12345678901234567890}', "a: 0.12345678901234567890 would not keep its value"),
        ('{"a": 123456789012345678.0}', "would not keep its value"),
        ('{"a": 1' + "0" * 400 + "}", "401 characters"),
        ('{"a": #ff0000,\n "b": 1}', "#ff0000"),
        ('{"a": undefined}', "undefined"),
        ('{"a": yes}', "yes"),
        # What was left out
        ('{"l": [1, 2, …, 9]}', "l.2: … stands for something that was left out"),
        ('{"l": ["a", ..., "z"]}', "l.1: ..."),
        ('{"l": ["a"], // ... and the others\n}', "left out"),
        ('{"a": 1, "b"}', "b: '}'"),
        ('{"a": 1, "b", "c": 2}', "b: this name has no value"),
        ('{"a" 1}', "a: '1'"),
        ("[1,,2]", "1: nothing stands before this comma"),
        ("[,1]", "0: nothing"),
        # A field twice
        ('{"title": "x", "hp": 10, "hp": 99}', "hp: is written twice, as 10 and as 99"),
        ('{"a": {"b": 1, "b": true}}', "a.b: is written twice, as 1 and as true"),
        ('{"a": 1, "a": 1.0}', "a: is written twice"),
        # Escapes
        (r'{"a": "C:\path\new"}', r"a: has the escape '\\p'"),
        (r'{"a": "50\% off"}', "escape"),
        (r'{"a": "C:\users"}', r"has a \u without"),
        (r'{"a": "\ud83d"}', "half a surrogate pair"),
        (r'{"a": "\ude00\ud83d",}', "half a surrogate pair"),
        ('{"a": "\ud83d"}', "half a surrogate pair"),
        (r"{\"a\": 1}", "document: '\\\\' stands"),
        # Beside a document
        ('{"a": {"b": 1}}, "c": 2}', "outside of the brackets"),
        ('"a": 1, "b": {"c": 1}}', "outside of the brackets"),
        ('x] {"a": 1}', "outside of the brackets"),
        ("[1] " * 9, "more than 8 documents"),
        ("I cannot do that.", "no JSON"),
        ("[sic]", "sic is no value"),
        ("[[[false, 1], [2]]", "cut off"),
        ("[[rope], {'a': 1}]", "0.0: rope is no value"),
        ("[" * 101 + "]" * 101, "more than 100 deep"),
        ("{'a':" * 101 + "1" + "}" * 101, "more than 100 deep"),
    ],
)
def test_what_has_no_one_meaning_is_refused_with_its_place(text, said) -> None:
    with pytest.raises(UnparsableText) as refused:
        parse(text)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("text", "documents"),
    [
        (
            'Here: {"title": "x", "hp": 5} A bad answer: {"title": "BAD"}',
            [{"title": "x", "hp": 5}, {"title": "BAD"}],
        ),
        (
            '{"mood": "tense"}\n(For example {"mood": "calm"} would be wrong.)',
            [{"mood": "tense"}, {"mood": "calm"}],
        ),
        ('{"id": 1}\n{"id": 2}', [{"id": 1}, {"id": 2}]),
        ('{"id": 1}, {"id": 2}', [{"id": 1}, {"id": 2}]),
        ("[1, 2][3, 4]", [[1, 2], [3, 4]]),
        ('{"m": "t"} is my answer; schema was {"type": "object"}', [{"m": "t"}, {"type": "object"}]),
        ('Note [1]: see below.\n{"a": 1}', [[1], {"a": 1}]),
        ('Use {} only if empty: {"a": 1}', [{}, {"a": 1}]),
    ],
)
def test_every_document_of_a_text_is_found(text, documents) -> None:
    assert [each.document for each in parse(text)] == documents


def test_each_kind_of_repair_is_reported_once_with_its_first_place() -> None:
    (parsed,) = parse("Yes:\n{'a': [True, True], 'b': {'c': .5,}}")
    assert parsed == Parsed(
        document={"a": [True, True], "b": {"c": 0.5}},
        repaired=True,
        changes=(
            "left out 5 characters before the document",
            "document: stood in single quotes; 2 more like it",
            "a.0: was spelled True, is true; 1 more like it",
            "b.c: was spelled .5, is 0.5",
            "b: had a comma after its last entry",
        ),
    )


@pytest.mark.parametrize("text", ['{"a": , "b": ""}', '{"b": "", "a":}', '{"a":,}'])
def test_a_field_without_a_value_is_named(text) -> None:
    (parsed,) = parse(text)
    assert parsed.document["a"] == ""
    assert parsed.filled == ("a",)


def test_strict_json_may_be_longer_than_what_is_repaired() -> None:
    text = json.dumps({"a": "x" * MAX_MENDED})
    assert parse(text)[0].document == json.loads(text)
    with pytest.raises(UnparsableText, match="too long to repair"):
        parse(text[:-1] + ",}")
