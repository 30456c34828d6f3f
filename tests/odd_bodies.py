"""Odd bodies of requests: each field, in turn, with values that somebody may send by mistake or on purpose."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from contracts.request import MAX_DEPTH, GenerationRequest

PROMPT = b'{"prompt":"a forest with three coins",'
#: JSON texts, some of which are no JSON.
VALUES = (
    b"null",
    b"true",
    b"-1",
    b"1.5",
    b"1e400",
    b"9223372036854775808",
    b'""',
    b'"a\\u0000b"',
    b'"\\ud800"',
    b'"' + b"x" * 5000 + b'"',
    b"[]",
    b"[null]",
    b"{}",
    b'{"unknown":1}',
    b"NaN",
)


def find_fields() -> list[tuple[str | int, ...]]:
    """Every field of a request, with those inside of others."""
    schema = GenerationRequest.model_json_schema(by_alias=False)
    found: dict[tuple[str | int, ...], None] = {}
    _walk(schema, (), schema["$defs"], found)
    return list(found)


def _walk(
    node: dict[str, Any], path: tuple[str | int, ...], known: dict[str, Any], found: dict[Any, None]
) -> None:
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        # JSON values contain themselves.
        if name != "JsonValue":
            _walk(known[name], path, known, found)
    for each in (*node.get("anyOf", ()), *node.get("oneOf", ()), *node.get("allOf", ())):
        _walk(each, path, known, found)
    for name, inner in node.get("properties", {}).items():
        found[*path, name] = None
        _walk(inner, (*path, name), known, found)


def _with(path: tuple[str | int, ...], value: bytes) -> bytes:
    for name in reversed(path):
        value = b"{" + json.dumps(name).encode() + b":" + value + b"}"
    return value


def _whole_bodies() -> Iterator[bytes]:
    deep = MAX_DEPTH * 40
    good = PROMPT[:-1] + b"}"
    yield from (b"", b" ", b"null", b"[]", b"42", b'"text"', b"{}", b"{", b"}", b"\x00", b"\xff\xfe")
    yield from (
        good + b" ",
        good + b"x",
        good + good,
        b"\xef\xbb\xbf" + good,
        good[:-1],
        good.replace(b'"', b"'"),
    )
    yield from (
        b"[" * deep,
        b'{"a":' * deep + b"1" + b"}" * deep,
        PROMPT + b'"tags":' + b"[" * deep + b"]" * deep + b"}",
    )
    yield from (
        PROMPT + b'"prompt":"twice"}',
        PROMPT + b'"node":{"id":"a","id":"b"}}',
        b'{"prompt":"\xc3\x28"}',
    )
    yield from (
        PROMPT + b'"":1}',
        PROMPT + b'"a.b":1}',
        PROMPT + b'"__proto__":{}}',
        PROMPT + b'"\\u0000":1}',
    )
    yield from (
        good.decode().encode("utf-16"),
        PROMPT + b"// comment\n" + b'"seed":1}',
        PROMPT + b'"seed":1,}',
    )
    yield from (
        PROMPT + b'"seed":01}',
        PROMPT + b'"seed":+1}',
        PROMPT + b'"seed":0x1}',
        PROMPT + b'"seed":1e2}',
    )


def make_bodies() -> list[bytes]:
    """All of them, each time the same."""
    fields = [
        value if path[0] == "prompt" else PROMPT + value[1:]
        for path in find_fields()
        for value in (_with(path, each) for each in VALUES)
    ]
    return [*fields, *_whole_bodies()]
