"""Whether a schema's grammar takes a document, over single bytes: for pages and tests, without a model."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from llguidance import LLMatcher, LLTokenizer

from infra.engine.grammar import LIMITS, compile_schema


def accepts(schema: Mapping[str, Any], text: str) -> bool:
    """Whether a text is a document of a schema's grammar.

    Args:
        schema: a JSON Schema of any draft.
        text: JSON without blanks between its tokens.

    Raises:
        Unsupported: the schema has no grammar.
    """
    grammar, _ = compile_schema(schema)
    matcher = LLMatcher(_bytes(), grammar, log_level=0, limits=LIMITS)
    said = list(text.encode())
    return matcher.try_consume_tokens(said) == len(said) and matcher.is_accepting()


@lru_cache(maxsize=1)
def _bytes() -> LLTokenizer:
    return LLTokenizer("byte")
