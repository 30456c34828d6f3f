"""Trace context of messages: the W3C header, a trace for requests without one, and links between traces."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

import msgspec
from understudy_client.protocol import TRACEPARENT, child_of, trace_id

#: ``traceparent`` of the message that made a stage publish this request; this request has a trace of its own.
TRACELINK: Final = "tracelink"
_SAMPLED: Final = 1


class TraceContext(msgspec.Struct, frozen=True, kw_only=True):
    """Which trace the work on a message belongs to."""

    #: 32 hexadecimal digits.
    trace_id: str
    #: Span that published the message, 16 digits; ``None``: the work is the trace's first span.
    parent_id: str | None = None
    #: ``traceparent`` of the span in another trace that led to this one.
    link: str | None = None
    #: False: the client does not want the trace to be recorded.
    sampled: bool = True

    @property
    def traceparent(self) -> str:
        """What messages that follow from this one are children of."""
        return f"00-{self.trace_id}-{self.parent_id or self.trace_id[16:]}-{int(self.sampled):02x}"


def read_context(
    headers: Mapping[str, str] | None, *, subject: str, sequence: int, time_ms: int
) -> TraceContext:
    """The context of a stored message; every reader of the message gets the same.

    A message without a valid header gets a trace that follows from its place in the log.

    Args:
        headers: the message's headers.
        subject: its subject.
        sequence: its sequence in the stream.
        time_ms: the broker's timestamp, ms since the epoch.
    """
    headers = headers or {}
    found = trace_id(headers)
    if found is None:
        place = hashlib.sha256(f"{subject} {sequence} {time_ms}".encode())
        return TraceContext(trace_id=place.hexdigest()[:32])
    parent = headers[TRACEPARENT]
    sampled = bool(int(parent[-2:], 16) & _SAMPLED)
    link = headers.get(TRACELINK)
    if link is not None and trace_id({TRACEPARENT: link}) is not None:
        return TraceContext(trace_id=found, link=link, sampled=sampled)
    return TraceContext(trace_id=found, parent_id=parent[36:52], sampled=sampled)


def start_linked_trace(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers of a request that another request leads to: a trace of its own, linked to the span in the other's.

    Args:
        headers: its headers, with the other request's trace.
    """
    link = headers[TRACEPARENT]
    return {**headers, TRACEPARENT: child_of(None)[:-2] + link[-2:], TRACELINK: link}
