"""A schema's grammar over single bytes: for pages, tests and benchmarks, without a model."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import numpy as np
from llguidance import LLMatcher, LLTokenizer

from infra.engine.grammar import LIMITS, compile_schema

_BYTES: Final = 256


class ByteGrammar:
    """The grammar of one schema.

    Args:
        schema: a JSON Schema of any draft.

    Raises:
        Unsupported: it has no grammar.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._matcher = LLMatcher(_tokenizer(), compile_schema(schema)[0], log_level=0, limits=LIMITS)

    def accepts(self, text: str) -> bool:
        """Whether a text, without blanks between its tokens, is a document."""
        matcher = self.start()
        said = list(text.encode())
        return matcher.try_consume_tokens(said) == len(said) and matcher.is_accepting()

    def start(self) -> LLMatcher:
        """A matcher at the beginning of a document."""
        return self._matcher.deep_copy()

    @staticmethod
    def allowed(matcher: LLMatcher) -> tuple[list[int], bool]:
        """The bytes that may follow, and whether the document may end."""
        if matcher.is_stopped():
            return [], matcher.is_accepting()
        mask = np.unpackbits(np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8), bitorder="little")
        tokens = [int(token) for token in mask.nonzero()[0]]
        return [token for token in tokens if token < _BYTES], matcher.is_accepting()


@lru_cache(maxsize=1)
def _tokenizer() -> LLTokenizer:
    return LLTokenizer("byte")
