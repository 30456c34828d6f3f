"""Choice of the fallback content, and the result that carries it."""

from __future__ import annotations

from typing import Any, assert_never

import msgspec

from contracts import events as ev
from contracts import request
from contracts.errors import ErrorCode
from contracts.nodes.node import FallbackMode, Rating
from contracts.policy import fingerprint
from contracts.policy.experiments import ExperimentArm
from contracts.policy.rating import RatingInfo
from contracts.ports import Contents, Sample, Samples
from contracts.result import Cost, ErrorInfo, Meta, Origin, StandIn, Status


class FailedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request without content from the model, and the reason."""

    request_id: str
    kind: str
    error: ErrorInfo
    plan: request.FallbackPlan
    #: ``None`` if it is unreadable.
    asked: request.GenerationRequest | None
    brief: ev.Brief | None
    trail: ev.Trail
    requested_at_ms: int
    input_hash: str | None = None
    #: Why the plan ignores the request's template.
    lost: str | None = None
    #: The arm of an experiment that the request counts for.
    experiment: ExperimentArm | None = None

    @property
    def rating(self) -> RatingInfo:
        """The rating that context-build determined, else the one of the plan."""
        return self.brief.rating if self.brief else self.plan.rating


def shortlist(
    samples: tuple[Sample, ...], *, max_rating: Rating, tags: tuple[str, ...]
) -> tuple[Sample, ...]:
    """The golden samples that fit a request equally well; empty where none may stand in.

    Never one above ``max_rating``, and one of last resort only if there is no other; of those, the
    ones closest to it, of those, the ones that share most tags.
    """
    allowed = [sample for sample in samples if sample.rating.rank <= max_rating.rank]
    allowed = [sample for sample in allowed if not sample.last_resort] or allowed
    if not allowed:
        return ()
    closest = max(sample.rating.rank for sample in allowed)
    near = [sample for sample in allowed if sample.rating.rank == closest]
    shared = max(len(set(sample.tags) & set(tags)) for sample in near)
    return tuple(sample for sample in near if len(set(sample.tags) & set(tags)) == shared)


def choose(
    samples: tuple[Sample, ...], *, max_rating: Rating, tags: tuple[str, ...], key: str
) -> Sample | None:
    """The golden sample for a request: of :func:`shortlist`, the one that ``key`` picks; the same for the same key."""
    best = shortlist(samples, max_rating=max_rating, tags=tags)
    return best[fingerprint.pick(len(best), key)] if best else None


def tags_of(asked: request.GenerationRequest | None) -> tuple[str, ...]:
    """The tags that a golden sample is compared with: the request's own, and the moods of its scenes."""
    return (*asked.tags, *(each.casefold() for each in asked.moods.values())) if asked else ()


async def answer(  # noqa: PLR0911 - one way out per mode
    ending: FailedRequest, *, samples: Samples, contents: Contents
) -> ev.Result:
    """Build the result for the request's fallback mode."""
    code = ending.error.code
    if code is ErrorCode.GEN_CANCELLED:
        return _result(ending, Status.CANCELLED, Origin.NONE, ending.error.message)
    if code is ErrorCode.GEN_INVALID_REQUEST:
        return _result(ending, Status.REJECTED, Origin.NONE, ending.error.message)
    mode = ending.plan.then if ending.plan.mode is FallbackMode.RETRY else ending.plan.mode
    why = f"{code}: {ending.error.message}"
    if ending.lost and ending.lost not in why:
        why = f"{why}; {ending.lost}"
    match mode:
        case FallbackMode.GOLDEN_SAMPLE | FallbackMode.RETRY:
            return await _golden(ending, why, samples, contents)
        case FallbackMode.DEFAULT_CONTENT:
            return await _default(ending, why, samples, contents)
        case FallbackMode.SKIP:
            after = ending.asked.scene_to if ending.asked else None
            target = f"scene {after.id}" if after else "the target"
            return _result(ending, Status.SKIPPED, Origin.NONE, f"{why}; skipped: go on with {target}")
        case FallbackMode.PLACEHOLDER:
            return await _placeholder(ending, why, contents)
        case FallbackMode.NONE:
            gave_up = ending.error.stage == "validate-repair"
            status = Status.FAIL_VALIDATION if gave_up else Status.FAILED
            return _result(ending, status, Origin.NONE, f"{why}; the fallback mode is none")
        case _ as never:
            assert_never(never)


