"""Constrained decoding: the tokens that a JSON Schema allows next.

llguidance compiles a schema in milliseconds and clones a matcher in microseconds.  Its module for
torch is not used: importing that compiles with a C++ compiler at run time.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
from llguidance import LLMatcher

from contracts.content import formats, keywords, pattern
from contracts.content.possible import exact
from contracts.policy import fingerprint
from infra.engine.task import Unsupported

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions
    from transformers import PreTrainedTokenizerFast

#: No white space between tokens of JSON: a small model could write spaces without end.
_COMPACT: Final[JsonCompileOptions] = {
    "whitespace_flexible": False,
    "item_separator": ",",
    "key_separator": ":",
}
#: Longest text, most items and largest number if a schema sets no bound, so that every answer ends.
_MAX_LENGTH: Final = 600
_MAX_ITEMS: Final = 64
_MAX_NUMBER: Final = 1_000_000_000
#: The same if a schema sets a larger bound: no answer needs more.
_LONGEST: Final = keywords.MAX_LENGTH
_MOST_ITEMS: Final = keywords.MAX_ITEMS
_LARGEST: Final = 10**15
#: Largest step of whole numbers: a grammar counts every remainder.
_MAX_STEP: Final = 10_000
#: Keywords about fields that ``properties`` does not name.
_OPEN: Final = frozenset({"additionalProperties", "patternProperties", "anyOf", "oneOf", "$ref"})
#: The schema of a field that is required and nowhere described.
_ANYTHING: Final = {"type": ["string", "number", "boolean"]}
_UNKNOWN: Final = re.compile(r'Unimplemented keys: \["([^"]+)"')
#: Number of cached schemas.
KEPT: Final = 256


def unsupported(schema: Mapping[str, Any]) -> str | None:
    """Why the schema cannot be compiled to a grammar, with the path of the keyword; ``None`` if it can."""
    for path, value in _of_keyword(schema, "multipleOf"):
        if isinstance(value, int | float) and exact(value).numerator > _MAX_STEP:
            return f"{path}: {value} is too large a step; {_MAX_STEP} is the most"
    failed, told = LLMatcher.validate_grammar_with_warnings(_compile(schema))
    return _reason(schema, told[0]) if failed else None


def _reason(schema: Mapping[str, Any], said: str) -> str:
    """The library's message reworded, with a path if the keyword is known."""
    unknown = _UNKNOWN.search(said)
    word, why = "", ""
    if unknown is not None:
        word, why = unknown[1], "has no grammar; leave it out, or write it in other words"
    elif "coerce_one_of" in said:
        word, why = "oneOf", "the alternatives may overlap; give each a const of its own, or write anyOf"
    elif "regex is empty" in said:
        word, why = "pattern", "combined with neighbouring parts it is too large; simplify it"
    path = next((path for path, _ in _of_keyword(schema, word)), word)
    return f"{path}: {why}" if word else f"schema: {said[:300]}"


def _of_keyword(schema: Any, word: str, at: str = "") -> Iterator[tuple[str, Any]]:
    """The paths of a keyword, and its values."""
    if not isinstance(schema, Mapping):
        return
    own = cast("Mapping[str, Any]", schema)
    if word in own:
        yield f"{at}{word}", own[word]
    for keyword, value in own.items():
        if keyword in keywords.MAP and isinstance(value, Mapping):
            for name, each in cast("Mapping[str, Any]", value).items():
                yield from _of_keyword(each, word, f"{at}{keyword}.{name:.60}.")
        elif keyword in keywords.LIST and isinstance(value, list):
            for index, each in enumerate(cast("list[Any]", value)):
                yield from _of_keyword(each, word, f"{at}{keyword}.{index}.")
        elif keyword in keywords.ONE:
            yield from _of_keyword(value, word, f"{at}{keyword}.")


def _compile(schema: Mapping[str, Any]) -> str:
    return LLMatcher.grammar_from_json_schema(cast("dict[str, Any]", bounded(schema)), overrides=_COMPACT)


def bounded(schema: Any) -> Any:
    """Narrow the schema: a bound on every text, list and number, only the fields that it names.

    Regular expressions are written for the grammar, and formats are such expressions: both mean what they mean to
    :mod:`contracts.content.conformance`, or less.  Fields are left open where ``allOf`` may add some of its own.
    """
    return _bounded(schema, close=next(_of_keyword(schema, "allOf"), None) is None)


def _bounded(schema: Any, *, close: bool) -> Any:
    if isinstance(schema, list):
        return [_bounded(item, close=close) for item in cast("list[Any]", schema)]
    if not isinstance(schema, Mapping):
        return schema
    own = cast("Mapping[str, Any]", schema)
    made: dict[str, Any] = {
        keyword: _inside(keyword, value, close=close)
        for keyword, value in own.items()
        if keyword in keywords.KNOWN and not _idle(keyword, own)
    }
    if {"enum", "const"} & set(made):
        return made
    given: Any = made.get("type")
    for kind in cast("list[Any]", given if isinstance(given, list) else [given]):
        match kind:
            case "string":
                _bound_text(made, own)
            case "array":
                most = made.get("maxItems", _MAX_ITEMS)
                made["maxItems"] = max(min(most, _MOST_ITEMS), made.get("minItems", 0))
            case "object":
                _bound_object(made, close=close)
            case "integer" | "number":
                _bound_number(made)
            case _:
                pass
    _write_format(made)
    return made


