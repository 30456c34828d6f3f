"""Repair of JSON by property: every document has all the tokens of its text, in their order, in bounded time."""

from __future__ import annotations

import json
import re
import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.validate_repair.parse import MAX_MENDED, MAX_TEXT, Parsed, parse
from stages.validate_repair.reader import Reader
from stages.validate_repair.tokens import UnparsableText
from tests.profiles import examples


def read_or_refused(text: str) -> tuple[Parsed, ...] | str:
    """The documents of a text, or why there is none."""
    try:
        return parse(text)
    except UnparsableText as error:
        return str(error)


@pytest.mark.parametrize("size", [MAX_MENDED - 10, MAX_TEXT - 10, 256 * 1024])
@pytest.mark.parametrize(
    "unit",
    [
        *"[{\"\\'`(/#:, ]}",
        '{"',
        '["',
        '{"a":',
        "[1] ",
        "[a] ",
        '{"a":1,',
        "/*",
        "[/*",
        "[//",
        "<think>",
        '"":',
        "'a':1,",
    ],
)
def test_time_is_bounded_whatever_is_repeated(unit, size) -> None:
    for start in ("", "{'a': ", '{"a": "', "[1", "{} "):
        text = start + unit * (size // len(unit))
        began = time.process_time()
        assert len(str(read_or_refused(text))) < 2 * size
        assert time.process_time() - began < 5


# Random documents, and what models, servers and accidents do to their spelling.

TEXTS = st.text(max_size=6) | st.sampled_from(
    ["", "no", '"', "'", "\\", "a, b", "{}", "]:", "// x", "😀", "\\u00e9", "..."]
)
NUMBERS = st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    TEXTS | NUMBERS | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(TEXTS, VALUES, min_size=1, max_size=4) | st.lists(VALUES, min_size=1, max_size=4)
PIECES = st.sampled_from(
    [
        *"{}[]\":,\\'.-+%/# \n0123456789tfn",
        ", ",
        "...",
        "…",
        "//x\n",
        "NaN",
        "1 299",
        "50%",
        " 5 + 3 ",
        '""',
        "\\u",
        "\ud800",
        '"k": 1',
    ]
)


@st.composite
def injured(draw: Any) -> str:
    """A document's text with a few injuries."""
    document = draw(DOCUMENTS)
    text = draw(
        st.sampled_from(
            [json.dumps(document), json.dumps(document, ensure_ascii=False, indent=1), str(document)]
        )
    )
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(text)))
        end = min(len(text), at + draw(st.integers(0, 3)))
        match draw(st.sampled_from(["drop", "insert", "replace", "cut", "twice", "prose", "fence", "comma"])):
            case "drop":
                text = text[:at] + text[end:]
            case "insert":
                text = text[:at] + draw(PIECES) + text[at:]
            case "replace":
                text = text[:at] + draw(PIECES) + text[end:]
            case "cut":
                text = text[:at]
            case "twice":
                text += text[at:]
            case "prose":
                text = f"Here it is: {text} Is it good?"
            case "fence":
                text = f"```json\n{text}\n```"
            case _:
                text = text[:-1] + "," + text[-1:]
    return text


#: A second reading of a text, written apart from the one under test: quoted texts and words, nothing else.
TOKEN = re.compile(
    r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|//[^\n]*|#(?=[\s#])[^\n]*|/\*.*?\*/|(?:(?!//|/\*)[^\s{}\[\],:"'\ufeff\u200b\u2060])+""",
    re.DOTALL,
)


def written(text: str) -> list[Any]:
    """What the tokens of a document's text say, in their order."""
    said: list[Any] = []
    for token in TOKEN.findall(text):
        if token[0] in "\"'":
            body = re.sub(r"\\.|\"", _in_double, token[1:-1], flags=re.DOTALL)
            said.append(json.loads(f'"{body}"', strict=False))
        elif not token.startswith(("//", "#", "/*")):
            word = {"True": "true", "False": "false", "None": "null"}.get(token, token)
            said.append(word)
    return said


def _in_double(found: re.Match[str]) -> str:
    return {r"\'": "'", '"': r"\""}.get(found[0], found[0])


def held(value: Any) -> list[Any]:
    """What a document says, in the order in which it is written."""
    match value:
        case dict():
            return [each for name, inner in value.items() for each in (name, *held(inner))]
        case list():
            return [each for inner in value for each in held(inner)]
        case _:
            return [value]


def same(said: Any, value: Any) -> bool:
    if isinstance(value, str) or value is None or isinstance(value, bool):
        return said == (value if isinstance(value, str) else json.dumps(value))
    return isinstance(said, str) and Decimal(said.replace("_", "")) == Decimal(str(value))


@given(injured())
@examples(300)
def test_no_text_becomes_a_document_of_other_tokens(text) -> None:
    found = read_or_refused(text)
    if isinstance(found, str) or not found[0].repaired:
        return
    places: list[tuple[int, int]] = []
    at = 0
    while len(found) > len(places):
        start = min(where for where in (text.find("{", at), text.find("[", at)) if where >= 0)
        at = start + 1
        reader = Reader(text)
        try:
            at = reader.read(start)
        except UnparsableText:
            continue
        places.append((start, at))
    for (start, end), parsed in zip(places, found, strict=True):
        if parsed.filled or any("written twice" in line for line in parsed.changes):
            continue
        said, value = written(text[start:end]), held(parsed.document)
        assert len(said) == len(value)
        assert all(map(same, said, value))


@given(st.one_of(DOCUMENTS, VALUES), st.booleans(), st.sampled_from([None, 2]))
def test_strict_json_is_what_it_says(document, ascii_only, indent) -> None:
    text = json.dumps(document, ensure_ascii=ascii_only, indent=indent)
    assert parse(text) == (Parsed(document=json.loads(text)),)
    if isinstance(document, dict | list):
        reader = Reader(text)
        assert reader.read(0) == len(text)
        assert json.dumps(reader.document) == json.dumps(document)
        assert reader.changes() == ()


@given(DOCUMENTS, st.data())
def test_a_text_that_is_cut_is_never_a_document(document, data) -> None:
    text = json.dumps(document)
    with pytest.raises(UnparsableText):
        parse(text[: data.draw(st.integers(0, len(text) - 1))])


@given(st.text(max_size=30) | st.lists(PIECES, max_size=20).map("".join))
def test_any_text_is_read_or_refused(text) -> None:
    assert read_or_refused(text)
