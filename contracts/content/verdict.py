"""Verdict on a JSON Schema that a request brings."""

from __future__ import annotations

import msgspec


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a request's own JSON Schema can be used."""

    #: Why not, as ``path: what to do``; ``None``: it can.
    refusal: str | None = None
    #: What its author should hear of it all the same.
    warnings: tuple[str, ...] = ()
