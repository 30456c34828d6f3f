"""Does a message say who published it, and may they?

Whoever reaches a broker without permissions can publish as any stage.  Nothing here keeps them from it;
what contradicts itself is counted, so that an operator hears of it.
"""

from __future__ import annotations

import re
from typing import Any, Final

from contracts import envelope, pipeline, subjects
from contracts.envelope import Received
from stages.audit.fold import Anomaly

#: A message of an event that somebody else publishes.
SOURCE: Final = "source"
#: Its headers name another message than the one that it is.
IDENTITY: Final = "identity"

#: Characters of a header that are told.
_SHOWN: Final = 100


def anomaly(received: Received[Any]) -> Anomaly | None:
    """What a message of the pipeline's own says of itself that cannot be; ``None``: nothing.

    Args:
        received: any stored event; what clients and the broker publish themselves is not asked.
    """
    row = pipeline.ROW_OF.get(received.name)
    if row is None or not set(row.published_by) <= set(pipeline.STAGES):
        return None
    headers = received.headers
    source = headers.get("ce-source")
    allowed = [f"{envelope.SOURCE}/{stage}" for stage in row.published_by]
    if source not in allowed:
        said = "no ce-source" if source is None else f"ce-source {source[:_SHOWN]!r}"
        return _of(received, SOURCE, f"{said}; {received.name} is published by {', '.join(row.published_by)}")
    ident, stage = headers.get("ce-id", ""), source.partition("/")[2]
    # <request>:<sequence of the request>:<stage>:<event>:<attempt>; older ones have no sequence.
    wanted = rf"{re.escape(received.request_id)}:(\d+:)?{stage}:{received.name}:.+"
    if re.fullmatch(wanted, ident) is None:
        return _of(received, IDENTITY, f"ce-id {ident[:_SHOWN]!r} names another message")
    deduplicated = headers.get(envelope.MSG_ID, ident)
    if deduplicated != ident:
        return _of(received, IDENTITY, f"Nats-Msg-Id {deduplicated[:_SHOWN]!r} contradicts ce-id {ident!r}")
    return None


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
