"""Candidate documents in a model's text.

A text that is strict JSON (RFC 8259) is its document.  From every other one documents are built token after
token, in the order of the text, so that nothing can be put in, left out or moved; what stands between the tokens
of a document has to be punctuation, white space or a comment.  Slips that have one meaning are mended and told.
Everything else is refused with its place: asking again is cheaper than a document that nobody wrote.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, cast

import msgspec

from stages.validate_repair import tokens
from stages.validate_repair.reader import MAX_DEPTH, Reader
from stages.validate_repair.tokens import UnparsableText, shown

#: Longest text that is looked at, characters.
MAX_TEXT: Final = 200_000
#: Longest text that is mended, characters: it takes longer than reading strict JSON, on the stage's loop.
MAX_MENDED: Final = 64_000
#: Most documents in one text; each is checked.
MAX_DOCUMENTS: Final = 8
#: Changes and filled values that are told.
MAX_TOLD: Final = 12

_BRACKET: Final = re.compile(r"[{\[]")
#: ``[sic]`` and ``{name}`` in prose.
_WORDS: Final = re.compile(
    r"""\[[^\W\d_][^{}\[\]"':]*+\] | \{[^\W\d_][^{}\[\]"':]*+\} | \{\{\s*+[^\W\d_][^{}\[\]"':]*+\}\}""",
    re.VERBOSE,
)
#: The name of a field.
_FIELD: Final = re.compile(r'"[^"\n]{1,80}"\s*+:')
#: What follows a document that ended too early.
_GOES_ON: Final = re.compile(r"\s*+[,:]\s*+[^\s\w]")
_FENCE: Final = re.compile(r"\s*(?:```|~~~)[ \t]*\w*\s*")
#: Marks of reasoning models; what stands in them is no part of an answer.
_REASONING: Final = re.compile(r"\s*<(think|thinking|thought|reasoning)>", re.IGNORECASE)


class Parsed(msgspec.Struct, frozen=True, kw_only=True):
    """A document and how it was read."""

    document: Any
    #: The text was no strict JSON, and was mended.
    repaired: bool = False
    #: What was mended, one line each.
    changes: tuple[str, ...] = ()
    #: Paths of fields without a value, which have an empty text now.
    filled: tuple[str, ...] = ()


def parse(text: str) -> tuple[Parsed, ...]:
    """Every whole document of a text, at least one, in its order; time is linear in the text's length.

    Raises:
        UnparsableText: there is none, one is broken or not written to its end, or what stands around them looks
            like a part of one.
    """
    if len(text) > MAX_TEXT:
        raise UnparsableText(
            f"document: the text has {len(text)} characters, at most {MAX_TEXT} are read; write less"
        )
    try:
        return (Parsed(document=_strict(text)),)
    except (ValueError, RecursionError):
        if len(text) > MAX_MENDED:
            raise UnparsableText(
                f"document: the text is not strict JSON, and with {len(text)} characters too long to repair "
                f"(at most {MAX_MENDED}); write strict JSON, or less"
            ) from None
        return _mended(text)


def _strict(text: str) -> Any:
    """Strict JSON that arrives as it was read.

    Raises:
        ValueError, RecursionError: it is none.
    """
    document = json.loads(
        text,
        object_pairs_hook=_once,
        parse_int=tokens.number,
        parse_float=tokens.number,
        parse_constant=_no_constant,
    )
    msgspec.json.encode(document)  # half a surrogate pair cannot be encoded
    level = [document]
    for _ in range(MAX_DEPTH):
        level = [inner for value in level for inner in _within(value)]
        if not level:
            break
    if any(isinstance(value, dict | list) for value in level):
        raise ValueError("too deep")
    return document


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a field is written twice")
    return fields


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _within(value: Any) -> list[Any]:
    match value:
        case dict():
            return list(cast("dict[str, Any]", value).values())
        case list():
            return cast("list[Any]", value)
        case _:
            return []


def _mended(text: str) -> tuple[Parsed, ...]:
    found: list[Reader] = []
    around: list[str] = []
    told, at = _after_reasoning(text)
    last, why = at, UnparsableText("document: the text holds no JSON object; answer with one, from { to }")
    while bracket := _BRACKET.search(text, at):
        reader = Reader(text)
        try:
            end = reader.read(bracket.start())
        except UnparsableText as error:
            words = _WORDS.match(text, bracket.start())
            if words is None:
                raise
            why, at = error, words.end()
            continue
        if len(found) == MAX_DOCUMENTS:
            raise UnparsableText(f"document: the text holds more than {MAX_DOCUMENTS} documents; write one")
        around.append(text[last : bracket.start()])
        found.append(reader)
        at = last = end
    if not found:
        raise why
    told += _beside(around, text[last:])
    return tuple(
        Parsed(
            document=reader.document,
            repaired=True,
            changes=(*told, *reader.changes())[:MAX_TOLD],
            filled=tuple(reader.filled[:MAX_TOLD]),
        )
        for reader in found
    )


def _after_reasoning(text: str) -> tuple[list[str], int]:
    """Where the answer begins."""
    mark = _REASONING.match(text)
    if mark is None:
        return [], 0
    closing = re.compile(rf"</{mark[1]}>", re.IGNORECASE).search(text, mark.end())
    if closing is None:
        raise UnparsableText(
            f"document: the text is reasoning from <{mark[1]}> to its end; write the document after it"
        )
    return [f"left out {closing.end()} characters of reasoning"], closing.end()


def _beside(before: list[str], after: str) -> list[str]:
    """What is told about the text beside the documents.

    Raises:
        UnparsableText: it looks like a part of a document.
    """
    told: dict[str, None] = {}
    pieces = [*before, after]
    for index, piece in enumerate(pieces):
        rest = piece
        if index:
            rest = rest.lstrip("]} \t\r\n")
            if piece.strip() != rest.strip():
                told["left out a bracket too many after the document"] = None
        bare = _WORDS.sub("", rest)
        if _FIELD.search(bare) or "}" in bare or "]" in bare or (index and _GOES_ON.match(bare)):
            raise UnparsableText(
                f"document: {shown(rest.strip())!r} stands outside of the brackets; write one object, from {{ to }}"
            )
        if not rest.strip():
            continue
        if _FENCE.fullmatch(rest):
            told["took the document out of a code fence"] = None
        else:
            last = index == len(pieces) - 1
            place = "before the document" if index == 0 else "after it" if last else "between documents"
            told[f"left out {len(rest)} characters {place}"] = None
    return list(told)
