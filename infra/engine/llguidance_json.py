"""Grammars of JSON Schemas in llguidance, and whether it makes one."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from llguidance import LLMatcher

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

#: No white space between tokens of JSON: a small model could write spaces without end.
_COMPACT: Final[JsonCompileOptions] = {
    "whitespace_flexible": False,
    "item_separator": ",",
    "key_separator": ":",
}
#: Characters of a schema whose answer is remembered: expressions are asked about again and again.
_SMALL: Final = 4096


def grammar(schema: dict[str, Any]) -> str:
    """The grammar of a narrowed schema."""
    return LLMatcher.grammar_from_json_schema(schema, overrides=_COMPACT)


def compiles(schema: dict[str, Any]) -> bool:
    """Whether llguidance makes a grammar of a narrowed schema."""
    text = json.dumps(schema)
    return _small(text) if len(text) <= _SMALL else not LLMatcher.validate_grammar(grammar(schema))


@lru_cache(maxsize=2048)
def _small(text: str) -> bool:
    return not LLMatcher.validate_grammar(grammar(json.loads(text)))
