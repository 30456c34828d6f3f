"""Documents of the content kinds for properties: drawn from the kinds' own JSON Schemas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from contracts.content.registry import Registry

#: What texts are made of: markup, what a terminal obeys, wide letters, long words.
TEXTS = st.one_of(
    st.text(min_size=1, max_size=24),
    st.sampled_from(
        [
            "<script>alert(1)</script>",
            "]]>",
            '" onload="x',
            "&amp;",
            "\x1b[31m",
            "\u202e",
            "\ud800",
            "漢字",
            "é\u0301",
        ]
    ),
    st.integers(1, 400).map(lambda count: "word " * count),
    st.integers(1, 400).map(lambda count: "w" * count),
)
#: Any JSON value, and what Python's decoders make beside it.
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def documents(kind: str) -> st.SearchStrategy[Any]:
    """Documents that fit a kind's schema, but for the length of their texts."""
    schema = Registry().schema(kind, None)
    return _value(schema, schema.get("$defs", {}))


def damaged(kind: str) -> st.SearchStrategy[Any]:
    """Documents of a kind in which one field has any value whatever."""
    return st.builds(_replace, documents(kind), st.integers(0, 10_000), JSON)


def _replace(document: Any, number: int, value: Any) -> Any:
    places: list[tuple[Any, Any]] = []
    rest = [document]
    while rest:
        inner = rest.pop()
        keys = (
            list(inner) if isinstance(inner, dict) else range(len(inner)) if isinstance(inner, list) else ()
        )
        places += [(inner, key) for key in keys]
        rest += [inner[key] for key in keys]
    if places:
        where, key = places[number % len(places)]
        where[key] = value
    return document


def _value(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> st.SearchStrategy[Any]:  # noqa: PLR0911 - one for each type
    if "$ref" in schema:
        return _value(defs[schema["$ref"].rpartition("/")[2]], defs)
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "anyOf" in schema and "properties" not in schema:
        return st.one_of([_value(each, defs) for each in schema["anyOf"]])
    match schema.get("type"):
        case "object":
            required = set(schema.get("required", ()))
            fields = {name: _value(each, defs) for name, each in schema.get("properties", {}).items()}
            return st.fixed_dictionaries(
                {name: each for name, each in fields.items() if name in required},
                optional={name: each for name, each in fields.items() if name not in required},
            )
        case "array":
            return st.lists(_value(schema["items"], defs), min_size=schema.get("minItems", 0), max_size=5)
        case "integer":
            return st.integers(schema["minimum"], schema["maximum"])
        case "number":
            return st.floats(
                schema.get("minimum", schema.get("exclusiveMinimum")), schema["maximum"], allow_nan=False
            )
        case _:
            return st.from_regex(schema["pattern"], fullmatch=True) if "pattern" in schema else TEXTS
