"""The pipeline as tables: stages and events; who publishes what, who consumes it, where it is kept.

Everything is built from them and from the buckets (:mod:`contracts.bucket_table`): routes, consumers, topology,
permissions and docs/subjects.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

import msgspec

from contracts import events as ev
from contracts.helper_tasks import ENHANCEMENT, EVALUATION
from contracts.kinds import KINDS

CLIENT: Final = "client"
BROKER: Final = "broker"
#: Whoever runs the pipeline's commands: warm-up, purges, replays.
OPERATOR: Final = "operator"


class Guard(StrEnum):
    """What the runner checks before it calls a stage's handler."""

    #: A request: is there time for it, is its id acceptable, does it own the id?
    INTAKE = "intake"
    #: Is there time for a model call (rule 15), and no result yet (rule 7)?
    WORTH_A_CALL = "worth_a_call"
    #: A deadline: is its request unanswered, and nobody answering it just now?
    OPEN_DEADLINE = "open_deadline"


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """One stage: what the runner and the process plan do differently for it."""

    #: As on the command line, in dead-letter subjects and as the consumers' name.
    name: str
    #: What is checked before its handler is called.
    guards: tuple[Guard, ...] = ()
    #: Events whose unreadable messages it makes dead letters of; one stage for each stored event.
    writes_letters_for: tuple[str, ...] = ()
    #: Helper task that it has a provider for where a route names one.
    helper: str = ""
    #: It calls a provider: its work stops when the request gets a result, and its usual duration is known.
    expensive: bool = False
    #: It never emits ``failed`` (rule 13), and heeds requests of every version.
    unfailing: bool = False
    #: It has nobody to hand over to: what would be ``failed`` elsewhere is a ``failed`` result here.
    answers: bool = False
    #: It arms deadlines, and keeps them in memory beside the broker's timers.
    arms_deadlines: bool = False
    #: It writes rows to the database, and also of requests that have their result.
    records: bool = False
    #: A process of its own (rule 14, docs/adr/0006).
    apart: bool = False
    #: Short leases and short pulls: a frozen copy attracts little, and a killed one costs little (rule 14).
    short_leases: bool = False


STAGE_ROWS: Final = (
    Stage(name="context-build", guards=(Guard.INTAKE,), writes_letters_for=("requested", "plotted")),
    Stage(
        name="freeform-gen",
        guards=(Guard.WORTH_A_CALL,),
        writes_letters_for=("context_built",),
        helper=ENHANCEMENT,
        expensive=True,
    ),
    Stage(
        name="structuring",
        guards=(Guard.WORTH_A_CALL,),
        writes_letters_for=("drafted", "invalid"),
        expensive=True,
    ),
    Stage(name="validate-repair", writes_letters_for=("structured",), helper=EVALUATION),
    Stage(
        name="fallback",
        guards=(Guard.OPEN_DEADLINE,),
        writes_letters_for=("failed", "deadline", "cancelled"),
        unfailing=True,
        answers=True,
        arms_deadlines=True,
        apart=True,
        short_leases=True,
    ),
    Stage(
        name="audit",
        writes_letters_for=("timer", "clamped", "result", "shadowed", "revised"),
        unfailing=True,
        records=True,
        apart=True,
    ),
)

STAGE_OF: Final = {row.name: row for row in STAGE_ROWS}
#: Stage names in the order of the pipeline.
STAGES: Final = tuple(STAGE_OF)
#: Stages that call a provider.
EXPENSIVE: Final = frozenset(row.name for row in STAGE_ROWS if row.expensive)
#: Stages that take in requests.
INTAKE: Final = frozenset(row.name for row in STAGE_ROWS if Guard.INTAKE in row.guards)
#: Stages that arm deadlines.
DEADLINE_KEEPERS: Final = frozenset(row.name for row in STAGE_ROWS if row.arms_deadlines)
#: Stages that write rows to the database.
RECORDERS: Final = frozenset(row.name for row in STAGE_ROWS if row.records)


def helpers(stages: Iterable[str]) -> frozenset[str]:
    """The helper tasks of some stages."""
    return frozenset(helper for stage in stages if (helper := STAGE_OF[stage].helper))


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
    #: Consuming stages and parties.
    consumed_by: tuple[str, ...]
    #: Stream that keeps it; ``None`` for core NATS.
    stream: str | None
    #: Body; ``None`` where the body is the request model of ``contracts/request.py``.
    body: type[ev.Event] | None
    #: One line for the generated documentation.
    says: str
    #: What makes it in a publisher's folder where that is not the body's own class: an outcome, of which the
    #: runner makes the event (infra/runner/effects.py), a function of contracts, or a port.
    made_by: tuple[str, ...] = ()


