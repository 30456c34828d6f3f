"""What does audit get to see of one request, from its arrival to its result?"""

from __future__ import annotations

import hashlib
from collections.abc import Coroutine, Sequence
from typing import Any

import msgspec

from contracts import envelope, pipeline, request
from contracts import events as ev
from contracts.envelope import Received, Requested
from contracts.errors import ErrorCode
from contracts.outcome import Record as Recorded
from contracts.result import Cost, ErrorInfo, Meta, Origin, StandIn, Status
from contracts.usage import Attempt, Tokens
from stages.audit.fold import RequestRecord
from stages.audit.handle import handle

#: When the first request arrives, ms since the epoch.
START_MS = 1_763_000_000_000
BODY = b'{"prompt":"a forest with three coins","seed":7,"params":{"topP":0.5}}'
ASKED = request.read(BODY, "layout")
CREATED_MS = {pipeline.REQUESTS: 11, pipeline.EVENTS: 22, pipeline.DEAD: 33}

_PARAMS = ev.Params(temperature=0.8, top_p=0.5, max_tokens=100, seed=7, timeout_s=1)


def decided(handling: Coroutine[Any, Any, Any]) -> Any:
    """What a handler returns that waits for nobody."""
    try:
        handling.send(None)
    except StopIteration as ended:
        return ended.value
    raise AssertionError("it waits for somebody")


def brief(at_ms: int = START_MS, **changes: Any) -> ev.Brief:
    """A brief of :data:`ASKED`, requested at a time."""
    return ev.Brief(
        **{
            "request_seq": 1,
            "requested_at_ms": at_ms,
            "deadline_at_ms": at_ms + 60_000,
            "input_hash": ASKED.input_hash("layout"),
            "prompt": "Write a layout: a forest with three coins",
            "prompt_hash": "f" * 64,
            "prompt_version": "layout@1",
            "freeform": _PARAMS,
            "structuring": _PARAMS,
            **changes,
        }
    )


def prose(text: str = "A forest. Three coins.", provider: str = "scripted") -> ev.Draft:
    """What a provider wrote."""
    return ev.Draft(text=text, provider=provider, model="script", finish_reason="stop")


def success(request_id: str, at_ms: int = START_MS, **changes: Any) -> ev.Result:
    """A result of the scripted provider."""
    return ev.Result(
        **{
            "request_id": request_id,
            "kind": "layout",
            "status": Status.SUCCESS,
            "origin": Origin.SCRIPTED,
            "reason": "a test double",
            "content": {"scene_name": "Forest", "entities": [{"id": "coin1"}]},
            "content_hash": "c" * 64,
            "attempts": (Attempt(provider="scripted", model="script", time_ms=3.0),),
            "meta": Meta(
                provider="scripted",
                model="script",
                prompt_hash="f" * 64,
                prompt_version="layout@1",
                input_hash=ASKED.input_hash("layout"),
                requested_at_ms=at_ms,
                cost=Cost(tokens=Tokens(prompt=12, completion=34), amount=0.25),
            ),
            **changes,
        }
    )


def stand_in(request_id: str, code: ErrorCode, **meta: Any) -> ev.Result:
    """A golden sample that stood in after a failure."""
    return ev.Result(
        request_id=request_id,
        kind="layout",
        status=Status.FAIL_FALLBACK,
        origin=Origin.GOLDEN_SAMPLE,
        reason="the model failed",
        content={"scene_name": "Sample"},
        content_hash="d" * 64,
        error=ErrorInfo(code=code, stage="freeform-gen", message="no answer"),
        attempts=(Attempt(provider="chain-a", model="a-1", code=code),),
        stand_in=StandIn(name="sample_simple_geometry.json", hash="e" * 64),
        meta=Meta(**{"requested_at_ms": START_MS, **meta}),
    )


def letter(subject: str, *, stream: str, sequence: int, body: bytes, at_ms: int = START_MS) -> ev.DeadLetter:
    """A dead letter about one message."""
    return ev.DeadLetter(
        code=ErrorCode.GEN_INVALID_REQUEST,
        reason="cannot be read",
        stage="context-build",
        stream=stream,
        sequence=sequence,
        subject=subject,
        time_ms=at_ms,
        deliveries=1,
        body=body,
        sha256=hashlib.sha256(body).hexdigest(),
    )


def received(
    event: Any,
    request_id: str = "r-1",
    *,
    name: str | None = None,
    sequence: int,
    at_ms: int = START_MS,
    kind: str = "layout",
    headers: dict[str, str] | None = None,
) -> Received[Any]:
    """An event as the runner hands it over, with the headers of the stage that publishes it first."""
    if isinstance(event, bytes):
        event, name = Requested(body=event), "requested"
    if isinstance(event, ev.DeadLetter):
        name = "dead"
    stream = {"requested": pipeline.REQUESTS, "dead": pipeline.DEAD}.get(name or "", pipeline.EVENTS)
    if headers is None:
        headers = headers_of(name or event.name, kind, request_id)
    return Received(
        event=event,
        name=name or event.name,
        kind=kind,
        request_id=request_id,
        stream=stream,
        sequence=sequence,
        time_ms=at_ms,
        stream_created_ms=CREATED_MS[stream],
        headers=headers,
    )


def headers_of(name: str, kind: str, request_id: str) -> dict[str, str]:
    """The headers of the stage that publishes an event first; none for what others publish."""
    row = pipeline.ROW_OF.get(name)
    if row is None or row.body is None:
        return {}
    return envelope.headers(
        name=name,
        version=row.body.version,
        kind=kind,
        request_id=request_id,
        stage=row.published_by[0],
        attempt=1,
        time="2026-01-01T00:00:00Z",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )


def life(request_id: str = "r-1", *, first: int = 1, at_ms: int = START_MS) -> list[Received[Any]]:
    """A request that needs a re-ask and succeeds.

    Args:
        request_id: its id.
        first: sequence of its first event in both streams; it takes eight.
        at_ms: when it arrives.
    """
    know, draft, document = brief(at_ms), prose(), prose('{"scene_name": ')
    events = [
        ev.ContextBuilt(attempt=1, brief=know),
        ev.Clamped(requested="restricted", effective="sfw"),
        ev.Drafted(attempt=1, brief=know, draft=draft),
        ev.Structured(attempt=1, brief=know, draft=draft, document=document),
        ev.Invalid(
            attempt=1, brief=know, draft=draft, document=document, errors=("not JSON", "cut off"), reask=1
        ),
        ev.Structured(
            attempt=1, brief=know, draft=draft, document=prose('{"scene_name": "Forest"}'), reask=1
        ),
        success(request_id, at_ms),
        ev.Deadline(request_seq=first, deadline_ms=60_000),
    ]
    return [
        received(BODY, request_id, sequence=first, at_ms=at_ms),
        *(
            received(event, request_id, sequence=first + step, at_ms=at_ms + 10 * (step + 1))
            for step, event in enumerate(events)
        ),
    ]


def records(events: Sequence[Received[Any]], *, store_prompts: bool = True) -> list[RequestRecord]:
    """What audit makes of events, those that say nothing left out."""
    outcomes = [handle(event, store_prompts=store_prompts) for event in events]
    return [outcome.row for outcome in outcomes if isinstance(outcome, Recorded)]


def encoded(event: Any) -> bytes:
    """An event's body."""
    return event.body if isinstance(event, Requested) else msgspec.json.encode(event)
