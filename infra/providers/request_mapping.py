"""Request mapping: the body that a prompt becomes for an OpenAI-compatible server.

Servers differ in what they accept.  A :class:`Dialect` is what is known about one; a refusal that names a
parameter removes it from the next request, so that the number of requests is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, assert_never

import msgspec

from contracts.policy.quoting import replace_surrogates

if TYPE_CHECKING:
    from contracts.events import Params
    from contracts.ports import Prompt


class JsonMode(StrEnum):
    """How a request asks for JSON, from the most exact way to none."""

    #: OpenAI's ``response_format: {type: json_schema}``.
    JSON_SCHEMA = "json_schema"
    #: The form of llama-cpp-python: ``{type: json_object, schema: …}``.
    JSON_OBJECT_SCHEMA = "json_object_schema"
    #: JSON of any shape.
    JSON_OBJECT = "json_object"
    #: The prompt alone asks for it.
    PROMPT = "prompt"


_FORMATS: Final = tuple(JsonMode)
#: Parameters that an answer can do without, where a server does not know them.
_OPTIONAL: Final = ("stream_options", "seed", "top_p", "temperature", "stop")
#: Words that only ever mean the parameter; the others must be quoted, being English as well.
_DISTINCT: Final = frozenset({"stream_options", "top_p"})
#: OpenAI takes no more stop sequences.
_STOPS: Final = 4
#: Tokens that a chat template adds to a prompt, a high estimate.
TEMPLATE_TOKENS: Final = 64
#: Characters of a token in English or JSON, a low estimate.
_CHARACTERS: Final = 3
_MAX_TOKENS: Final = "max_tokens"
_MAX_COMPLETION: Final = "max_completion_tokens"
#: Seeds are cut to 31 bits: llama.cpp keeps 32, and its 2^32 - 1 means "at random".
_SEED_BITS: Final = 31
#: The schema at hand cannot be compiled; another one may.
_THIS_SCHEMA: Final = re.compile(r"invalid.{0,3}(json.{0,3})?schema|grammar|schema conversion", re.IGNORECASE)


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """What a server takes."""

    format: JsonMode = JsonMode.JSON_SCHEMA
    #: The name of the limit on the answer: newer models of OpenAI refuse the older name.
    limit: str = _MAX_TOKENS
    #: Parameters that are left out.
    without: frozenset[str] = frozenset()

    def __and__(self, other: Dialect) -> Dialect:
        """What is left when both turn out to hold."""
        return Dialect(
            format=max(self.format, other.format, key=_FORMATS.index),
            limit=_MAX_COMPLETION if _MAX_COMPLETION in (self.limit, other.limit) else _MAX_TOKENS,
            without=self.without | other.without,
        )


class Concession(msgspec.Struct, frozen=True, kw_only=True):
    """A step down after a refusal."""

    dialect: Dialect
    #: What was given up, in words.
    why: str
    #: It holds for the server; otherwise for the call at hand.
    lasting: bool = True


def body(
    model: str,
    prompt: Prompt,
    params: Params,
    schema: Mapping[str, Any] | None,
    dialect: Dialect,
    *,
    window: int | None = None,
) -> dict[str, Any]:
    """The body of a chat completion.

    Args:
        model: its name on the server.
        prompt: sent as the one message of the user.
        params: sampling parameters.
        schema: JSON Schema that the answer should follow.
        dialect: what the server takes.
        window: tokens of prompt and answer that the server is known to hold.

    Source: OpenAI's API reference, "Create chat completion"; servers that follow it name the same fields.
    """
    parameters: dict[str, Any] = {
        "stream_options": {"include_usage": True},
        "seed": params.seed % 2**_SEED_BITS,
        "top_p": params.top_p,
        "temperature": params.temperature,
        "stop": list(params.stop[:_STOPS]) or None,
    }
    text = replace_surrogates(_text(prompt, schema, dialect, window))
    limit = params.max_tokens if window is None else min(params.max_tokens, answer_room(window, text))
    made: dict[str, Any] = {
        "model": model,
        "messages": [{"role": "user", "content": text}],
        dialect.limit: limit,
    }
    made |= {
        name: value for name, value in parameters.items() if value is not None and name not in dialect.without
    }
    asked = None if schema is None else _response_format(prompt.kind, schema, dialect.format)
    if asked is not None:
        made["response_format"] = asked
    return made


def answer_room(window: int, text: str) -> int:
    """Tokens for the answer to a prompt: what is left of the window, and at least half of it.

    A server such as vLLM refuses a request whose prompt and limit do not fit together.
    """
    return max(window // 2, window - estimate_tokens(text) - TEMPLATE_TOKENS)


def _text(prompt: Prompt, schema: Mapping[str, Any] | None, dialect: Dialect, window: int | None) -> str:
    """The whole JSON Schema where the prompt alone tells it and it fits; a sketch where the server enforces it."""
    enforced = schema is not None and dialect.format in (JsonMode.JSON_SCHEMA, JsonMode.JSON_OBJECT_SCHEMA)
    full = window is not None and estimate_tokens(prompt.text) > window // 2
    return prompt.compact if prompt.compact and (enforced or full) else prompt.text


def estimate_tokens(text: str) -> int:
    """Tokens of a text for a tokenizer that is not at hand; more than most make of it."""
    return len(text) // _CHARACTERS + 1


def _response_format(kind: str, schema: Mapping[str, Any], mode: JsonMode) -> dict[str, Any] | None:
    match mode:
        case JsonMode.JSON_SCHEMA:
            return {
                "type": "json_schema",
                "json_schema": {"name": kind, "strict": True, "schema": dict(schema)},
            }
        case JsonMode.JSON_OBJECT_SCHEMA:
            return {"type": "json_object", "schema": dict(schema)}
        case JsonMode.JSON_OBJECT:
            return {"type": "json_object"}
        case JsonMode.PROMPT:
            return None
        case _ as never:
            assert_never(never)


def concede(
    dialect: Dialect, said: str, *, param: str | None, constrained: bool, fixed: bool
) -> Concession | None:
    """What to give up after a refusal; ``None`` where nothing that can be given up was named.

    Args:
        dialect: that the refused request was made in.
        said: the server's words.
        param: the parameter that the server's answer names, if it has a field for that.
        constrained: the request asked for a response format.
        fixed: the response format is a person's decision and stays.
    """
    if constrained and not fixed and dialect.format is not JsonMode.PROMPT:
        named = (param or "").startswith("response_format") or re.search(
            r"response_format|json_schema|json_object", said
        )
        this_schema = _THIS_SCHEMA.search(said) is not None
        if named or this_schema:
            lower = _FORMATS[_FORMATS.index(dialect.format) + 1]
            return Concession(
                dialect=msgspec.structs.replace(dialect, format=lower),
                why=f"asked again with {lower} for {dialect.format}",
                lasting=not this_schema,
            )
    if dialect.limit == _MAX_TOKENS and _MAX_COMPLETION in said:
        return Concession(
            dialect=msgspec.structs.replace(dialect, limit=_MAX_COMPLETION),
            why=f"asked again with {_MAX_COMPLETION} for {_MAX_TOKENS}",
        )
    for name in _OPTIONAL:
        if name in dialect.without:
            continue
        distinct = name in _DISTINCT and name in said
        if param == name or distinct or re.search(rf"['\"`]{name}['\"`]", said):
            return Concession(
                dialect=msgspec.structs.replace(dialect, without=dialect.without | {name}),
                why=f"asked again without {name}",
            )
    return None


def cut(text: str, stop: tuple[str, ...]) -> str:
    """The text before the first stop sequence; some servers leave it in, and none takes more than four."""
    ends = [found for sequence in stop if sequence and (found := text.find(sequence)) >= 0]
    return text[: min(ends)] if ends else text
