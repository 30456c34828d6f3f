"""Facts for spans: what may be said of a stage's work on a message, without any text of prompts or contents."""

from __future__ import annotations

from typing import Final

import msgspec

from contracts import events as ev
from contracts.outcome import Emit, Fail, Outcome
from contracts.result import ResultBody
from infra.telemetry.events import MessageEnding
from infra.telemetry.trace_context import TraceContext
from infra.telemetry.trace_events import CallFacts, MessageTraced, SentMessage

_TOKENS: Final = 4
_INTAKE: Final = "requested"


class RelatedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Another request that this one refers to by its id."""

    request_id: str
    #: ``replay`` or ``cache``.
    relation: str


class WorkFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A stage's work on one message."""

    context: TraceContext
    stage: str
    #: Event name, content kind and id from the subject.
    name: str
    kind: str
    request_id: str
    stream: str
    seq: int
    deliveries: int
    began_ns: int
    ended_ns: int
    ending: MessageEnding
    #: Error code of the outcome or of the result.
    code: str = ""
    #: Of the result that was published.
    status: str = ""
    origin: str = ""
    calls: tuple[CallFacts, ...] = ()
    sent: tuple[SentMessage, ...] = ()
    related: RelatedRequest | None = None


def read_facts(event: MessageTraced) -> WorkFacts:
    """The facts of an event."""
    _, name, kind, request_id, *_ = *event.subject.split(".", _TOKENS), "", "", ""
    result = find_result(event.outcome)
    code = getattr(event.outcome, "code", None)
    if code is None and result is not None and result.error is not None:
        code = result.error.code
    return WorkFacts(
        context=event.context,
        stage=event.stage,
        name=name,
        kind=kind,
        request_id=request_id,
        stream=event.stream,
        seq=event.seq,
        deliveries=event.deliveries,
        began_ns=event.began_ns,
        ended_ns=event.ended_ns,
        ending=event.ending,
        code=str(code or ""),
        status="" if result is None else str(result.status),
        origin="" if result is None else str(result.origin),
        calls=event.calls,
        sent=event.sent,
        related=_related(event.outcome, result, request_id) if name == _INTAKE else None,
    )


def find_result(outcome: Outcome | None) -> ResultBody | None:
    """The request's own result, if an outcome publishes it."""
    for event in outcome.events if isinstance(outcome, Emit | Fail) else ():
        if isinstance(event, ResultBody) and not isinstance(event, ev.Revised):
            return event
    return None


def _related(outcome: Outcome | None, result: ResultBody | None, request_id: str) -> RelatedRequest | None:
    """The request that is repeated, or the one whose content answers this one; known when a request is taken in."""
    if result is not None and result.meta.generated_for not in (None, request_id):
        return RelatedRequest(request_id=str(result.meta.generated_for), relation="cache")
    repeated = None if result is None else result.meta.replay_of
    for event in outcome.events if isinstance(outcome, Emit) else ():
        repeated = repeated or getattr(getattr(event, "brief", None), "replay_of", None)
    return None if repeated is None else RelatedRequest(request_id=repeated, relation="replay")
