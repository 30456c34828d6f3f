"""Outcomes: what a handler asks the runner to do.

A handler returns one of these; it never publishes, acknowledges, logs or reads a clock.
"""

from __future__ import annotations

from typing import Any

import msgspec

from contracts.errors import ErrorCode
from contracts.events import Cancelled, Event


class Emit(msgspec.Struct, frozen=True, kw_only=True):
    """Publish these events for the request at hand, in order, then acknowledge.

    No events: there is nothing left to do.
    """

    events: tuple[Event, ...] = ()
    #: Milliseconds of it that a helper task took, which a request with less time is spared.
    aside_ms: float = 0.0


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """Let the broker publish ``event`` at a later time, then acknowledge.

    One schedule per ``slot`` of a request exists; setting it twice is refused by the broker and
    changes nothing.
    """

    event: Event
    #: Milliseconds since the epoch.
    at_ms: int
    #: Tells the request's timers apart; empty for the deadline.
    slot: str = ""


class Fail(msgspec.Struct, frozen=True, kw_only=True):
    """The stage gives up: ``failed`` goes out and the fallback takes over."""

    code: ErrorCode
    message: str
    #: Unusable output, for triage.
    evidence: str | None = None
    #: Also leave a dead letter, so that an operator can look at it and replay it.
    letter: bool = False
    #: What happened in this stage, the trail so far included.
    trail: Any = None
    #: What is published before it.
    events: tuple[Event, ...] = ()


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """Not now: run the same event again later, as its next attempt; past the limit it fails."""

    code: ErrorCode
    message: str
    trail: Any = None
    #: Seconds to wait at least, where somebody asked for it.
    after_s: float = 0.0


class Reject(msgspec.Struct, frozen=True, kw_only=True):
    """The input is refused: a dead letter, and for a first request a ``rejected`` result."""

    code: ErrorCode
    message: str
    #: The fields at fault, each with a message; none: it is no single field.
    faults: tuple[tuple[str, str], ...] = ()


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """Not now, and nothing went wrong: give out the same message again later."""

    seconds: float
    #: What is waited for.
    why: str
    #: It happens every day, and is not worth a line of the log.
    expected: bool = False


class Submit(msgspec.Struct, frozen=True, kw_only=True):
    """A request of the pipeline's own; an id that is used already is left as it is."""

    kind: str
    request_id: str
    body: bytes


class Cancel(msgspec.Struct, frozen=True, kw_only=True):
    """Nobody wants the content of another request any more."""

    kind: str
    request_id: str
    event: Cancelled


class Delegate(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for other requests, or call them off; then look again, or acknowledge."""

    orders: tuple[Submit | Cancel, ...] = ()
    #: Seconds until the same message is given out again; ``None``: it is done with.
    again_s: float | None = None


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Write ``row`` to the sink of the stage, then acknowledge."""

    row: Any


Outcome = Emit | Schedule | Fail | Retry | Reject | Wait | Delegate | Record
