"""Who publishes which event, who consumes it, and where is it kept?

This table is what everything is built from: routes, consumers, topology, permissions and
docs/subjects.md.
"""

from __future__ import annotations

from typing import Final

import msgspec

from contracts import events as ev
from contracts.kinds import KINDS

CLIENT: Final = "client"
BROKER: Final = "broker"

#: Stage names as used on the command line, in dead-letter subjects and as consumer names.
STAGES: Final = (
    "context-build",
    "freeform-gen",
    "structuring",
    "validate-repair",
    "fallback",
    "audit",
)
#: Stages that call a provider: they look for a result before they start, and stop when one comes.
EXPENSIVE: Final = frozenset({"freeform-gen", "structuring"})
#: Stages that never emit ``failed`` themselves (rule 13).
UNFAILING: Final = frozenset({"fallback", "audit"})

REQUESTS: Final = "REQUESTS"
EVENTS: Final = "EVENTS"
DEAD: Final = "DEAD"

#: What the broker says when it gives up on a message; kept in DEAD.
ADVISORIES: Final = (
    "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>",
    "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.>",
)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One event of the pipeline."""

    #: Second token of the subject.
    event: str
    published_by: tuple[str, ...]
    #: Consuming stages; the first one writes the dead letter of a message nobody can read.
    consumed_by: tuple[str, ...]
    #: Stream that keeps it; ``None`` for core NATS.
    stream: str | None
    #: Body; ``None`` where the body is the request model of ``contracts/request.py``.
    body: type[ev.Event] | None
    #: One line for the generated documentation.
    says: str


ROWS: Final = (
    Row(
        event="requested",
        # Context-build: the scenes of a plot.
        published_by=(CLIENT, "context-build"),
        consumed_by=("context-build", "fallback", "audit"),
        stream=REQUESTS,
        body=None,
        says="somebody wants content; the body is the request",
    ),
    Row(
        event="timer",
        published_by=("fallback", "freeform-gen", "structuring"),
        # Audit for one thing: junk on this subject is no schedule and would keep one from being set.
        consumed_by=(BROKER, "audit"),
        stream=EVENTS,
        body=None,
        says="a broker schedule: what is published later, on which subject",
    ),
    Row(
        event="context_built",
        published_by=("context-build", "fallback", "freeform-gen"),
        consumed_by=("freeform-gen", "audit"),
        stream=EVENTS,
        body=ev.ContextBuilt,
        says="everything the model needs is decided",
    ),
    Row(
        event="clamped",
        published_by=("context-build",),
        consumed_by=("audit",),
        stream=EVENTS,
        body=ev.Clamped,
        says="the rating was lowered to what world and user allow",
    ),
    Row(
        event="drafted",
        published_by=("freeform-gen", "structuring"),
        consumed_by=("structuring", "audit"),
        stream=EVENTS,
        body=ev.Drafted,
        says="the model wrote its prose",
    ),
    Row(
        event="structured",
        published_by=("structuring",),
        consumed_by=("validate-repair", "audit"),
        stream=EVENTS,
        body=ev.Structured,
        says="the prose was turned into a document, not checked yet",
    ),
    Row(
        event="invalid",
        published_by=("validate-repair", "structuring"),
        consumed_by=("structuring", "audit"),
        stream=EVENTS,
        body=ev.Invalid,
        says="the document cannot be used; structuring is asked again, with the errors",
    ),
    Row(
        event="plotted",
        published_by=("validate-repair",),
        consumed_by=("context-build", "audit"),
        stream=EVENTS,
        body=ev.Plotted,
        says="a plot is good, and its scenes are asked for before it ends",
    ),
    Row(
        event="failed",
        published_by=("context-build", "freeform-gen", "structuring", "validate-repair"),
        consumed_by=("fallback", "audit"),
        stream=EVENTS,
        body=ev.Failed,
        says="a stage gave up on the request",
    ),
    Row(
        event="deadline",
        published_by=(BROKER,),
        consumed_by=("fallback", "audit"),
        stream=EVENTS,
        body=ev.Deadline,
        says="the request's time is up",
    ),
    Row(
        event="cancelled",
        published_by=(CLIENT, "context-build"),
        consumed_by=("fallback", "audit"),
        # Whatever clients publish is kept apart from EVENTS, whose schedules and roll-ups they must not reach.
        stream=REQUESTS,
        body=ev.Cancelled,
        says="nobody wants the content any more",
    ),
    Row(
        event="result",
        published_by=("context-build", "validate-repair", "fallback"),
        consumed_by=(CLIENT, "audit"),
        stream=EVENTS,
        body=ev.Result,
        says="the one answer to the request",
    ),
    Row(
        event="revised",
        published_by=("context-build", "validate-repair", "fallback"),
        consumed_by=(CLIENT, "audit"),
        stream=EVENTS,
        body=ev.Revised,
        says="a replay succeeded: real content for a request that a stand-in had answered",
    ),
    Row(
        event="progress",
        published_by=("freeform-gen", "structuring"),
        consumed_by=(CLIENT,),
        stream=None,
        body=ev.Progress,
        says="text as it is being written",
    ),
)

ROW_OF: Final = {row.event: row for row in ROWS}


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One durable consumer: what a stage reads from one stream."""

    stage: str
    stream: str
    subjects: tuple[str, ...]

    @property
    def durable(self) -> str:
        """The consumer's name on its stream."""
        return self.stage


def routes() -> tuple[Route, ...]:
    """Every durable consumer of the pipeline, in the table's order of stages and streams."""
    found: list[Route] = []
    for stage in STAGES:
        for stream in (REQUESTS, EVENTS):
            subjects = tuple(
                f"gen.{row.event}.>" for row in ROWS if row.stream == stream and stage in row.consumed_by
            )
            if subjects:
                found.append(Route(stage=stage, stream=stream, subjects=subjects))
    found.append(Route(stage="audit", stream=DEAD, subjects=("dead.>",)))
    return tuple(found)


def stream_subjects(stream: str) -> tuple[str, ...]:
    """The subjects that a stream keeps."""
    if stream == DEAD:
        return ("dead.>", *ADVISORIES)
    if stream == REQUESTS:
        # Kind by kind: the broker refuses a mistyped kind and an id with a dot when they are published.
        return tuple(f"gen.{row.event}.{kind}.*" for row in ROWS if row.stream == stream for kind in KINDS)
    return tuple(f"gen.{row.event}.>" for row in ROWS if row.stream == stream)


def letter_writer(event: str) -> str | None:
    """The stage that writes the dead letter of an unreadable message of this event."""
    row = ROW_OF.get(event)
    if row is None:
        return None
    return next((name for name in row.consumed_by if name in STAGES), None)
