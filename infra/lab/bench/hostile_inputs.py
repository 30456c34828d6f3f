"""Hostile requests: inputs that have stopped a pipeline, or could.

Each is generated, in its smallest form, and has a name; tests take them too.  Most are schemas of kind ``custom``: small
ones that are much work, ones whose numbers are legal and unusual, ones that no document can follow.  Others are
bodies that are hard to read.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from contracts.request import MAX_BODY, MAX_PROMPT, MAX_RULES
from infra.lab.bench.model_server import MARK, ServerReply, choice, chunk, stream

#: Small enough for any broker's usual limit of 1 MiB.
_HUGE_BODY: Final = 900 * 1024
_PROMPT: Final = "a ferry"


class Hostile(msgspec.Struct, frozen=True, kw_only=True):
    """One hostile request."""

    name: str
    kind: str
    body: bytes
    #: The document that a model answers with, where it matters.
    answer: str = '{"x": "a ferry"}'
    #: What a model server answers to its writing call; ``None``: the scripted provider writes.
    said: ServerReply | None = None
    #: Whether the body can be read as JSON and names its own deadline.
    readable: bool = True


Make = Callable[[int], Hostile]
_MADE: dict[str, Make] = {}


def names() -> tuple[str, ...]:
    """Every name, in an order that keeps kinds together."""
    return tuple(_MADE)


def make(name: str, *, deadline_ms: int = 2000) -> Hostile:
    """One request by its name.

    Args:
        name: one of :func:`names`.
        deadline_ms: of the request, where its body can carry one.

    Raises:
        KeyError: there is no such request.
    """
    return _MADE[name](deadline_ms)


def obj(**properties: Any) -> dict[str, Any]:
    """A schema of an object that needs each of these."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def _schema(name: str, schema: Callable[[], Mapping[str, Any]], answer: str | None = None) -> None:
    """A request of kind ``custom``; its schema is made when it is asked for."""
    _fields(name, lambda: {"schema": schema()}, kind="custom", answer=answer)


def _fields(
    name: str, fields: Callable[[], Mapping[str, Any]], *, kind: str = "layout", answer: str | None = None
) -> None:
    """A body with these fields beside prompt and deadline."""

    def made(deadline_ms: int) -> Hostile:
        body = json.dumps({"prompt": _PROMPT, "deadline_ms": deadline_ms, **fields()}).encode()
        found = Hostile(name=name, kind=kind, body=body)
        return found if answer is None else msgspec.structs.replace(found, answer=answer)

    _MADE[name] = made


def _text(
    name: str, text: Callable[[int], str | bytes], *, kind: str = "layout", readable: bool = True
) -> None:
    """A literal body, given the deadline."""

    def made(deadline_ms: int) -> Hostile:
        said = text(deadline_ms)
        body = said if isinstance(said, bytes) else said.encode()
        return Hostile(name=name, kind=kind, body=body, readable=readable)

    _MADE[name] = made


def _big(digits: int) -> int:
    return 10**digits


def _chain(keyword: str, levels: int, width: int) -> dict[str, Any]:
    """Each level asks for the next one several times: ``width ** levels`` ways through a few kilobytes."""
    next_ = [[{"$ref": f"#/$defs/n{level + 1}"}] * width for level in range(levels)]
    defs: dict[str, Any] = {f"n{level}": {keyword: each} for level, each in enumerate(next_)}
    defs[f"n{levels}"] = {"type": "string"}
    return {**obj(x={"$ref": "#/$defs/n0"}), "$defs": defs}


def _nested(levels: int) -> str:
    return '{"type":"object","properties":{"a":' * levels + "true" + "}}" * levels


