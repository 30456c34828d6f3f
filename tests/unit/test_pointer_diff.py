"""Differences of documents: applied to the first they give the second, and they say it as a person would."""

from __future__ import annotations

import copy
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.policy.pointer_diff import PointerDifference, diff

SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4)
NAMES = st.text("ab/~", max_size=2)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(NAMES, inner, max_size=4)
        | st.lists(
            st.fixed_dictionaries({"id": st.sampled_from("abcdef")}, optional={"x": inner}),
            max_size=5,
            unique_by=lambda item: item["id"],
        )
    ),
    max_leaves=20,
)


def apply(document: Any, changes: tuple[PointerDifference, ...]) -> Any:
    """What RFC 6902 makes of a document; every value that is replaced or removed is the ``old`` one."""
    holder = {"": copy.deepcopy(document)}
    for each in msgspec.to_builtins(changes):
        parent, name = _place(holder, each["path"])
        if each["op"] == "move":
            source, at = _place(holder, each["from"])
            moved = source.pop(at)
            parent.insert(name, moved)
            continue
        if each["op"] != "add":
            assert _same(parent[name], each["old"])
        if each["op"] == "remove":
            parent.pop(name)
        elif each["op"] == "add" and isinstance(parent, list):
            assert 0 <= name <= len(parent)
            parent.insert(name, each["value"])
        else:
            assert (name in parent) == (each["op"] == "replace") or isinstance(parent, list)
            parent[name] = each["value"]
    return holder[""]


def _place(holder: Any, pointer: str) -> tuple[Any, Any]:
    at, names = holder, ["", *(part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])]
    for name in names[:-1]:
        at = at[int(name) if isinstance(at, list) else name]
    return at, int(names[-1]) if isinstance(at, list) else names[-1]


def _same(left: Any, right: Any) -> bool:
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


@given(VALUES, VALUES)
def test_the_operations_make_the_second_of_the_first(before: Any, after: Any) -> None:
    changes = diff(before, after)
    assert _same(apply(before, changes), after)
    assert changes == diff(before, after)
    assert (changes == ()) == _same(before, after)


def told(before: Any, after: Any) -> list[dict[str, Any]]:
    return [*msgspec.to_builtins(diff(before, after))]


def test_an_item_that_moves_and_changes_is_followed_by_its_id() -> None:
    before = {"beats": [{"id": "a", "t": 1}, {"id": "b"}, {"id": "c"}]}
    after = {"beats": [{"id": "c"}, {"id": "a", "t": 2}, {"id": "d"}]}
    assert told(before, after) == [
        {"op": "remove", "path": "/beats/1", "old": {"id": "b"}},
        {"op": "move", "path": "/beats/0", "from": "/beats/1"},
        {"op": "add", "path": "/beats/2", "value": {"id": "d"}},
        {"op": "replace", "path": "/beats/1/t", "value": 2, "old": 1},
    ]


def test_an_item_in_front_is_one_addition() -> None:
    assert told([1, 2, 3], [0, 1, 2, 3]) == [{"op": "add", "path": "/0", "value": 0}]


def test_texts_say_how_alike_they_are() -> None:
    (change,) = told({"a/b": "the red door"}, {"a/b": "the red doors"})
    assert change == {
        "op": "replace",
        "path": "/a~1b",
        "value": "the red doors",
        "old": "the red door",
        "likeness": 0.96,
    }


@pytest.mark.parametrize(("before", "after", "number"), [(1, 1.0, 0), (1, True, 1), (None, 0, 1)])
def test_numbers_are_equal_by_value_and_nothing_else_is_a_number(
    before: Any, after: Any, number: int
) -> None:
    assert len(diff(before, after)) == number


def test_long_lists_are_compared_place_by_place() -> None:
    changes = diff(list(range(600)), [-1, *range(600)])
    assert len(changes) == 601
    assert apply(list(range(600)), changes) == [-1, *range(600)]
