"""Does a text match a regular expression that a stranger wrote, and which text would match?

Python's own engine backtracks: ``^(a+)+$`` and thirty letters hold a worker for minutes.  The
linear-time engine inside pydantic (Rust's ``regex``) does not; it has no look-around and no
back-references, like the grammar compilers that these schemas go to.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from pydantic_core import SchemaError, SchemaValidator, core_schema

#: Longest regular expression, characters.
MAX_PATTERN: Final = 1000
_MAX_EXAMPLE: Final = 4000
_CLASSES: Final = {
    "d": "7",
    "w": "x",
    "s": " ",
    "D": "x",
    "W": "-",
    "S": "x",
    "n": "\n",
    "t": "\t",
    "r": "\r",
}


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> SchemaValidator | str:
    try:
        return SchemaValidator(core_schema.str_schema(pattern=pattern, strict=True))
    except SchemaError as error:
        return str(error).rpartition("error: ")[2].rpartition("SchemaError: ")[2].strip()


def fault(pattern: str) -> str | None:
    """Why the regular expression cannot be used; ``None`` when it can."""
    if len(pattern) > MAX_PATTERN:
        return f"has {len(pattern)} characters; at most {MAX_PATTERN} are accepted"
    found = _compiled(pattern)
    return found if isinstance(found, str) else None


def matches(pattern: str, text: str) -> bool:
    """Is there a match anywhere in the text?  A faulty pattern matches nothing."""
    found = _compiled(pattern)
    return not isinstance(found, str) and found.isinstance_python(text)


class _Beyond(Exception):  # noqa: N818 - ends the walk, seen by example() alone
    """The expression uses something that the example writer does not know."""


class _Example:
    """Walks an expression from left to right and writes the shortest text it can."""

    def __init__(self, pattern: str) -> None:
        self.left = pattern
        self.written = 0

    def take(self, size: int = 1) -> str:
        taken, self.left = self.left[:size], self.left[size:]
        if len(taken) < size:
            raise _Beyond
        return taken

    def alternatives(self) -> str:
        first = self.sequence()
        while self.left.startswith("|"):
            self.take()
            self.sequence()
        return first

    def sequence(self) -> str:
        parts: list[str] = []
        while self.left and self.left[0] not in "|)":
            parts.append(self.repeated())
            self.written += len(parts[-1])
            if self.written > _MAX_EXAMPLE:
                raise _Beyond
        return "".join(parts)

    def repeated(self) -> str:
        atom = self.atom()
        least = 1
        while self.left and self.left[0] in "*+?{":
            sign = self.take()
            if sign == "{":
                bounds, brace, self.left = self.left.partition("}")
                low = bounds.split(",")[0]
                if not brace or not low.isdigit():
                    raise _Beyond
                least = int(low)
            elif sign in "*?":
                least = 0
            if self.left[:1] == "?":
                self.take()
        if least * len(atom) > _MAX_EXAMPLE:
            raise _Beyond
        return atom * least

    def atom(self) -> str:
        sign = self.take()
        if sign == "(":
            return self.group()
        if sign == "[":
            return self.one_of()
        if sign == "\\":
            return self.escaped()
        if sign in "^$":
            return ""
        return "x" if sign == "." else sign

    def group(self) -> str:
        if self.left.startswith("?"):
            self.take()
            if self.left.startswith(("P<", "<")):
                self.left = self.left.partition(">")[2]
            elif self.left.startswith(":"):
                self.take()
            else:
                raise _Beyond
        inner = self.alternatives()
        if self.take() != ")":
            raise _Beyond
        return inner

    def escaped(self) -> str:
        sign = self.take()
        if sign in "bBAzZ":
            return ""
        if sign in "pPuxk":
            raise _Beyond
        return _CLASSES.get(sign, sign)

    def one_of(self) -> str:
        if self.left.startswith("^"):
            self.take()
            body = self.members()
            return next(sign for sign in "x7 -A_~" if sign not in body)
        return self.members()[0]

    def members(self) -> str:
        found = ""
        while not (found and self.left.startswith("]")):
            sign = self.take()
            if sign == "[":
                raise _Beyond
            sign = self.escaped() if sign == "\\" else sign
            if self.left.startswith("-") and not self.left.startswith("-]"):
                self.take()
                last = self.take()
                sign = "".join(map(chr, range(ord(sign), min(ord(last), ord(sign) + 128) + 1)))
            found += sign
        self.take()
        return found


def example(pattern: str, fits: Callable[[str], bool]) -> str | None:
    """A text that matches; ``None`` where the expression is beyond this small writer.

    Args:
        pattern: a usable regular expression.
        fits: what else the text must meet, its length for instance.
    """
    try:
        text = _Example(pattern).alternatives()
    except (_Beyond, StopIteration, RecursionError, IndexError):
        return None
    fillers = ("", "x", "a", "0", "A", "7", "-", "_", " ")
    for filler in fillers:
        for size in range(0 if not filler else 1, 65):
            longer = text + filler * size
            if matches(pattern, longer) and fits(longer):
                return longer
            if not filler:
                break
    return None
