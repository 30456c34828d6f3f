"""Tolerant JSON reader: a document built token by token from an opening bracket.

Every token of the text goes into the document, in its order, and nothing else does.  What stands between tokens has to
be punctuation, white space or a comment.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Any, Final

from contracts.policy import fingerprint
from stages.validate_repair import tokens
from stages.validate_repair.tokens import Token, UnparsableText, shown

#: Deepest nesting that is read; far from where a recursion over a document ends.
MAX_DEPTH: Final = 100
_MAX_PATH: Final = 200
_IDENTIFIER: Final = re.compile(r"[^\W\d][\w$-]*")
#: ``7 // 2`` is a division more likely than a comment.
_DIVISION: Final = re.compile(r"//\s*[-+(]?\.?\d")


class _State(Enum):
    """What a bracket waits for."""

    #: The first entry, or its end.
    FIRST = auto()
    #: The entry after a comma.
    NEXT = auto()
    #: A colon after the name of a field.
    COLON = auto()
    #: A field's value.
    VALUE = auto()
    #: A comma, or its end.
    AFTER = auto()


class _Open:
    """An object or a list that is being read."""

    __slots__ = ("bracket", "divided", "key", "last", "same", "state", "value")

    def __init__(self, bracket: str) -> None:
        self.bracket = bracket
        self.value: Any = {} if bracket == "{" else []
        #: The name of the field that is being read, or was read last.
        self.key = ""
        self.state = _State.FIRST
        #: The token that the last entry ended with.
        self.last: Token | None = None
        #: A comma stood before the last entry.
        self.divided = False
        #: An entry has the same bracket, so that it cannot be told where a missing one belongs.
        self.same = False

    def at(self) -> str | None:
        """The name or the index of the entry that is being read, or was read last."""
        named = self.bracket == "{" and self.state not in (_State.FIRST, _State.NEXT)
        if self.bracket == "[":
            return str(len(self.value) - (self.state is _State.AFTER))
        return self.key if named else None

    def wanted(self) -> str:
        """What may stand here."""
        match self.state:
            case _State.VALUE:
                return "a value"
            case _State.FIRST | _State.NEXT:
                return "a value" if self.bracket == "[" else "a name in double quotes"
            case _State.COLON:
                return "a colon and the value of this field"
            case _State.AFTER:
                return "a comma or " + ("}" if self.bracket == "{" else "]")


class Reader:
    """Builds one document from the tokens of a text, in their order."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.document: Any = None
        self.filled: list[str] = []
        self._open: list[_Open] = []
        #: Where each kind of slip was found first, and how often it was found.
        self._slips: dict[str, tuple[str, int]] = {}

    def changes(self) -> tuple[str, ...]:
        """What was mended, one line for each kind of slip."""
        return tuple(
            f"{path}: {what}" + (f"; {count - 1} more like it" if count > 1 else "")
            for what, (path, count) in self._slips.items()
        )

    def read(self, start: int) -> int:
        """Read the document that begins at ``start``; its end.

        Raises:
            UnparsableText: it is broken, or not written to its end.
        """
        where = "before the last bracket is closed"
        for token in tokens.tokens(self.text, start):
            match token.kind:
                case "mark":
                    self._mark(token)
                case "text" | "word":
                    self._scalar(token)
                case "comment":
                    self._comment(token)
                case "blank":
                    self._slip("stood beside white space that JSON does not know")
                case "open":
                    where = f"inside of {shown(self.text[token.start :])!r}"
            if not self._open:
                return token.end
        raise self._wrong(f"the text ends {where}: the document was cut off; write it to its end")

    # What a token means where it stands.

    def _mark(self, token: Token) -> None:
        match token.source:
            case "{" | "[":
                self._begin(token)
            case "}" | "]":
                self._end(token)
            case ":":
                self._colon(token)
            case _:
                self._comma()

    def _begin(self, token: Token) -> None:
        if self._open:
            top = self._top
            if top.bracket == "{" and top.state is _State.NEXT and token.source == "{":
                self._close_unclosed("[", token)
                top = self._top
                top.state = _State.NEXT
            if top.bracket == "[" and top.state is _State.AFTER:
                self._slip("had no comma after it")
                top.state = _State.NEXT
            if top.bracket == "{" and top.state is not _State.VALUE:
                raise self._unexpected(token)
        if len(self._open) == MAX_DEPTH:
            raise self._wrong(f"the document is nested more than {MAX_DEPTH} deep; make it flatter")
        self._open.append(_Open(token.source))

    def _end(self, token: Token) -> None:
        bracket = "{" if token.source == "}" else "["
        if self._top.bracket != bracket:
            self._close_unclosed(bracket, token)
        top = self._top
        match top.state:
            case _State.COLON:
                raise self._unexpected(token)
            case _State.VALUE:
                self._fill(token)
            case _State.NEXT:
                self._slip("had a comma after its last entry", around=True)
            case _:
                pass
        self._close(token)

    def _close_unclosed(self, around: str, token: Token) -> None:
        """Close a bracket without an end, if there is one place alone where the end can have been."""
        top = self._top
        fits = len(self._open) > 1 and self._open[-2].bracket == around != top.bracket
        ended = top.state is _State.AFTER or (top.state is _State.NEXT and token.source not in "}]")
        if not (fits and ended and top.value) or top.same:
            raise self._unexpected(token)
        self._slip(f"had no {'}' if top.bracket == '{' else ']'} at its end", around=True)
        self._close(token)

    def _close(self, token: Token) -> None:
        closed = self._open.pop()
        if not self._open:
            self.document = closed.value
            return
        self._top.same = self._top.same or self._top.bracket == closed.bracket
        self._put(closed.value, token)

    def _colon(self, token: Token) -> None:
        top, name = self._top, self._top.last
        if top.bracket == "{" and top.state is _State.COLON:
            top.state = _State.VALUE
            return
        # The name of a field in a list: the list ended before the comma in front of it.
        in_list = top.bracket == "[" and top.state is _State.AFTER
        if not (in_list and top.divided and name is not None and name.kind == "text"):
            raise self._unexpected(token)
        key: str = top.value.pop()
        self._close_unclosed("{", token)
        self._top.key, self._top.state = key, _State.VALUE

    def _comma(self) -> None:
        top = self._top
        match top.state:
            case _State.AFTER:
                pass
            case _State.VALUE:
                self._fill(None)
            case _State.NEXT if top.bracket == "{":
                self._slip("had a comma too many", around=True)
            case _State.COLON:
                raise self._wrong("this name has no value; write a colon and the value")
            case _State.FIRST | _State.NEXT:
                raise self._wrong("nothing stands before this comma; write a value, or leave the comma out")
        top.state = _State.NEXT

    def _scalar(self, token: Token) -> None:
        top = self._top
        if top.state is _State.COLON:
            raise self._unexpected(token)
        if top.state is _State.AFTER:
            if not _lacks_comma(top, token):
                raise self._unexpected(token)
            self._slip("had no comma after it")
            top.state = _State.FIRST
        if top.bracket == "{" and top.state is not _State.VALUE:
            self._name(token)
        else:
            self._put(self._value(token), token)

    def _name(self, token: Token) -> None:
        top = self._top
        if token.kind == "word" and not _IDENTIFIER.fullmatch(token.source):
            raise self._unexpected(token)
        top.key = token.source if token.kind == "word" else self._value(token)
        top.state = _State.COLON
        if token.kind == "word":
            self._slip("had no quotes around its name")

    def _comment(self, token: Token) -> None:
        top = self._top
        if tokens.leaves_out(token.source):
            raise self._wrong(f"{shown(token.source)!r} stands for something that was left out; write it all")
        if top.state is _State.AFTER and top.last is not None and top.last.kind == "word":
            between = self.text[top.last.end : token.start]
            if "\n" not in between and _DIVISION.match(token.source):
                raise self._unexpected(token)
        self._slip("had a comment beside it, left out")

    # What goes into the document.

    def _value(self, token: Token) -> Any:
        try:
            value, slips = (tokens.text_of if token.kind == "text" else tokens.value_of)(token.source)
        except UnparsableText as error:
            raise self._wrong(str(error)) from None
        for slip in slips:
            self._slip(slip)
        return value

    def _put(self, value: Any, token: Token | None) -> None:
        top = self._top
        if top.bracket == "[":
            top.value.append(value)
        elif top.key not in top.value:
            top.value[top.key] = value
        else:
            self._repeated(top.value[top.key], value)
        top.divided = top.state is _State.NEXT
        top.state, top.last = _State.AFTER, token

    def _repeated(self, before: Any, now: Any) -> None:
        one, other = fingerprint.canonical_json(before), fingerprint.canonical_json(now)
        if one != other:
            both = f"{shown(one.decode())} and as {shown(other.decode())}"
            raise self._wrong(f"is written twice, as {both}; write it once")
        self._slip("was written twice, with the same value")

    def _fill(self, token: Token | None) -> None:
        self.filled.append(self._path(self._open))
        self._put("", token)

    # What is told.

    @property
    def _top(self) -> _Open:
        return self._open[-1]

    def _path(self, opened: list[_Open]) -> str:
        return ".".join(part for each in opened if (part := each.at()) is not None)[:_MAX_PATH] or "document"

    def _slip(self, what: str, *, around: bool = False) -> None:
        path, count = self._slips.get(what, ("", 0))
        path = path or self._path(self._open[:-1] if around else self._open)
        self._slips[what] = path, count + 1

    def _wrong(self, what: str) -> UnparsableText:
        return UnparsableText(f"{self._path(self._open)}: {what}")

    def _unexpected(self, token: Token) -> UnparsableText:
        top = self._top
        hint = f"{shown(token.source)!r} stands where {top.wanted()} has to"
        if top.state is _State.AFTER and top.last is not None and top.last.kind == "text":
            hint += r"; write \" for a quote inside of a text"
        return self._wrong(hint)


def _lacks_comma(top: _Open, token: Token) -> bool:
    """Whether nothing but a comma is missing before a token: no quote inside of a text, no thousands."""
    last = top.last
    if token.kind != "text" or last is None or (top.bracket == "[" and last.kind == "word"):
        return False
    if last.kind == "mark":
        return True
    inner = last.source[-2] + token.source[1] if last.kind == "text" else ""
    return last.end < token.start and not any(char.isspace() for char in inner)
