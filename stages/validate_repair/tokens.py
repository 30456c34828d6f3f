"""Tolerant JSON tokenizer: text to tokens, with the slips that models make.

A token is a text in quotes, a bracket, a comma, a colon, or a word: what stands unquoted between them.
Every token is read from its own characters alone, so that nothing can come out that was not written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final, Literal

import msgspec

#: Longest number, characters.
MAX_NUMBER: Final = 300
_SHOWN: Final = 40

_TOKEN: Final = re.compile(
    r"""
      (?P<plain>[ \t\r\n]++)
    | (?P<blank>[\s\ufeff\u200b\u2060]++)
    | (?P<comment>//[^\n]*+ | \#(?=[\s\#])[^\n]*+ | /\*.*?\*/)
    | (?P<mark>[{}\[\],:])
    | (?P<text>"[^"\\]*+(?:\\.[^"\\]*+)*+" | '[^'\\]*+(?:\\.[^'\\]*+)*+')
    | (?P<open>["'] | /\*)
    | (?P<word>(?:(?!//|/\*)[^\s\ufeff\u200b\u2060{}\[\],:"'])++)
    """,
    re.VERBOSE | re.DOTALL,
)
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
#: Thousands, as programs write them.
_GROUPED: Final = re.compile(r"-?[1-9][0-9]{0,2}(?:_[0-9]{3})+")
#: ``.5`` and ``5.``
_NO_ZERO: Final = re.compile(r"(?<![0-9])\.(?=[0-9])"), re.compile(r"(?<=[0-9])\.(?![0-9])")
_LITERALS: Final[dict[str, Any]] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("null", "None", "Null", "NULL"), None),
}
_NO_NUMBERS: Final = frozenset({"nan", "infinity", "+infinity", "-infinity", "inf", "-inf", "undefined"})
_ESCAPED: Final = re.compile(r"""\\(.)|"|[\x00-\x1f]""", re.DOTALL)
_HALF_PAIR: Final = re.compile("[\ud800-\udfff]")
_ELISION: Final = re.compile(r"\.\.\.|…")


class UnparsableText(ValueError):  # noqa: N818 - names the text's state
    """The text holds no document that can be trusted; the message says where, what was found, what to write."""


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of the text that means something, or a comment or odd white space, which do not."""

    kind: Literal["mark", "text", "word", "comment", "blank", "open"]
    #: As it is spelled.
    source: str
    #: Where it begins and ends in the text.
    start: int
    end: int


def tokens(text: str, start: int) -> Iterator[Token]:
    """The tokens from ``start`` on; an ``open`` one, a text or comment without an end, is the last."""
    for found in _TOKEN.finditer(text, start):
        kind: Any = found.lastgroup
        if kind == "plain":
            continue
        yield Token(kind=kind, source=found[0], start=found.start(), end=found.end())
        if kind == "open":
            return


def text_of(source: str) -> tuple[str, tuple[str, ...]]:
    """What a text in quotes says, and what had to be mended about its spelling.

    Raises:
        UnparsableText: an escape that JSON does not know: whether a backslash was meant cannot be told.
    """
    slips: dict[str, None] = {}
    if source[0] == "'":
        slips["stood in single quotes"] = None

    def strict(found: re.Match[str]) -> str:
        piece = found[0]
        match piece:
            case '"':
                return r"\""
            case r"\'":
                slips[r"had \' for '"] = None
                return "'"
            case _ if piece[0] != "\\":
                slips["had line breaks or other control characters as they are"] = None
                return f"\\u{ord(piece):04x}"
            case _ if piece[1] in '"\\/bfnrtu':
                return piece
            case _:
                raise UnparsableText(
                    rf"has the escape {piece!r:.10}, which JSON does not know; write a backslash as \\"
                )

    body = _ESCAPED.sub(strict, source[1:-1])
    try:
        said: str = json.loads(f'"{body}"')
    except ValueError:
        raise UnparsableText(r"has a \u without four hex digits after it; write a backslash as \\") from None
    if _HALF_PAIR.search(said):
        raise UnparsableText("has half a surrogate pair; write the character itself")
    return said, tuple(slips)


def value_of(source: str) -> tuple[Any, tuple[str, ...]]:
    """The number or literal that a word is, and what had to be mended about its spelling.

    Raises:
        UnparsableText: for every other word, and for a number that would not keep its digits.
    """
    if _NUMBER.fullmatch(source):
        return number(source), ()
    if source in _LITERALS:
        value = _LITERALS[source]
        proper = json.dumps(value)
        return value, () if source == proper else (f"was spelled {source}, is {proper}",)
    proper = source.removeprefix("+") if source[1:2] != "-" else source
    if _GROUPED.fullmatch(proper):
        proper = proper.replace("_", "")
    proper = _NO_ZERO[1].sub(".0", _NO_ZERO[0].sub("0.", proper, count=1), count=1)
    if _NUMBER.fullmatch(proper):
        return number(proper), (f"was spelled {shown(source)}, is {shown(proper)}",)
    if source.lower() in _NO_NUMBERS:
        raise UnparsableText(f"{source} is no JSON; write a number or null")
    if _ELISION.search(source):
        raise UnparsableText(f"{shown(source)} stands for something that was left out; write it all")
    raise UnparsableText(
        f"{shown(source)} is no value; write a text in double quotes, a number, true, false or null"
    )


def number(source: str) -> int | float:
    """The number that a JSON number spells.

    Raises:
        UnparsableText: the number cannot be kept as it is spelled.
    """
    if len(source) > MAX_NUMBER:
        raise UnparsableText(f"has a number of {len(source)} characters; write at most 17 digits")
    if _INTEGER.fullmatch(source):
        return int(source)
    value = float(source)
    if value in (float("inf"), float("-inf")):
        raise UnparsableText(f"{shown(source)} is a number too large for JSON; write at most 1e308")
    digits = source.lower().partition("e")[0]
    is_zero = not digits.strip("-0.")
    if (value == 0) != is_zero or (not is_zero and Decimal(source) != Decimal(repr(value))):
        raise UnparsableText(f"{shown(source)} would not keep its value; write at most 17 digits")
    return value


def leaves_out(comment: str) -> bool:
    """Whether a comment stands for content: ``// ... the other items``."""
    return _ELISION.search(comment) is not None


def shown(source: str) -> str:
    """A piece of the text for a message, bounded."""
    return source if len(source) <= _SHOWN else source[:_SHOWN] + "…"