# Small, and much work to compile.
_schema(
    "patterns",
    lambda: obj(x={"type": "string", "allOf": [{"pattern": f".*a{number}.*"} for number in range(14)]}),
)
_schema(
    "pattern-properties",
    lambda: {
        "type": "object",
        "patternProperties": {f"^p{number}_": {"type": "integer"} for number in range(400)},
    },
)
_schema("required", lambda: {"type": "object", "required": [f"r{number}" for number in range(20_000)]})
_schema("const-list", lambda: obj(x={"const": list(range(30_000))}))
_schema("enum-lists", lambda: obj(x={"enum": [[number] for number in range(20_000)]}))
_schema("enum-objects", lambda: obj(x={"enum": [{"n": number} for number in range(6_000)]}))
_schema(
    "optional-fields",
    lambda: {"type": "object", "properties": {f"f{number}": {"type": "string"} for number in range(600)}},
)
_schema("one-of-pairs", lambda: _chain("oneOf", 40, 2))
_schema("any-of-pairs", lambda: _chain("anyOf", 40, 2))
_schema("all-of-tower", lambda: _chain("allOf", 12, 30))
_schema(
    "not-tower",
    lambda: (
        obj(x={"not": {"not": {"not": _chain("anyOf", 20, 3)["properties"]["x"]}}})
        | {"$defs": _chain("anyOf", 20, 3)["$defs"]}
    ),
)
_schema("pattern-repeat", lambda: obj(x={"type": "string", "pattern": r"^(\w{1,500}\s){1,500}$"}))
_schema(
    "pattern-nested-repeat",
    lambda: obj(x={"type": "string", "pattern": "^((((a{1,99}){1,99}){1,99}){1,99})$"}),
)
_schema(
    "pattern-backtracking",
    lambda: obj(x={"type": "string", "pattern": "^(a+)+$"}),
    json.dumps({"x": "a" * 30 + "!"}),
)
_schema(
    "pattern-long",
    lambda: obj(x={"type": "string", "pattern": "|".join(f"w{number}" for number in range(20_000))}),
)
_schema("pattern-words", lambda: obj(x={"type": "string", "pattern": r"^$|(^(?:\S+\s+){0,99}\S+$)"}))

# Legal and unusual numbers.
_schema("enum-empty", lambda: obj(x={"enum": []}))
_schema("min-items-float", lambda: obj(x={"type": "array", "minItems": 1.0}))
_schema("min-properties-float", lambda: {"type": "object", "minProperties": 2.0})
_schema("min-contains-float", lambda: obj(x={"type": "array", "contains": True, "minContains": 2.0}))
_schema("max-length-float", lambda: obj(x={"type": "string", "maxLength": 2.0}))
_schema("max-items-huge", lambda: obj(x={"type": "array", "maxItems": _big(30)}))
_schema("min-length-huge", lambda: obj(x={"type": "string", "minLength": _big(30)}))
_schema("minimum-huge", lambda: obj(x={"type": "integer", "minimum": _big(400)}))
_schema("multiple-of-prime", lambda: obj(x={"type": "integer", "multipleOf": 1_000_003}))
_schema("multiple-of-tiny", lambda: obj(x={"type": "number", "multipleOf": 1e-300}), '{"x": 1e300}')

# Refused or changed by bounds of our own.
_schema(
    "required-elsewhere",
    lambda: {"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x", "b"]},
)
_schema("required-65", lambda: {"type": "object", "required": [f"r{number}" for number in range(65)]})
_schema("word-all-of", lambda: {**obj(x={"type": "string"}), "description": "see allOf"})

# Accepted, and no document can follow, or only a very long one.
_schema("endless", lambda: {"type": "object", "properties": {"x": {"$ref": "#"}}, "required": ["x"]})
_schema("endless-array", lambda: {"type": "array", "items": {"$ref": "#"}, "minItems": 1})
_schema(
    "endless-pair",
    lambda: {
        **obj(x={"$ref": "#/$defs/a"}),
        "$defs": {"a": obj(b={"$ref": "#/$defs/b"}), "b": obj(a={"$ref": "#/$defs/a"})},
    },
)
_schema("reference-loop", lambda: {**obj(x={"$ref": "#/$defs/a"}), "$defs": {"a": {"$ref": "#/$defs/a"}}})
_schema(
    "anchors-twice",
    lambda: {
        **obj(x={"$ref": "#same"}),
        "$defs": {"a": {"$anchor": "same"}, "b": {"$anchor": "same", "type": "string"}},
    },
)
_schema("long-string", lambda: obj(x={"type": "string", "minLength": 1_000_000}))
_schema("long-array", lambda: obj(x={"type": "array", "minItems": 100_000}))
_schema("wide-object", lambda: {"type": "object", "minProperties": 1_000_000})
_schema("long-pattern", lambda: obj(x={"type": "string", "pattern": "^[a-z]{100,}$"}))

