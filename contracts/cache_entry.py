"""Entry of the result cache: how a result becomes one, and how one becomes the result of another request."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final, Literal

import msgspec

from contracts.events import Brief, Result, Trail
from contracts.helper_tasks import EnhancementInfo, EvaluationInfo
from contracts.result import SCRIPTED, ContentRef, Cost, Meta, Origin, Receipt, ResultBody, Status
from contracts.usage import Tokens

#: Statuses of results whose content a model wrote.
WRITTEN_BY_MODEL: Final = frozenset({Status.SUCCESS, Status.CACHED})

#: What is counted.  ``memory``, ``shared``, ``older``: requests answered from that layer.  ``followed``: answered
#: with the result of a request that they waited for.  ``led``: generated.  ``taken_over``: generated after the
#: leader had failed or was cancelled.  ``stored``: entries written.  ``drifted``: results that differ from what
#: the same seed produced before.
CacheCount = Literal["memory", "shared", "older", "followed", "led", "taken_over", "stored", "drifted"]


class CacheLayer(StrEnum):
    """Where an entry was found."""

    MEMORY = "memory"
    SHARED = "shared"
    #: Under a key of the previous release.
    OLDER = "older"


class CacheEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the result cache; tolerant of unknown fields, like an event."""

    #: The request that it was generated for.
    request_id: str
    kind: str
    content: Any = None
    content_ref: ContentRef | None = None
    content_hash: str
    #: The readable form of the key.
    cache_key: str | None = None
    node: str | None = None
    provider: str
    model: str | None = None
    seed: int | None = None
    deterministic: bool = False
    prompt_version: str | None = None
    prompt_hash: str | None = None
    quality_score: float | None = None
    quality_reasons: tuple[str, ...] = ()
    #: The judgement of its content, where it has a score.
    evaluation: EvaluationInfo | None = None
    enhancement: EnhancementInfo | None = None
    receipt: Receipt | None = None
    #: ms since the epoch; the store sets both.
    created_at_ms: int = 0
    expires_at_ms: int = 0


def from_result(result: ResultBody, *, request_id: str, node: str | None = None) -> CacheEntry | None:
    """Make the entry of a result; ``None`` where no model wrote its content.

    Args:
        result: how a request ended.
        request_id: the request that it was generated for; the subject of a revision names another one.
        node: name of the node.
    """
    meta = result.meta
    if result.status not in WRITTEN_BY_MODEL or meta.provider is None or result.content_hash is None:
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
        quality_reasons=meta.quality_reasons,
        evaluation=meta.evaluation if meta.evaluation and meta.evaluation.score is not None else None,
        enhancement=meta.enhancement,
        receipt=meta.receipt,
    )


def to_result(entry: CacheEntry, *, request_id: str, brief: Brief, trail: Trail) -> Result:
    """Answer a request with an entry: the result costs nothing and names the request that it was generated for.

    Args:
        entry: what was generated.
        request_id: the request to answer.
        brief: its brief.
        trail: its trail.
    """
    double = ", by the scripted provider, a test double" if entry.provider == SCRIPTED else ""
    return Result(
        request_id=request_id,
        kind=entry.kind,
        status=Status.CACHED,
        origin=Origin.CACHE,
        reason=f"generated for request {entry.request_id}{double}",
        content=entry.content,
        content_ref=entry.content_ref,
        content_hash=entry.content_hash,
        meta=Meta(
            provider=entry.provider,
            model=entry.model,
            seed=entry.seed,
            deterministic=entry.deterministic,
            prompt_version=entry.prompt_version,
            prompt_hash=entry.prompt_hash,
            cache_key=brief.cache_key,
            generated_for=entry.request_id,
            rating=brief.rating,
            cost=Cost(tokens=Tokens(prompt=0, completion=0), time_ms=trail.time_ms, amount=0.0),
            quality_score=entry.quality_score,
            quality_reasons=entry.quality_reasons,
            evaluation=entry.evaluation,
            enhancement=entry.enhancement,
            receipt=entry.receipt,
            warnings=trail.warnings,
            replay_of=brief.replay_of,
            patched_by=brief.lineage and brief.lineage.patched_by,
            experiment=brief.experiment and brief.experiment.counted,
            input_hash=brief.input_hash,
            requested_at_ms=brief.requested_at_ms,
        ),
    )
