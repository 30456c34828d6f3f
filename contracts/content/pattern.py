r"""Regular expressions of strangers: ECMA-262 with ``u``, run on a linear-time engine.

Python's own engine backtracks: ``^(a+)+$`` and thirty letters hold a worker for minutes.  The linear-time
engine inside pydantic (Rust's ``regex``) does not; it has no back-references, and look-around only at the ends.  Its language
differs from JSON Schema's (``\d`` takes every script's digits there, ``&&`` in a class is an intersection), so
an expression is read here by ECMA-262's rules and written anew in words that mean the same to that engine and
to the grammars of local models.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec
from pydantic_core import SchemaError, SchemaValidator, core_schema

from contracts.content.expression import read


class _Engine(msgspec.Struct, frozen=True):
    """A compiled expression, and its look-around."""

    found: SchemaValidator
    around: tuple[tuple[bool, SchemaValidator], ...]


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> _Engine | str:
    found = read(pattern)
    if isinstance(found, str):
        return found
    try:
        return _Engine(_engine(found.rust), tuple((sign, _engine(each)) for sign, each in found.around))
    except SchemaError as error:
        said = str(error).rpartition("error: ")[2].rpartition("SchemaError: ")[2].strip()
        if "size limit" in said:
            said = "its automaton is too large; repeat less"
        return f"it has no automaton: {said:.200}"


def _engine(rust: str) -> SchemaValidator:
    return SchemaValidator(core_schema.str_schema(pattern=rust, strict=True))


def fault(pattern: str) -> str | None:
    """Why the regular expression cannot be used; ``None`` when it can."""
    found = _compiled(pattern)
    return found if isinstance(found, str) else None


def weight(pattern: str) -> int:
    """About the states of its automaton; 0 for one that cannot be used."""
    found = read(pattern)
    return 0 if isinstance(found, str) else found.weight


def rust(pattern: str) -> str:
    """The expression as Rust's ``regex`` reads it; one that cannot be used comes back as it is."""
    found = read(pattern)
    return pattern if isinstance(found, str) else found.rust


def matches(pattern: str, text: str) -> bool:
    """Is there a match anywhere in the text?  A faulty pattern matches nothing."""
    found = _compiled(pattern)
    if isinstance(found, str) or not found.found.isinstance_python(text):
        return False
    return all(each.isinstance_python(text) is sign for sign, each in found.around)


def looks_around(pattern: str) -> bool:
    """Whether it has look-around, which :func:`rust` leaves out."""
    found = read(pattern)
    return not isinstance(found, str) and bool(found.around)


def least(pattern: str) -> int | None:
    """Characters of the shortest text that the expression takes; ``None`` for one that cannot be used."""
    found = read(pattern)
    return None if isinstance(found, str) else found.least
