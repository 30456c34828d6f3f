"""Deadline of a request's body, read without decoding the rest."""

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


def read_deadline_ms(body: bytes) -> int | None:
    """The deadline in a request's body, ms; ``None`` if it has no valid one.

    It takes microseconds and ignores all other fields, so it works for any version of a request.
    """
    try:
        body_fields = _decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    found = body_fields.deadline_ms if body_fields.deadline_ms is not None else body_fields.deadlineMs
    return found if found is not None and LEAST_MS <= found <= MOST_MS else None
