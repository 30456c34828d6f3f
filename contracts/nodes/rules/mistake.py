"""Syntax error messages: what is wrong, where, and what to write instead."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable
from typing import Final, cast

from lark import Token, UnexpectedInput

from contracts.nodes.rules.finding import Code, RulesError, finding

_STATEMENTS: Final = ("IF", "INCLUDE", "AVOID", "RULE", "CONSTRAINT", "STYLE", "MOOD", "PACING", "DURATION")
_KEYWORDS: Final = (*_STATEMENTS, "THEN", "ELSE", "AND", "OR", "NOT", "IN", "TARGET", "TO")
#: Readable names of terminals; a keyword is its own name.
_CALLED: Final = {
    "NAME": "a name",
    "WORD": "a word",
    "STRING": 'a text in "quotes"',
    "NUMBER": "a number",
    "QUANTITY": "a time such as 30s",
    "COMPARISON": "a comparison (== != < <= > >=)",
    "EQUAL": "=",
    "DASH": "-",
    "COMMA": "a comma",
    "LPAR": "(",
    "RPAR": ")",
    "LSQB": "[",
    "RSQB": "]",
    "TRUE": "true",
    "FALSE": "false",
    "_NL": "the end of the line",
    "_INDENT": "an indented line",
    "_DEDENT": "the end of the block",
    "$END": "the end of the text",
}
#: Syntax of other languages and its equivalent here; the first match applies.
_FOREIGN: Final = (
    (re.compile(r"=(?!=)"), "to compare, write == (two equals signs)"),
    (re.compile(r"&&?"), "write AND"),
    (re.compile(r"\|\|?"), "write OR"),
    (re.compile(r"!(?!=)"), "write NOT"),
    (re.compile(r"(?i)el(se)?if\b"), "write ELSE IF"),
    (re.compile(r"(?i)(end ?if|end|fi)\b"), "leave it out: a block ends where its indentation does"),
    (re.compile("[\u201c\u201d\u201e\u2018\u2019\u00ab\u00bb]"), 'write straight quotes: "'),
    (re.compile("[\u00a0\u2000-\u200b\u3000]"), "write a plain space: this one is a special one"),
    (re.compile(r"[:;{}]"), "leave it out"),
    (re.compile(r"//|--|/\*"), "begin a comment with #"),
    (re.compile(r"""["']"""), "close the text with the same quote, on the same line"),
)
_WORD: Final = re.compile(r"[^\W\d]\w*")
_LAST_WORD: Final = re.compile(r"([^\W\d]\w*)\W*$")
_CUTOFF: Final = 0.7
_SHOWN: Final = 40


def explained(error: UnexpectedInput, text: str) -> RulesError:
    """The message for an error of the parser.

    Args:
        error: raised on ``text`` with a line break in front.
        text: what was written.
    """
    line, column = error.line - 1, error.column
    terminals = cast("set[str]", error.interactive_parser.accepts())
    token = cast("Token | None", getattr(error, "token", None))
    if token is not None and token.type == "_INDENT":
        return RulesError(
            finding(
                Code.INDENTATION,
                (token.end_line or 2) - 1,
                len(token) + 1,
                "this line is indented, and nothing above it opens a block",
                "begin it where the line above begins",
            )
        )
    lines = text.split("\n")
    at_end = token is not None and token.type in {"_NL", "_DEDENT", "$END"}
    if at_end or not 1 <= line <= len(lines):
        line = max(1, min(line, len(lines)))
        column = len(lines[line - 1].split("#")[0].rstrip()) + 1
    here = lines[line - 1][column - 1 :]
    left = lines[line - 1][: column - 1]
    expected = _called(terminals)
    subject = "the line ends too early" if at_end or not here else f"{_shown(here)} cannot stand here"
    return RulesError(
        finding(
            Code.UNREADABLE if token is None else Code.SYNTAX,
            line,
            column,
            f"{subject}; expected {_joined(expected)}" if expected else subject,
            _suggestion(left, here, terminals),
        ),
        expected=expected,
    )


def did_you_mean(written: str, known: Iterable[str]) -> str:
    """A suggestion for a misspelt word, as a sentence; empty if none is similar."""
    by_fold = {each.casefold(): each for each in known}
    near = difflib.get_close_matches(written.casefold(), by_fold, n=1, cutoff=_CUTOFF)
    return f"did you mean {by_fold[near[0]]}?" if near else ""


def _suggestion(left: str, here: str, terminals: Collection[str]) -> str:
    for pattern, advice in _FOREIGN:
        if pattern.match(here):
            return advice
    word = _WORD.match(here)
    if word:
        wanted = [each for each in _KEYWORDS if each in terminals]
        if word[0].upper() not in _KEYWORDS and (found := did_you_mean(word[0], wanted)):
            return found
    before = _LAST_WORD.search(left)
    return (before and _about(before[1], terminals)) or _missing(terminals)


def _about(word: str, terminals: Collection[str]) -> str:
    """A suggestion for the word before the fault."""
    foreign = next((advice for pattern, advice in _FOREIGN if pattern.match(word)), "")
    keyword = word.upper()
    if not foreign and keyword in {"THEN", "ELSE"} and "EQUAL" in terminals:
        return f"{keyword} needs an IF above it, no deeper than itself"
    return foreign or ("" if keyword in _KEYWORDS else did_you_mean(word, _KEYWORDS))


def _missing(terminals: Collection[str]) -> str:
    if "_INDENT" in terminals:
        return "indent its statements, or start with THEN"
    return "write THEN before the statements" if "THEN" in terminals else ""


def _called(terminals: Collection[str]) -> tuple[str, ...]:
    """Readable names of the allowed tokens, without those that are never useful."""
    known = {each for each in terminals if each in _CALLED or each in _KEYWORDS}
    if known >= {"WORD", "STRING"} or known >= {"STRING", "NUMBER"}:
        known -= {"TRUE", "FALSE", "LSQB"}
    if "_NL" in known:
        known -= {"_INDENT", "_DEDENT"}
    statements = [each for each in _STATEMENTS if each in known]
    if len(statements) >= len(_STATEMENTS) - 1:
        known -= {*statements, "NAME", "$END", "_DEDENT"}
        return ("a rule", *sorted(_CALLED.get(each, each) for each in known))
    return tuple(sorted({_CALLED.get(each, each) for each in known}))


def _joined(words: tuple[str, ...]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _shown(here: str) -> str:
    """The word or character at fault, in quotes."""
    found = re.match(r"[\w.-]+|\S", here)
    text = found[0] if found else here[:1]
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
