"""What is kept of a generation, and what does a request get that is answered with it?"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from contracts.events import Brief, Result, Trail
from contracts.result import SCRIPTED, ContentRef, Cost, Meta, Origin, Receipt, ResultBody, Status
from contracts.usage import Tokens

#: Ids of requests that repeat others: they want to see what comes of it today.
REPLAY: Final = "rp-"
SHADOW: Final = "sh-"
#: Endings whose content a model has written.
REAL: Final = frozenset({Status.SUCCESS, Status.CACHED})


class CacheEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the result cache; tolerant of unknown fields, like an event."""

    #: The request that it was generated for.
    request_id: str
    kind: str
    content: Any = None
    content_ref: ContentRef | None = None
    content_hash: str
    #: B4's form of the key.
    cache_key: str | None = None
    node: str | None = None
    provider: str
    model: str | None = None
    seed: int | None = None
    deterministic: bool = False
    prompt_version: str | None = None
    prompt_hash: str | None = None
    quality_score: float | None = None
    receipt: Receipt | None = None
    #: ms since the epoch; the store sets both.
    created_at_ms: int = 0
    expires_at_ms: int = 0


def of_result(result: ResultBody, *, request_id: str, node: str | None = None) -> CacheEntry | None:
    """What is kept of a result; ``None`` of anything that no model wrote.

    Args:
        result: how a request ended.
        request_id: the request that it was generated for; a revision stands on another's subject.
        node: name of the node.
    """
    meta = result.meta
    if result.status not in REAL or meta.provider is None or result.content_hash is None:
        return None
    return CacheEntry(
        request_id=meta.generated_for or request_id,
        kind=result.kind,
        content=result.content,
        content_ref=result.content_ref,
        content_hash=result.content_hash,
        cache_key=meta.cache_key,
        node=node,
        provider=meta.provider,
        model=meta.model,
        seed=meta.seed,
        deterministic=meta.deterministic,
        prompt_version=meta.prompt_version,
        prompt_hash=meta.prompt_hash,
        quality_score=meta.quality_score,
        receipt=meta.receipt,
    )


def answer(kept: CacheEntry, *, request_id: str, brief: Brief, trail: Trail) -> Result:
    """The result of a request that is answered with it: nothing was spent, and it says whose it was."""
    double = ", by the scripted provider, a test double" if kept.provider == SCRIPTED else ""
    return Result(
        request_id=request_id,
        kind=kept.kind,
        status=Status.CACHED,
        origin=Origin.CACHE,
        reason=f"generated for request {kept.request_id}{double}",
        content=kept.content,
        content_ref=kept.content_ref,
        content_hash=kept.content_hash,
        meta=Meta(
            provider=kept.provider,
            model=kept.model,
            seed=kept.seed,
            deterministic=kept.deterministic,
            prompt_version=kept.prompt_version,
            prompt_hash=kept.prompt_hash,
            cache_key=brief.cache_key,
            generated_for=kept.request_id,
            rating=brief.rating,
            cost=Cost(tokens=Tokens(prompt=0, completion=0), time_ms=trail.time_ms, amount=0.0),
            quality_score=kept.quality_score,
            receipt=kept.receipt,
            warnings=trail.warnings,
            replay_of=brief.replay_of,
            input_hash=brief.input_hash,
            requested_at_ms=brief.requested_at_ms,
        ),
    )
