"""Digests of what asks for each kind's document: they tell generations apart in the cache and the drift ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from contracts.kinds import KINDS
from contracts.policy import fingerprint
from stages.structuring.prompts import structuring_prompt

if TYPE_CHECKING:
    from contracts.ports import Contents


def schema_forms(contents: Contents) -> dict[str, str]:
    """By kind, a digest of its structuring prompt and schema."""
    found: dict[str, str] = {}
    for kind in KINDS:
        schema = "" if kind == "custom" else msgspec.json.encode(contents.schema(kind, None)).decode()
        found[kind] = fingerprint.digest_text(structuring_prompt(kind, "", schema, ()))
    return found
