"""Is a name that a JSON text gives twice found, wherever it is, in little time, and nothing else?"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.duplicate_names import MOST, find_duplicates
from tests.profiles import examples

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@examples(60)
@given(VALUES)
def test_a_text_that_gives_each_name_once_is_left_alone(value: Any) -> None:
    assert find_duplicates(json.dumps(value).encode()) == ()


@examples(60)
@given(VALUES, VALUES, st.text(max_size=3), st.lists(st.text(max_size=3) | st.just(0), max_size=4))
def test_a_name_given_twice_is_found_at_any_depth(one: Any, other: Any, name: str, at: list[Any]) -> None:
    text = f"{{{json.dumps(name)}: {json.dumps(one)}, {json.dumps(name)}: {json.dumps(other)}}}"
    for part in reversed(at):
        text = f"[{text}]" if part == 0 else f"{{{json.dumps(part)}: {text}}}"
    assert find_duplicates(text.encode()) == ((*at, name),)


@pytest.mark.parametrize(
    ("text", "places"),
    [
        (b'{"a": 1, "\\u0061": 2}', (("a",),)),
        (b'{"b": {"x": 1, "x": 1}, "a": {"y": [], "y": []}}', (("b", "x"), ("a", "y"))),
        (b'{"a": {"x": 1, "x": 1}, "a": 1}', (("a",),)),
        (b'{"a": 1' + b"0" * 5000 + b', "a": 2}', (("a",),)),
        (b'{"a": 1, "a": 2', ()),
        (b"\xff", ()),
        (b"", ()),
    ],
)
def test_some_texts(text: bytes, places: Any) -> None:
    assert find_duplicates(text) == places


@pytest.mark.parametrize(
    "text",
    [
        b"{" + b'"a":1,' * 43_000 + b'"b":1}',
        b"{" + b",".join(b'"%d":{"x":1,"x":1}' % number for number in range(10_000)) + b"}",
        b'{"a":' * 900 + b'{"x":1,"x":1}' + b"}" * 900,
        b"[" * 250_000,
    ],
    ids=["one name", "many places", "deep", "too deep"],
)
def test_it_takes_little_time_and_tells_a_few(text: bytes) -> None:
    began = time.process_time()
    assert len(find_duplicates(text)) <= MOST
    assert time.process_time() - began < 1
