"""Anomalies: messages whose headers contradict them.

On a broker without permissions anybody can publish as any stage.  Nothing here prevents it; contradictions
are counted and reported to the operator.
"""

from __future__ import annotations

from typing import Any, Final

from contracts import envelope, pipeline, subjects
from contracts import events as ev
from contracts.envelope import Received
from stages.audit.fold import Anomaly

#: A message of an event that somebody else publishes.
SOURCE: Final = "source"
#: Its headers name another message than the one that it is.
IDENTITY: Final = "identity"

#: Characters of a header that are shown.
_SHOWN: Final = 100
#: Who may publish what clients do not, by event.
_SOURCES: Final = {
    row.event: frozenset(f"{envelope.SOURCE}/{stage}" for stage in row.published_by)
    for row in pipeline.ROWS
    if set(row.published_by) <= {*pipeline.STAGES, pipeline.OPERATOR}
}


def anomaly(received: Received[Any]) -> Anomaly | None:
    """What a message of the pipeline's own says of itself that cannot be; ``None``: nothing.

    Args:
        received: any stored event; what clients and the broker publish themselves is not asked.
    """
    allowed = _SOURCES.get(received.name)
    if allowed is None:
        return None
    if is_misplaced(received):
        place = subjects.gen(subjects.answer(received.request_id), received.kind, received.request_id)
        return _of(received, SOURCE, f"the result of this request belongs on {place}")
    headers = received.headers
    source = headers.get("ce-source", "")
    if source not in allowed:
        said = f"ce-source {source[:_SHOWN]!r}" if source else "no ce-source"
        return _of(received, SOURCE, f"{said}; {received.name} is published by {', '.join(sorted(allowed))}")
    ident, stage = headers.get("ce-id", ""), source.partition("/")[2]
    if not _names(ident, received.request_id, f"{stage}:{received.name}:"):
        return _of(received, IDENTITY, f"ce-id {ident[:_SHOWN]!r} names another message")
    deduplicated = headers.get(envelope.MSG_ID, ident)
    if deduplicated != ident:
        return _of(received, IDENTITY, f"Nats-Msg-Id {deduplicated[:_SHOWN]!r} contradicts ce-id {ident!r}")
    return None


def is_misplaced(received: Received[Any]) -> bool:
    """Whether a result is not where the request's result is looked for: a shadow's among results, or the reverse."""
    return isinstance(received.event, ev.Result) and received.name != subjects.answer(received.request_id)


def _names(ident: str, request_id: str, published: str) -> bool:
    # <request>:<sequence of the request>:<stage>:<event>:<attempt>; older ones have no sequence.
    if not ident.startswith(f"{request_id}:"):
        return False
    rest = ident[len(request_id) + 1 :]
    if not rest.startswith(published):
        sequence, _, rest = rest.partition(":")
        if not sequence.isdecimal():
            return False
    return rest.startswith(published) and len(rest) > len(published)


def _of(received: Received[Any], kind: str, detail: str) -> Anomaly:
    return Anomaly(
        kind=kind,
        stream=received.stream,
        created_ms=received.stream_created_ms,
        sequence=received.sequence,
        at_ms=received.time_ms,
        subject=subjects.gen(received.name, received.kind, received.request_id),
        detail=detail,
    )