ROWS: Final = (
    Row(
        event="requested",
        # Context-build: the scenes of a plot.
        published_by=(CLIENT, "context-build"),
        consumed_by=("context-build", "fallback", "audit"),
        stream=REQUESTS,
        body=None,
        says="a client requests content; the body is the request",
        made_by=("Submit",),
    ),
    Row(
        event="timer",
        published_by=("fallback", "freeform-gen", "structuring"),
        # Audit for one thing: junk on this subject is no schedule and would keep one from being set.
        consumed_by=(BROKER, "audit"),
        stream=EVENTS,
        body=None,
        says="a broker schedule: a message for later, and its subject",
        made_by=("Schedule", "Retry"),
    ),
    Row(
        event="context_built",
        # Fallback: the next attempt; freeform-gen: a retry; validate-repair: another draft.
        published_by=("context-build", "fallback", "freeform-gen", "validate-repair"),
        consumed_by=("freeform-gen", "audit"),
        stream=EVENTS,
        body=ev.ContextBuilt,
        says="everything the model needs is decided",
        made_by=("Retry",),
    ),
    Row(
        event="clamped",
        published_by=("context-build",),
        consumed_by=("audit",),
        stream=EVENTS,
        body=ev.Clamped,
        says="the rating was lowered to the limit of world and user",
    ),
    Row(
        event="drafted",
        # Context-build: that of an earlier request, for a replay that starts at structuring.
        published_by=("context-build", "freeform-gen", "structuring"),
        consumed_by=("structuring", "audit"),
        stream=EVENTS,
        body=ev.Drafted,
        says="the model wrote its prose",
        made_by=("Retry",),
    ),
    Row(
        event="structured",
        # Context-build: that of an earlier request, for a replay that starts at validate-repair.
        published_by=("context-build", "structuring"),
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
        says="the document cannot be used; structuring runs again with the errors",
        made_by=("Retry",),
    ),
    Row(
        event="plotted",
        published_by=("validate-repair",),
        consumed_by=("context-build", "audit"),
        stream=EVENTS,
        body=ev.Plotted,
        says="a plot is valid; its scenes are requested before it ends",
        made_by=("ending",),
    ),
    Row(
        event="failed",
        published_by=("context-build", "freeform-gen", "structuring", "validate-repair"),
        consumed_by=("fallback", "audit"),
        stream=EVENTS,
        body=ev.Failed,
        says="a stage gave up on the request",
        made_by=("Fail", "Retry"),
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
        says="the client no longer needs the content",
    ),
    Row(
        event="result",
        published_by=("context-build", "validate-repair", "fallback"),
        consumed_by=(CLIENT, "audit"),
        stream=EVENTS,
        body=ev.Result,
        says="the one answer to the request",
        made_by=("Reject", "to_result", "answers_with"),
    ),
    Row(
        event="shadowed",
        published_by=("context-build", "validate-repair", "fallback"),
        consumed_by=("audit",),
        stream=EVENTS,
        body=ev.Shadowed,
        says="the one answer to a shadow, a rerun that no subscriber, cache or statistic sees",
        made_by=("Reject", "to_result", "answers_with", "Result"),
    ),
    Row(
        event="revised",
        # The operator: what was there before a replay that is undone.
        published_by=("context-build", "validate-repair", "fallback", OPERATOR),
        consumed_by=(CLIENT, "audit"),
        stream=EVENTS,
        body=ev.Revised,
        says="a replay succeeded: content for a request that the fallback had answered",
        made_by=("ending", "answers", "answers_with"),
    ),
    Row(
        event="progress",
        published_by=("freeform-gen", "structuring"),
        consumed_by=(CLIENT,),
        stream=None,
        body=ev.Progress,
        says="text as it is being written",
        made_by=("announce",),
    ),
    Row(
        event="shadow_progress",
        published_by=("freeform-gen", "structuring"),
        consumed_by=(OPERATOR,),
        stream=None,
        body=ev.ShadowProgress,
        says="text of a shadow as it is being written, for whoever runs it",
        made_by=("announce",),
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
    found += (Route(stage=row.name, stream=DEAD, subjects=("dead.>",)) for row in STAGE_ROWS if row.records)
    return tuple(found)


def stream_subjects(stream: str) -> tuple[str, ...]:
    """The subjects that a stream keeps."""
    if stream == DEAD:
        return ("dead.>", *ADVISORIES)
    if stream == REQUESTS:
        # Kind by kind: the broker refuses a mistyped kind and an id with a dot when they are published.
        return tuple(f"gen.{row.event}.{kind}.*" for row in ROWS if row.stream == stream for kind in KINDS)
    return tuple(f"gen.{row.event}.>" for row in ROWS if row.stream == stream)


def is_foreign(stream: str, subject: str) -> bool:
    """Whether a message of one of the pipeline's streams has a subject that the stream does not keep.

    Somebody who makes the broker deliver the messages of a stream to a subject of the pipeline has them stored, under
    their own subjects.  They are no events, whatever they say.
    """
    tokens = subject.split(".")
    if stream == DEAD and tokens[0] != "dead":
        return not subject.startswith(tuple(each.removesuffix(">") for each in ADVISORIES))
    if stream == DEAD:
        return False
    row = ROW_OF.get(tokens[1]) if tokens[0] == "gen" and len(tokens) > 2 else None  # noqa: PLR2004 - gen.<event>.…
    return row is None or row.stream != stream


def foreign_subjects(stream: str) -> tuple[str, ...]:
    """Filters for messages of a stream that it does not keep, as far as they come from what the pipeline knows."""
    others = [f"gen.{row.event}.>" for row in ROWS if row.stream is not None and row.stream != stream]
    dead = [] if stream == DEAD else ["dead.>", "$JS.>"]
    return (*others, *dead, "$KV.>", "$O.>")


def letter_writer(event: str) -> str | None:
    """The stage that writes the dead letter of an unreadable message of this event."""
    return _LETTER_WRITERS.get(event)


_LETTER_WRITERS: Final = {event: row.name for row in STAGE_ROWS for event in row.writes_letters_for}
