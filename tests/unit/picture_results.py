"""One result of each origin, with a small level as its content."""

from __future__ import annotations

from contracts.errors import ErrorCode
from contracts.result import ErrorInfo, Meta, Origin, ResultBody, StandIn, Status

_LEVEL = {"scene_name": "Small", "entities": [{"type": "platform", "id": "p1", "x": 0, "y": 0}]}
_STATUS = {
    Origin.LIVE: Status.SUCCESS,
    Origin.CACHE: Status.CACHED,
    Origin.SCRIPTED: Status.SUCCESS,
    Origin.GOLDEN_SAMPLE: Status.FAIL_FALLBACK,
    Origin.DEFAULT_CONTENT: Status.FAIL_FALLBACK,
    Origin.PLACEHOLDER: Status.PLACEHOLDER,
    Origin.NONE: Status.FAILED,
}


def result_of(origin: Origin) -> ResultBody:
    """A result with this origin."""
    generated = origin in (Origin.LIVE, Origin.CACHE, Origin.SCRIPTED)
    prepared = origin in (Origin.GOLDEN_SAMPLE, Origin.DEFAULT_CONTENT)
    away = ErrorInfo(code=ErrorCode.GEN_PROVIDER_UNAVAILABLE, stage="freeform-gen", message="away")
    return ResultBody(
        request_id="drawn-1",
        kind="layout",
        status=_STATUS[origin],
        origin=origin,
        reason="the model is away" if origin not in (Origin.LIVE, Origin.CACHE) else None,
        content=_LEVEL if origin is not Origin.NONE else None,
        content_hash="h" if origin is not Origin.NONE else None,
        error=None if generated else away,
        stand_in=StandIn(name="layout_x", hash="h") if prepared else None,
        meta=Meta(
            provider="scripted" if origin is Origin.SCRIPTED else "local",
            model="house",
            generated_for="earlier" if origin is Origin.CACHE else None,
        ),
    )