async def _golden(ending: FailedRequest, why: str, samples: Samples, contents: Contents) -> ev.Result:
    found = choose(
        samples.of_kind(ending.kind),
        max_rating=ending.rating.effective,
        tags=tags_of(ending.asked),
        key=ending.input_hash or ending.request_id,
    )
    if found is None:
        return await _placeholder(ending, f"{why}; no golden sample of kind {ending.kind} fits", contents)
    return _stand_in(ending, Origin.GOLDEN_SAMPLE, f"{why}; golden sample {found.name} stood in", found)


async def _default(ending: FailedRequest, why: str, samples: Samples, contents: Contents) -> ev.Result:
    wanted = ending.plan.default_content_id or ""
    found = samples.default_content(wanted)
    if found is None:
        return await _golden(ending, f"{why}; default content {wanted!r} is missing", samples, contents)
    if found.rating.rank > ending.rating.effective.rank:
        return await _golden(
            ending, f"{why}; default content {wanted!r} is rated too high", samples, contents
        )
    return _stand_in(ending, Origin.DEFAULT_CONTENT, f"{why}; default content {wanted} stood in", found)


def _stand_in(ending: FailedRequest, origin: Origin, reason: str, sample: Sample) -> ev.Result:
    disabled = ending.error.code is ErrorCode.GEN_PROVIDER_DISABLED
    return _result(
        ending,
        Status.CACHED_FALLBACK if disabled else Status.FAIL_FALLBACK,
        origin,
        reason,
        content=sample.content,
        content_hash=sample.hash,
        stand_in=StandIn(name=sample.name, hash=sample.hash),
    )


async def _placeholder(ending: FailedRequest, why: str, contents: Contents) -> ev.Result:
    schema = ending.asked.schema_ if ending.asked else None
    document = await contents.placeholder(ending.kind, schema)
    if not document:
        return _result(ending, Status.FAILED, Origin.NONE, f"{why}; no placeholder fits the schema")
    return _result(
        ending,
        Status.PLACEHOLDER,
        Origin.PLACEHOLDER,
        f"{why}; a placeholder stood in",
        content=document,
        content_hash=fingerprint.digest(document),
    )


def _without_scenes(ending: FailedRequest) -> tuple[str, ...]:
    asked = ending.asked is not None and ending.asked.scenes
    return ("no scenes were requested: the plot was not generated by a model",) if asked else ()


def _result(ending: FailedRequest, status: Status, origin: Origin, reason: str, **content: Any) -> ev.Result:
    brief, trail = ending.brief, ending.trail
    last = trail.attempts[-1] if trail.attempts else None
    return ev.Result(
        request_id=ending.request_id,
        kind=ending.kind,
        status=status,
        origin=origin,
        reason=reason,
        error=ending.error,
        attempts=trail.attempts,
        meta=Meta(
            provider=last.provider if last else None,
            model=last.model if last else None,
            seed=brief.freeform.seed if brief else None,
            prompt_version=brief.prompt_version if brief else None,
            prompt_hash=brief.prompt_hash if brief else None,
            cache_key=brief.cache_key if brief else None,
            rating=ending.rating,
            cost=Cost(tokens=trail.tokens, time_ms=trail.time_ms, amount=trail.amount),
            warnings=(*trail.warnings, *_without_scenes(ending)),
            replay_of=ending.asked.replay_of if ending.asked else None,
            patched_by=brief.lineage.patched_by if brief and brief.lineage else None,
            experiment=ending.experiment,
            input_hash=ending.input_hash,
            requested_at_ms=ending.requested_at_ms,
        ),
        **content,
    )
