"""Constrained decoding: the tokens that a JSON Schema allows next.

llguidance compiles a schema in milliseconds and clones a matcher in microseconds.  Its module for
torch is not used: importing that compiles with a C++ compiler at run time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from llguidance import LLMatcher, LLParserLimits

from contracts.content.verdict import Verdict
from contracts.policy import fingerprint
from infra.engine import llguidance_json
from infra.engine.grammar_schema import Narrowed, fit, within
from infra.engine.task import Unsupported

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

#: Items of one state: four for each optional field of an object.
LIMITS: Final = LLParserLimits(max_items_in_row=20_000)
#: Number of cached schemas.
KEPT: Final = 256


def check(schema: Mapping[str, Any]) -> Verdict:
    """Whether a grammar can keep a model to a schema, and the keywords that it leaves to the validator."""
    try:
        _, narrowed = compile_schema(schema)
    except Unsupported as error:
        return Verdict(refusal=str(error))
    return Verdict(warnings=narrowed.warnings)


def compile_schema(schema: Mapping[str, Any]) -> tuple[str, Narrowed]:
    """The grammar, and the narrowed schema that it is made of.

    Raises:
        Unsupported: there is none.
    """
    narrowed = fit(schema, llguidance_json.compiles)
    return llguidance_json.grammar(narrowed.schema), narrowed


class Matcher:
    """The state of one answer in its grammar; ``forcing``: forced tokens are taken at once."""

    def __init__(self, inner: LLMatcher, *, forcing: bool = True) -> None:
        self._inner = inner
        self._forcing = forcing

    @property
    def complete(self) -> bool:
        """Nothing but the end may follow."""
        return self._inner.is_stopped()

    def take(self, token: int) -> list[int]:
        """Advance by one token, and take the forced tokens after it.

        Raises:
            Unsupported: the grammar ran into its limits.
        """
        self._consume([token])
        return [] if self.complete else self.start()

    def start(self) -> list[int]:
        """Take the forced tokens at the beginning of an answer."""
        forced = self._inner.compute_ff_tokens() if self._forcing else []
        if forced:
            self._consume(forced)
        return forced

    def _consume(self, tokens: list[int]) -> None:
        if not self._inner.consume_tokens(tokens):
            raise Unsupported("the grammar reached its limits; make the schema smaller")

    def fill(self, row: np.ndarray[Any, np.dtype[np.int32]]) -> None:
        """Write the allowed next tokens, a bit each.

        Raises:
            Unsupported: the grammar ran into its limits.
        """
        self._inner.unsafe_compute_mask_ptr(row.ctypes.data, row.nbytes)
        if self._inner.is_error():
            raise Unsupported("the grammar reached its limits; make the schema smaller")


class Grammars:
    """Compiled grammars of one model's tokenizer.

    Args:
        tokenizer: of the model.
        vocabulary: width of the model's logits.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, vocabulary: int) -> None:
        from llguidance.hf import from_tokenizer  # noqa: PLC0415 - intake asks about schemas without transformers

        # The trie takes 10 ms at 1,500 tokens and 420 ms at 50,000: once per model.
        self._tokenizer = from_tokenizer(tokenizer, n_vocab=max(vocabulary, len(tokenizer)))
        self._vocabulary = vocabulary
        self._words = (self._tokenizer.vocab_size + 31) // 32
        self._compiled: OrderedDict[str, LLMatcher] = OrderedDict()
        #: Whether forced tokens are taken at once; ``False`` only to measure the gain.
        self.forcing = True

    def matcher(self, schema: Mapping[str, Any], *, tokens: int | None = None) -> Matcher:
        """A matcher at the beginning of an answer.

        Args:
            schema: of the answer.
            tokens: bounds lists and texts, so that the document usually ends within so many.

        Raises:
            Unsupported: no grammar can be made of it.
        """
        # Not the canonical digest: the order of properties is the order in which they are written.
        key = fingerprint.digest_text(f"{tokens} {schema!r}")
        made = self._compiled.get(key)
        if made is None:
            grammar, narrowed = compile_schema(schema)
            if tokens is not None:
                grammar = llguidance_json.grammar(within(narrowed.schema, tokens))
            made = LLMatcher(self._tokenizer, grammar, log_level=0, limits=LIMITS)
            if made.is_error():
                raise Unsupported("schema: cannot be made a grammar; make it smaller")
            self._compiled[key] = made
            if len(self._compiled) > KEPT:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(key)
        return Matcher(made.deep_copy(), forcing=self.forcing)

    def allowed(self, matcher: Matcher) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """The allowed next tokens, ``[vocabulary]``.

        Raises:
            Unsupported: the grammar ran into its limits.
        """
        words = np.zeros(self._words, dtype=np.int32)
        matcher.fill(words)
        return np.unpackbits(words.view(np.uint8), bitorder="little")[: self._vocabulary].view(np.bool_)
