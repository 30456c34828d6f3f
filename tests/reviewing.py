"""Results in an audit, for tests of their review."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Engine

from contracts.policy import fingerprint
from contracts.result import Meta
from contracts.reviews import ReviewMode, ReviewScore
from infra.app.review_desk import ReviewDesk, ReviewOutcome
from infra.inspect.request_filter import RequestFilter
from infra.stores import database, rows
from stages.audit.fold import End, RequestFacts, RequestRecord

SAMPLES = Path(__file__).parents[1] / "golden_samples"
START_MS = 1_763_000_000_000
EVERYTHING = RequestFilter()
KIND = "dialogue"


def dialogue(title: str) -> dict[str, Any]:
    """A dialogue like a golden sample, and no golden sample."""
    found = json.loads((SAMPLES / "sample_dialogue_airlock.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found | {"title": title}


def record(
    request_id: str,
    *,
    at: int = 0,
    content: Any = None,
    workspace: str | None = None,
    origin: str = "live",
    input_hash: str | None = None,
    left_out: bool = False,
    asked: dict[str, Any] | None = None,
    **meta: Any,
) -> RequestRecord:
    """A request and its result; ``at``: seconds after :data:`START_MS`."""
    time_ms = START_MS + at * 1000
    digest = input_hash or fingerprint.digest(request_id)
    shown = dialogue(request_id) if content is None else content
    fallen = origin not in ("live", "cache", "scripted")
    status = {"live": "success", "scripted": "success", "cache": "cached"}.get(origin, "fail_fallback")
    result = {
        "request_id": request_id,
        "kind": KIND,
        "status": status,
        "origin": origin,
        "content": None if left_out else shown,
        "content_hash": fingerprint.digest(shown),
        "error": {"code": "GEN_TIMEOUT", "stage": "freeform-gen", "message": "late"} if fallen else None,
        "attempts": [],
        "meta": msgspec.to_builtins(Meta(provider="server", model="m1", prompt_version="layout@1")) | meta,
    }
    if left_out:
        result["content_left_out"] = True
    return RequestRecord(
        request_id=request_id,
        kind=KIND,
        life_ms=time_ms,
        asked=RequestFacts(
            sequence=1,
            kind=KIND,
            at_ms=time_ms,
            input_hash=digest,
            prompt="a forest with three coins",
            workspace=workspace,
            parameters=asked or {},
        ),
        end=End(stream="EVENTS", created_ms=1, sequence=at + 1, at_ms=time_ms + 50, result=result),
    )


def store(engine: Engine, records: Sequence[RequestRecord]) -> None:
    """Put them into an audit with its tables."""
    with database.writing(engine) as connection:
        rows.fold(connection, list(records))


def score_next(
    engine: Engine,
    reviewer: str,
    *scores: int,
    request_id: str | None = None,
    tags: tuple[str, ...] = (),
    now_ms: int = START_MS,
) -> ReviewOutcome:
    """Score what a reviewer sees next, alone or as a pair."""
    desk = ReviewDesk(engine, reviewer)
    mode = ReviewMode.PAIR if len(scores) > 1 else ReviewMode.SINGLE
    found = desk.next(RequestFilter(request_id=request_id), mode, now_ms=now_ms)
    assert found.item is not None
    given = [ReviewScore(score=each, tags=tags) for each in scores]
    return desk.decide(found.item.item, given, keeps_words=True, now_ms=now_ms)
