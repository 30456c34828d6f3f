"""Which tokens may come next if the answer is to follow a JSON Schema?

llguidance compiles a schema in milliseconds and clones a matcher in microseconds.  Its module for
torch is not used: importing that compiles with a C++ compiler at run time.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
from llguidance import LLMatcher

from contracts import fingerprint
from infra.engine.task import Unsupported

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions
    from transformers import PreTrainedTokenizerFast

#: No white space between tokens of JSON: a small model could go on with blanks for ever.
_COMPACT: Final[JsonCompileOptions] = {
    "whitespace_flexible": False,
    "item_separator": ",",
    "key_separator": ":",
}
#: Longest text, most items and largest number where a schema sets no bound, so that every answer ends.
_MAX_LENGTH: Final = 600
_MAX_ITEMS: Final = 64
_MAX_NUMBER: Final = 1_000_000_000
#: Keywords whose values are no schemas.
_NO_SCHEMA: Final = frozenset({"enum", "const", "default", "examples", "required", "type"})
#: Keywords whose values are schemas by name.
_NAMED: Final = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
#: A pattern that may ask for more characters than the bound: left as it is.
_LONG: Final = re.compile(r"\{\d*,?\d{3,}")
#: Keywords that speak of fields beside those that are named.
_OPEN: Final = frozenset({"additionalProperties", "patternProperties", "anyOf", "oneOf", "$ref"})
#: Compiled schemas that are kept.
KEPT: Final = 256


def unsupported(schema: Mapping[str, Any]) -> str | None:
    """Why the schema cannot be made a grammar, naming its keywords; ``None`` when it can."""
    failed, told = LLMatcher.validate_grammar_with_warnings(_compile(schema))
    return told[0] if failed else None


def _compile(schema: Mapping[str, Any]) -> str:
    return LLMatcher.grammar_from_json_schema(cast("dict[str, Any]", bounded(schema)), overrides=_COMPACT)


def bounded(schema: Any) -> Any:
    """The schema, narrower: a bound on every text, list and number, no fields beside those it names.

    Fields are left open where ``allOf`` may add some of its own.
    """
    return _bounded(schema, close="allOf" not in repr(schema))


def _bounded(schema: Any, *, close: bool) -> Any:
    if isinstance(schema, list):
        return [_bounded(item, close=close) for item in cast("list[Any]", schema)]
    if not isinstance(schema, Mapping):
        return schema
    made: dict[str, Any] = {
        keyword: _inside(keyword, value, close=close)
        for keyword, value in cast("Mapping[str, Any]", schema).items()
    }
    if {"enum", "const"} & set(made):
        return made
    given: Any = made.get("type")
    for kind in cast("list[Any]", given if isinstance(given, list) else [given]):
        match kind:
            case "string":
                _bound_text(made)
            case "array" if "maxItems" not in made:
                made["maxItems"] = max(_MAX_ITEMS, made.get("minItems", 0))
            case "object":
                _bound_object(made, close=close)
            case "integer" | "number":
                _bound_number(made)
            case _:
                pass
    return made


def _inside(keyword: str, value: Any, *, close: bool) -> Any:
    if keyword in _NO_SCHEMA:
        return value
    if keyword in _NAMED and isinstance(value, Mapping):
        # A field may have a keyword's name.
        return {name: _bounded(each, close=close) for name, each in cast("Mapping[str, Any]", value).items()}
    return _bounded(value, close=close)


def _bound_text(made: dict[str, Any]) -> None:
    if not {"maxLength", "format"} & set(made) and not _LONG.search(str(made.get("pattern", ""))):
        made["maxLength"] = max(_MAX_LENGTH, made.get("minLength", 0))


def _bound_object(made: dict[str, Any], *, close: bool) -> None:
    named: Any = made.get("properties", {})
    if close and named and not _OPEN & set(made):
        made["additionalProperties"] = False
    # llguidance counts fields only where all that are named have to be there.
    counted = set(named) <= set(made.get("required", ())) and not (_OPEN - {"additionalProperties"}) & set(
        made
    )
    if close and counted and made.get("additionalProperties") is not False and "maxProperties" not in made:
        made["maxProperties"] = max(_MAX_ITEMS, made.get("minProperties", 0), len(named))


def _bound_number(made: dict[str, Any]) -> None:
    if not {"maximum", "exclusiveMaximum"} & set(made):
        low = max(made.get("minimum", 0), made.get("exclusiveMinimum", 0))
        made["maximum"] = max(_MAX_NUMBER, low + _MAX_NUMBER)
    if not {"minimum", "exclusiveMinimum"} & set(made):
        high = min(made.get("maximum", 0), made.get("exclusiveMaximum", 0))
        made["minimum"] = min(-_MAX_NUMBER, high - _MAX_NUMBER)


class Matcher:
    """Where one answer stands in its grammar; ``forcing``: tokens that must follow are taken at once."""

    def __init__(self, inner: LLMatcher, *, forcing: bool = True) -> None:
        self._inner = inner
        self._forcing = forcing

    @property
    def complete(self) -> bool:
        """Nothing but the end may follow."""
        return self._inner.is_stopped()

    @property
    def may_end(self) -> bool:
        """What is there is a whole document."""
        return self._inner.is_accepting()

    def take(self, token: int) -> list[int]:
        """Go on by one token; the tokens that must follow, taken as well.

        Raises:
            Unsupported: the grammar ran into its limits.
        """
        self._consume([token])
        return [] if self.complete else self.start()

    def start(self) -> list[int]:
        """The tokens that an answer must begin or go on with, taken."""
        forced = self._inner.compute_ff_tokens() if self._forcing else []
        if forced:
            self._consume(forced)
        return forced

    def _consume(self, tokens: list[int]) -> None:
        if not self._inner.consume_tokens(tokens):
            raise Unsupported(f"the grammar gave up: {self._inner.get_error()}")

    def fill(self, row: np.ndarray[Any, np.dtype[np.int32]]) -> None:
        """Write which tokens may come next, a bit each.

        Raises:
            Unsupported: the grammar ran into its limits.
        """
        self._inner.unsafe_compute_mask_ptr(row.ctypes.data, row.nbytes)
        if self._inner.is_error():
            raise Unsupported(f"the grammar gave up: {self._inner.get_error()}")


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
        #: Whether tokens that must follow are taken at once; without it only to measure what that is worth.
        self.forcing = True

    def matcher(self, schema: Mapping[str, Any]) -> Matcher:
        """A matcher at the beginning of an answer.

        Raises:
            Unsupported: naming what the grammar cannot hold.
        """
        # Not the canonical digest: the order of properties is the order in which they are written.
        key = fingerprint.digest_text(repr(schema))
        made = self._compiled.get(key)
        if made is None:
            made = LLMatcher(self._tokenizer, _compile(schema), log_level=0)
            if made.is_error():
                raise Unsupported(f"the schema cannot be made a grammar: {made.get_error()}")
            self._compiled[key] = made
            if len(self._compiled) > KEPT:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(key)
        return Matcher(made.deep_copy(), forcing=self.forcing)

    def allowed(self, matcher: Matcher) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which tokens may come next, ``[vocabulary]``.

        Raises:
            Unsupported: the grammar ran into its limits.
        """
        words = np.zeros(self._words, dtype=np.int32)
        matcher.fill(words)
        return np.unpackbits(words.view(np.uint8), bitorder="little")[: self._vocabulary].view(np.bool_)
