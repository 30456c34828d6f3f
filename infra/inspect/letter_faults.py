"""Faults of dead letters: the fields that a letter's reason names, as JSON Pointers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import msgspec

from contracts.errors import ErrorCode
from infra.inspect.comparison import generalise
from infra.inspect.pointers import pointer_of

if TYPE_CHECKING:
    from infra.inspect.dead_letters import Letter

#: A dotted path at the beginning of a fault, as refusals of requests write it.
_FAULT: Final = re.compile(r"([A-Za-z_][\w-]*(?:\.[\w-]+|\[\d+\])*): (.+)", re.DOTALL)
#: Between the faults of one refusal.
_BETWEEN: Final = " | "


class LetterFault(msgspec.Struct, frozen=True, kw_only=True):
    """One fault of a request."""

    #: JSON Pointer of the field (RFC 6901); empty: the body as a whole.
    pointer: str
    detail: str


def convert_faults(faults: Iterable[tuple[str, str]]) -> tuple[LetterFault, ...]:
    """The faults of a refusal, each a dotted path and a message."""
    return tuple(LetterFault(pointer=pointer_of(path), detail=said) for path, said in faults)


def read_faults(letter: Letter) -> tuple[LetterFault, ...]:
    """The faults in the reason of a letter about a refused request; none for all others."""
    if letter.code is not ErrorCode.GEN_INVALID_REQUEST:
        return ()
    found: list[tuple[str, str]] = []
    for part in letter.reason.split(_BETWEEN):
        fault = _FAULT.fullmatch(part)
        if fault is not None:
            found.append((fault[1], fault[2]))
        elif found:
            # A value that has the separator in it.
            found[-1] = (found[-1][0], f"{found[-1][1]}{_BETWEEN}{part}")
        else:
            found.append(("", part))
    return convert_faults(found)


def find_field(letter: Letter) -> str | None:
    """The first field that a letter's reason names, with ``*`` for each place in a list; ``None``: it names none."""
    faults = read_faults(letter)
    return generalise(faults[0].pointer) if faults and faults[0].pointer else None