def _idle(keyword: str, own: Mapping[str, Any]) -> bool:
    """Whether a keyword has no effect at its place."""
    check = _IDLE.get(keyword)
    return check is not None and check(own[keyword], own)


_IDLE: Final[Mapping[str, Callable[[Any, Mapping[str, Any]], bool]]] = {
    "$id": lambda _, __: True,
    "$schema": lambda _, __: True,
    "dependentRequired": lambda value, _: not value,
    "dependentSchemas": lambda value, _: not value,
    "else": lambda _, own: "if" not in own,
    "format": lambda value, _: value in formats.NUMBERS,
    "if": lambda _, own: not {"then", "else"} & set(own),
    "maxContains": lambda _, own: "contains" not in own,
    "minContains": lambda _, own: "contains" not in own,
    "propertyNames": lambda value, _: value in (True, {}),
    "then": lambda _, own: "if" not in own,
    "uniqueItems": lambda value, own: value is False or own.get("maxItems", 2) <= 1,
}


def _inside(keyword: str, value: Any, *, close: bool) -> Any:
    if keyword == "pattern" and isinstance(value, str):
        return pattern.rust(value)
    if keyword in keywords.MAP and isinstance(value, Mapping):
        # A field may have the name of a keyword.
        write = pattern.rust if keyword == "patternProperties" else str
        return {
            write(name): _bounded(each, close=close)
            for name, each in cast("Mapping[str, Any]", value).items()
        }
    if keyword in keywords.ONE or keyword in keywords.LIST:
        return _bounded(value, close=close)
    return keywords.whole(keyword, value)


def _bound_text(made: dict[str, Any], own: Mapping[str, Any]) -> None:
    least: int = made.get("minLength", 0)
    if "maxLength" in made:
        made["maxLength"] = max(min(made["maxLength"], _LONGEST), least)
    elif "pattern" in own:
        shortest = pattern.least(own["pattern"])
        if shortest is not None:
            made["maxLength"] = max(_MAX_LENGTH, least, shortest + (shortest > _MAX_LENGTH) * 100)
    elif "format" not in made:
        made["maxLength"] = max(_MAX_LENGTH, least)


def _write_format(made: dict[str, Any]) -> None:
    """A format as a regular expression; where there is one already, that alone, and the check of the whole."""
    name = made.get("format")
    if name not in formats.FORMATS:
        return
    del made["format"]
    if "pattern" not in made:
        made["pattern"] = f"^(?:{formats.FORMATS[name].grammar})$"


def _bound_object(made: dict[str, Any], *, close: bool) -> None:
    named: Any = made.get("properties", {})
    required: Any = made.get("required", ())
    beside = [name for name in required if name not in named]
    if close and named and not _OPEN & set(made):
        # A field that is required and nowhere described is one of those that are named, too.
        anything = {name: _bounded(_ANYTHING, close=close) for name in beside}
        made["properties"] = {**named, **anything}
        made["additionalProperties"] = False
        return
    # llguidance counts fields only if all named ones are required.
    counted = set(named) <= set(required) and not (_OPEN - {"additionalProperties"}) & set(made)
    if close and counted and made.get("additionalProperties") is not False and "maxProperties" not in made:
        made["maxProperties"] = max(_MAX_ITEMS, made.get("minProperties", 0), len(named) + len(beside))


def _bound_number(made: dict[str, Any]) -> None:
    lows = [key for key in ("minimum", "exclusiveMinimum") if key in made]
    highs = [key for key in ("maximum", "exclusiveMaximum") if key in made]
    for key in lows:
        made[key] = made[key] if highs and made[highs[0]] < -_LARGEST else max(made[key], -_LARGEST)
    for key in highs:
        made[key] = made[key] if lows and made[lows[0]] > _LARGEST else min(made[key], _LARGEST)
    if not highs:
        low = max([0, *(made[key] for key in lows)])
        made["maximum"] = max(_MAX_NUMBER, low + _MAX_NUMBER)
    if not lows:
        high = min([0, *(made[key] for key in highs)])
        made["minimum"] = min(-_MAX_NUMBER, high - _MAX_NUMBER)


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
            raise Unsupported(f"the grammar gave up: {self._inner.get_error()}")

    def fill(self, row: np.ndarray[Any, np.dtype[np.int32]]) -> None:
        """Write the allowed next tokens, a bit each.

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
        #: Whether forced tokens are taken at once; ``False`` only to measure the gain.
        self.forcing = True

    def matcher(self, schema: Mapping[str, Any]) -> Matcher:
        """A matcher at the beginning of an answer.

        Raises:
            Unsupported: naming the keywords without a grammar.
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
        """The allowed next tokens, ``[vocabulary]``.

        Raises:
            Unsupported: the grammar ran into its limits.
        """
        words = np.zeros(self._words, dtype=np.int32)
        matcher.fill(words)
        return np.unpackbits(words.view(np.uint8), bitorder="little")[: self._vocabulary].view(np.bool_)
