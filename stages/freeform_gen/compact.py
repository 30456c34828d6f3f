"""Compact form of a writing prompt: a sketch in place of the request's JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from contracts.content.sketch import sketch
from contracts.policy.quoting import quote

_BLOCK: Final = re.compile(r"<<<\n(.*?)\n>>>\n", re.DOTALL)


def compact_prompt(prompt: str, schema: Mapping[str, Any] | None) -> str:
    """The prompt with a sketch in the block that quotes the schema; empty where no block does.

    Args:
        prompt: the rendered instruction.
        schema: the request's own JSON Schema.
    """
    if not schema:
        return ""
    for block in _BLOCK.finditer(prompt):
        if _is_schema(block[1], schema):
            fields = quote(sketch(schema, described=True))
            return prompt[: block.start()] + fields + prompt[block.end() :]
    return ""


def _is_schema(text: str, schema: Mapping[str, Any]) -> bool:
    try:
        return msgspec.json.decode(text) == schema
    except (msgspec.DecodeError, RecursionError):
        return False