# Much work to validate: it is the answer that is large.
_schema(
    "unique-items",
    lambda: obj(x={"type": "array", "uniqueItems": True}),
    json.dumps({"x": [{"n": number} for number in range(2_000)]}),
)
_schema(
    "enum-of-items",
    lambda: obj(x={"type": "array", "items": {"enum": list(range(9_000))}}),
    json.dumps({"x": [8_999] * 10_000}),
)
_schema(
    "contains-of-items",
    lambda: obj(x={"type": "array", "allOf": [{"contains": {"const": number}} for number in range(200)]}),
    json.dumps({"x": list(range(9_000))}),
)
_schema("answer-deep", lambda: obj(x=True), '{"x": ' + "[" * 50_000 + "]" * 50_000 + "}")
_schema("answer-cut", lambda: obj(x=True), '{"x": ' + "[" * 50_000)
_schema("answer-long", lambda: obj(x={"type": "string"}), json.dumps({"x": "ferry " * 100_000}))
_schema("answer-braces", lambda: obj(x={"type": "string"}), "{" * 20_000 + '"x": "a"')
_schema("answer-many", lambda: obj(x={"type": "integer"}), '{"x": "a"} ' * 5_000)

# Texts with a grammar of their own.
_fields("rules-brackets", lambda: {"rules": "IF " + "(" * 8_000 + "a" + ")" * 8_000 + " THEN pacing = slow"})
_fields(
    "rules-conditions",
    lambda: {"rules": ("IF player_choice.a == 1 THEN pacing = slow\n" * 1_000)[:MAX_RULES]},
)
_fields("rules-not", lambda: {"rules": "IF " + "NOT " * 4_000 + "player_choice.a THEN pacing = slow"})
_fields("social-pairs", lambda: {"social": {f"p{number}": 1 for number in range(20_000)}})
_fields("tags", lambda: {"tags": [f"t{number}" for number in range(20_000)]})
_fields("node-unknown", lambda: {"node": {f"field{number}": number for number in range(12_000)}})
_fields(
    "node-elements",
    lambda: {"node": {"constraints": {"required_elements": [f"e{number}" for number in range(15_000)]}}},
)
_fields(
    "choices", lambda: {"player_context": {"choices": {f"c{number}": [number] * 50 for number in range(256)}}}
)
_fields("prompt-braces", lambda: {"prompt": "{{" * (MAX_PROMPT // 2)})
_fields("prompt-quotes", lambda: {"prompt": ">>>\n<<<\n" * (MAX_PROMPT // 8)})
_fields("prompt-astral", lambda: {"prompt": "\U0001f600" * MAX_PROMPT})
_fields("prompt-long", lambda: {"prompt": "ferry " * 40_000})
_fields("control-characters", lambda: {"workspace": "w\x00\x1b[31m\u202e", "tags": ["\x00"]})

# Bodies.
_text("body-deep", lambda _: '{"prompt": ' + "[" * 100_000 + "]" * 100_000 + "}", readable=False)
_text("body-open", lambda _: "[" * 200_000, readable=False)
_text(
    "schema-deep",
    lambda ms: f'{{"prompt": "{_PROMPT}", "deadline_ms": {ms}, "schema": {_nested(5_000)}}}',
    kind="custom",
)
_text(
    "number-long",
    lambda ms: f'{{"prompt": "{_PROMPT}", "deadline_ms": {ms}, "seed": {"9" * 200_000}}}',
    readable=False,
)
_text(
    "number-exponent",
    lambda ms: f'{{"prompt": "{_PROMPT}", "deadline_ms": {ms}, "seed": 1e999999999}}',
    readable=False,
)
_text(
    "keys-many",
    lambda ms: json.dumps(
        {"prompt": _PROMPT, "deadline_ms": ms, **{f"k{number}": 0 for number in range(18_000)}}
    ),
)
_text(
    "keys-equal", lambda ms: f'{{"deadline_ms": {ms}, ' + ", ".join([f'"prompt": "{_PROMPT}"'] * 10_000) + "}"
)
_text("body-padded", lambda ms: f'{{"prompt": "{_PROMPT}", "deadline_ms": {ms}}}'.ljust(MAX_BODY))
_text(
    "body-too-long",
    lambda ms: f'{{"prompt": "{_PROMPT}", "deadline_ms": {ms}}}'.ljust(_HUGE_BODY),
    readable=False,
)
_text("escapes", lambda ms: f'{{"deadline_ms": {ms}, "prompt": "' + "\\u0041" * 40_000 + '"}')
_text("surrogate", lambda ms: f'{{"deadline_ms": {ms}, "prompt": "\\ud800"}}', readable=False)
_text("no-utf-8", lambda _: b'{"prompt": "\xff\xfe\xc0"}', readable=False)
_text("zipped", lambda _: gzip.compress(b"0" * 10_000_000, mtime=0), readable=False)
_text("empty", lambda _: "", readable=False)
_text("scalar", lambda _: "null", readable=False)


def _server(name: str, said: Callable[[], ServerReply]) -> None:
    """A harmless request, to which a model server gives an odd answer."""

    def made(deadline_ms: int) -> Hostile:
        asked = {"prompt": MARK, "deadline_ms": deadline_ms, "schema": obj(title={"type": "string"})}
        return Hostile(name=name, kind="custom", body=json.dumps(asked).encode(), said=said())

    _MADE[name] = made


def _chunks(name: str, *chunks: Any) -> None:
    _server(name, lambda: ServerReply(body=stream(*chunks)))


# Answers of model servers: each place of a chunk missing, empty or of another type.
_LAST: Final = chunk(choices=choice({}, "stop"))
_TEXT: Final = chunk(choices=choice({"content": "The ferry leaves."}))
_chunks("server-delta-null", _TEXT, chunk(choices=choice(None, "stop")))
_chunks("server-delta-text", chunk(choices=choice("The ferry leaves.")), _LAST)
_chunks(
    "server-content-parts",
    chunk(choices=choice({"content": [{"type": "text", "text": "The ferry."}]})),
    _LAST,
)
_chunks("server-content-number", chunk(choices=choice({"content": 7})), _LAST)
_chunks("server-content-object", chunk(choices=choice({"content": {"text": "The ferry."}})), _LAST)
_chunks("server-choices-null", chunk(choices=None), _TEXT, _LAST)
_chunks("server-choices-object", chunk(choices={"0": "The ferry."}), _TEXT, _LAST)
_chunks("server-choice-null", chunk(choices=[None]), _TEXT, _LAST)
_chunks("server-finish-number", _TEXT, chunk(choices=choice({}, 1)))
_chunks("server-model-object", chunk(choices=choice({"content": "The ferry."}), model={"id": 1}), _LAST)
_chunks("server-usage-text", _TEXT, chunk(choices=choice({}, "stop"), usage="many"))
_chunks(
    "server-usage-negative",
    _TEXT,
    chunk(
        choices=choice({}, "stop"), usage={"prompt_tokens": -5, "completion_tokens": -5, "total_tokens": -10}
    ),
)
_chunks(
    "server-usage-huge",
    _TEXT,
    chunk(
        choices=choice({}, "stop"),
        usage={"prompt_tokens": _big(20), "completion_tokens": 1.5, "total_tokens": None},
    ),
)
_chunks("server-chunk-null", None, _TEXT, _LAST)
_chunks("server-chunk-list", [1, 2], _TEXT, _LAST)
_chunks("server-chunk-number", 7, _TEXT, _LAST)
_server("server-no-json", lambda: ServerReply(body=b"data: {\n\ndata: [DONE]\n\n"))
_server("server-no-data", lambda: ServerReply(body=b"retry: 3000\n\n: hello\n\n" + stream(_TEXT, _LAST)))
_server("server-no-utf-8", lambda: ServerReply(body=b'data: {"choices": "\xff\xfe"}\n\ndata: [DONE]\n\n'))
_server("server-html", lambda: ServerReply(body=b"<html>busy</html>", content_type="text/html"))
_server("server-empty", lambda: ServerReply(body=b""))
_server("server-long-line", lambda: ServerReply(body=b"data: " + b"[" * 8_000_000))
_server(
    "server-many-chunks",
    lambda: ServerReply(body=stream(*[chunk(choices=choice({"content": "a "}))] * 50_000)),
)
_server(
    "server-status-500",
    lambda: ServerReply(body=b"<html>\x1b[31m" + b"oh " * 100_000, status=500, content_type="text/html"),
)
_server("server-status-204", lambda: ServerReply(body=b"", status=204))
_server("server-json-deep", lambda: ServerReply(body=b"data: " + b'{"choices":' * 20_000 + b"\n\n"))
