"""Reader of regular expressions of ECMA-262 with ``u``: the same in the syntax of Rust's ``regex``.

Source: ECMA-262, section 22.2.1, and its annex B where it only lets more literals through.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NoReturn

import msgspec

#: Longest regular expression, characters.
MAX_PATTERN: Final = 1000
#: Largest automaton, about its states: a class of ASCII characters is one, a repetition as many as it may take.
MAX_WEIGHT: Final = 30_000
#: Deepest groups in groups.
_MAX_DEPTH: Final = 40
#: States of a class with characters beyond ASCII, and of a Unicode property.
_WIDE: Final = 8
_PROPERTY: Final = 200
_SPACE: Final = (
    r"\t\n\x0b\x0c\r\x20\xa0\u{1680}\u{2000}-\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}\u{feff}"
)
#: What is in a class escape.
_SETS: Final = {"d": "0-9", "w": "0-9A-Za-z_", "s": _SPACE}
_CONTROLS: Final = {"t": "\t", "n": "\n", "r": "\r", "v": "\v", "f": "\f"}
_NO_LINE: Final = r"[^\n\r\u{2028}\u{2029}]"
_HINTS: Final = {
    "A": "write ^ for the beginning",
    "z": "write $ for the end",
    "Z": "write $ for the end",
    "h": "write [ \\t]",
    "Q": "escape each character instead",
}
_BOUNDS: Final = re.compile(r"\{(\d{1,6})(?:(,)(\d{0,6}))?\}")
_NAME: Final = re.compile(r"[^\W\d]\w{0,63}>")
_PROPERTY_NAME: Final = re.compile(r"\{([A-Za-z_]{1,40}(?:=[A-Za-z0-9_]{1,40})?)\}")
#: ``(?<!…)$`` at the end, and ``^(?:(?!…).)*$``, which takes texts without something.
_BEHIND: Final = re.compile(r"\(\?<([!=])((?:[^()\\|]|\\.)*)\)\$\Z")
_TEMPERED: Final = re.compile(r"\^\((?:\?:)?\(\?!((?:[^()\\^$]|\\.)+)\)\.\)([*+])\$")
_HIGH, _LOW, _END = 0xD800, 0xDC00, 0xE000


class Expression(msgspec.Struct, frozen=True):
    """A regular expression, or a part of one, that was read."""

    #: The same in the syntax of Rust's ``regex``.
    rust: str
    #: About the states of its automaton.
    weight: int
    #: Characters of the shortest text that it takes.
    least: int
    #: Look-around at its ends, which is searched for by itself: whether it must be found, and its expression.
    around: tuple[tuple[bool, str], ...] = ()


class _Refused(Exception):  # noqa: N818 - says why an expression cannot be used, seen in this module alone
    """Not in the language; the text says why and what to write."""


def _refuse(why: str) -> NoReturn:
    raise _Refused(why)


@lru_cache(maxsize=1024)
def read(pattern: str) -> Expression | str:
    """The expression; a text says why it is none."""
    if len(pattern) > MAX_PATTERN:
        return f"has {len(pattern)} characters; at most {MAX_PATTERN} are accepted"
    try:
        found = _read_whole(pattern)
    except _Refused as refused:
        return str(refused)
    if found.weight > MAX_WEIGHT:
        return f"needs about {found.weight} states, and at most {MAX_WEIGHT} are accepted; repeat less"
    return found


def _read_whole(pattern: str) -> Expression:
    """The expression, with look-ahead at its beginning and look-behind at its end apart.

    Both depend on one place of the text alone, so each is a search of its own.
    """
    around: list[tuple[bool, str]] = []
    weight = 0
    tempered = _TEMPERED.fullmatch(pattern)
    if tempered is not None:
        inside = _Reader(tempered[1]).whole()
        around.append((False, f"(?:{inside.rust})"))
        pattern, weight = f"^.{tempered[2]}$", inside.weight
    behind = _BEHIND.search(pattern)
    while behind is not None:
        inside = _Reader(behind[2]).whole()
        around.append((behind[1] == "=", f"(?:{inside.rust})$"))
        pattern, weight = f"{pattern[: behind.start()]}$", weight + inside.weight
        behind = _BEHIND.search(pattern)
    reader = _Reader(pattern)
    ahead = reader.ahead()
    around += [(sign, f"^(?:{inside.rust})") for sign, inside in ahead]
    found = reader.whole(alone=bool(around))
    weight += sum(inside.weight for _, inside in ahead)
    rust = f"^{found.rust}" if ahead else found.rust
    return Expression(rust, found.weight + weight, found.least, tuple(around))


class _Reader:
    """Reads an expression from left to right."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.at = 0
        self.depth = 0

    def sees(self, text: str) -> bool:
        return self.source.startswith(text, self.at)

    def takes(self, text: str) -> bool:
        seen = self.sees(text)
        self.at += len(text) if seen else 0
        return seen

    def char(self) -> str:
        if self.at >= len(self.source):
            _refuse("ends in the middle")
        self.at += 1
        return self.source[self.at - 1]

    def ahead(self) -> list[tuple[bool, Expression]]:
        """The look-ahead at the beginning of the text; whether each must be there."""
        found: list[tuple[bool, Expression]] = []
        begins = self.at
        if not (self.takes("^") and (self.sees("(?=") or self.sees("(?!"))):
            self.at = begins
            return found
        while self.sees("(?=") or self.sees("(?!"):
            sign = self.takes("(?=") or not self.takes("(?!")
            found.append((sign, self.alternatives()))
            if not self.takes(")"):
                _refuse("has a ( that is not closed; write \\( or close it")
        return found

    def whole(self, *, alone: bool = False) -> Expression:
        found = self.alternatives() if not alone else self.sequence()
        if alone and self.sees("|"):
            _refuse("has look-around beside |; write (?:…|…) after it")
        if self.at < len(self.source):
            _refuse("has a ) that opens nowhere; write \\)")
        return found

    def alternatives(self) -> Expression:
        branches = [self.sequence()]
        while self.takes("|"):
            branches.append(self.sequence())
        if len(branches) == 1:
            return branches[0]
        return Expression(
            "|".join(each.rust for each in branches),
            sum(each.weight for each in branches) + len(branches),
            min(each.least for each in branches),
        )

    def sequence(self) -> Expression:
        parts: list[Expression] = []
        while self.at < len(self.source) and self.source[self.at] not in "|)":
            parts.append(self.repeated())
        return Expression(
            "".join(each.rust for each in parts),
            sum(each.weight for each in parts),
            sum(each.least for each in parts),
        )

    def repeated(self) -> Expression:
        atom, repeats = self.atom()
        least, most, sign = self.count()
        if not sign:
            return atom
        if not repeats:
            _refuse(f"repeats what has no width, with {sign}; leave it out")
        if self.sees("*") or self.sees("+") or self.sees("?") or _BOUNDS.match(self.source, self.at):
            _refuse(
                f"has nothing to repeat at {self.source[self.at :]!r:.20}; put the part before it in (?:…)"
            )
        times = max(least + 1, most or 0, 1)
        return Expression(f"{atom.rust}{sign}", atom.weight * times, atom.least * least)

    def count(self) -> tuple[int, int | None, str]:
        """How often at least and at most, and the sign for it; no sign: once."""
        for sign, least, most in (("*", 0, None), ("+", 1, None), ("?", 0, 1)):
            if self.takes(sign):
                self.takes("?")  # lazy or greedy: a match is a match
                return least, most, sign
        found = _BOUNDS.match(self.source, self.at)
        if found is None:
            return 1, 1, ""
        self.at = found.end()
        self.takes("?")
        least = int(found[1])
        most = least if found[2] is None else int(found[3]) if found[3] else None
        if most is not None and most < least:
            _refuse(f"{found[0]} ends before it begins")
        return least, most, found[0]

    def atom(self) -> tuple[Expression, bool]:
        """The next part, and whether it can be repeated."""
        sign = self.char()
        match sign:
            case "^" | "$":
                return Expression(sign, 1, 0), False
            case "(":
                return self.group(), True
            case "[":
                return self.one_of(), True
            case ".":
                return Expression(_NO_LINE, _WIDE, 1), True
            case "\\":
                return self.escaped()
            case "*" | "+" | "?":
                _refuse(f"has nothing to repeat before {sign}; write \\{sign}")
            case "{":
                _refuse("has a { that is no {least,most}; write \\{ or {0,most}")
            case _:
                return _one(ord(sign)), True

    def group(self) -> Expression:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            _refuse(f"has groups nested more than {_MAX_DEPTH} deep")
        if self.takes("?"):
            self.group_kind()
        inner = self.alternatives()
        if not self.takes(")"):
            _refuse("has a ( that is not closed; write \\( or close it")
        self.depth -= 1
        # Nobody asks what a group took.
        return Expression(f"(?:{inner.rust})", inner.weight, inner.least)

    def group_kind(self) -> None:
        if self.takes(":"):
            return
        for sign in ("=", "!", "<=", "<!"):
            if self.takes(sign):
                _refuse(
                    f"(?{sign} is look-around, which works at the beginning after ^ (and (?<!…) before a $ at the end) alone"
                )
        begins = self.at + (2 if self.sees("P<") else 1)
        name = _NAME.match(self.source, begins) if self.sees("<") or self.sees("P<") else None
        if name is not None:
            self.at = name.end()
            return
        _refuse(f"(?{self.source[self.at : self.at + 3]} is no group of ECMA-262; write (?:…)")

    def escaped(self) -> tuple[Expression, bool]:
        if self.takes("b"):
            return Expression(r"(?-u:\b)", 1, 0), False
        if self.takes("B"):
            return Expression(r"(?-u:\B)", 1, 0), False
        found = self.escape()
        if isinstance(found, int):
            return _one(found), True
        return _class(found, negated=False), True

    def escape(self) -> int | str:
        """What follows a backslash: a character, or what is in a class."""
        sign = self.char()
        if sign in _CONTROLS:
            return ord(_CONTROLS[sign])
        if sign.lower() in _SETS:
            inside = _SETS[sign.lower()]
            return inside if sign.islower() else f"[^{inside}]"
        match sign:
            case "p" | "P":
                return self.property(sign)
            case "x" | "u" | "c":
                return self.hex(2) if sign == "x" else self.unicode() if sign == "u" else self.control()
            case "0" if not self.source[self.at : self.at + 1].isdigit():
                return 0
            case _ if sign.isdigit() or sign == "k":
                _refuse(f"\\{sign} is a back-reference, which an engine in linear time has not")
            case _ if not sign.isascii() or sign.isalnum():
                hint = _HINTS.get(sign, f"write {sign} for the character")
                _refuse(f"\\{sign} is no escape of ECMA-262; {hint}")
            case _:
                return ord(sign)

    def property(self, sign: str) -> str:
        name = _PROPERTY_NAME.match(self.source, self.at)
        if name is None:
            _refuse(f"\\{sign} has no name in braces; write \\{sign}{{L}}")
        self.at = name.end()
        return f"\\{sign}{name[0]}"

    def control(self) -> int:
        letter = self.char()
        if not letter.isascii() or not letter.isalpha():
            _refuse("\\c has no letter")
        return ord(letter) % 32

    def hex(self, digits: int) -> int:
        said = self.source[self.at : self.at + digits]
        if not re.fullmatch(rf"[0-9A-Fa-f]{{{digits}}}", said):
            _refuse(f"has an escape without its {digits} hexadecimal digits")
        self.at += digits
        return int(said, 16)

    def unicode(self) -> int:
        if self.takes("{"):
            said, brace, _ = self.source[self.at :].partition("}")
            if not brace or not re.fullmatch(r"0{0,4}[0-9A-Fa-f]{1,6}", said) or int(said, 16) > 0x10FFFF:  # noqa: PLR2004 - the last one
                _refuse("has a \\u{…} that is no character")
            self.at += len(said) + 1
            code = int(said, 16)
        else:
            code = self.hex(4)
            if _HIGH <= code < _LOW and self.takes("\\u"):
                low = self.hex(4)
                code = 0x10000 + ((code - _HIGH) << 10) + low - _LOW if _LOW <= low < _END else _HIGH
        if _HIGH <= code < _END:
            _refuse("names half of a surrogate pair; write \\u{…}")
        return code

    def one_of(self) -> Expression:
        negated = self.takes("^")
        parts: list[str] = []
        while not self.takes("]"):
            if self.at >= len(self.source):
                _refuse("has a [ that is not closed; write \\[ or close it")
            first = self.member()
            if self.sees("-") and not self.sees("-]"):
                self.at += 1
                last = self.member()
                if isinstance(first, int) and isinstance(last, int):
                    if first > last:
                        _refuse(f"has the range {chr(first)}-{chr(last)}, which ends before it begins")
                    parts.append(f"{_literal(first)}-{_literal(last)}")
                    continue
                parts += [_member(first), _literal(ord("-"))]
                first = last
            parts.append(_member(first))
        if not parts:
            if negated:
                return Expression("(?s:.)", _WIDE, 1)
            _refuse("[] takes no character at all")
        return _class("".join(parts), negated=negated)

    def member(self) -> int | str:
        sign = self.char()
        if sign != "\\":
            return ord(sign)
        # A backspace in a class, a border of a word elsewhere.
        return 8 if self.takes("b") else self.escape()


def _one(code: int) -> Expression:
    return Expression(_literal(code), 1 + (code > 127), 1)  # noqa: PLR2004 - ASCII


def _class(inside: str, *, negated: bool) -> Expression:
    text = f"[{'^' if negated else ''}{inside}]"
    size = _PROPERTY * len(re.findall(r"\\[pP]", inside)) + _WIDE * (
        negated or "u{" in inside or "^" in inside
    )
    return Expression(text, max(size, 1), 1)


def _member(found: int | str) -> str:
    return found if isinstance(found, str) else _literal(found)


def _literal(code: int) -> str:
    if code < 128:  # noqa: PLR2004 - ASCII
        sign = chr(code)
        return sign if sign.isalnum() or sign == "_" else f"\\x{code:02x}"
    return f"\\u{{{code:x}}}"
