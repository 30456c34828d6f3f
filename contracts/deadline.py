"""The deadline that a request's body names, read without the rest of it."""

from __future__ import annotations

from typing import Final

import msgspec

#: Bounds of a deadline, ms.
LEAST_MS: Final = 1
MOST_MS: Final = 86_400_000


class _Body(msgspec.Struct, frozen=True):
    deadline_ms: int | None = None
    deadlineMs: int | None = None  # noqa: N815 - as clients spell it


_decode: Final = msgspec.json.Decoder(_Body).decode


def named_ms(body: bytes) -> int | None:
    """The deadline in a request's body, ms; ``None``: it names none that could be used.

    It takes microseconds and heeds no other field, so that it can be read from any version of a request.
    """
    try:
        said = _decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    found = said.deadline_ms if said.deadline_ms is not None else said.deadlineMs
    return found if found is not None and LEAST_MS <= found <= MOST_MS else None
