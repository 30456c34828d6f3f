"""Timeline of a request: its events, their latencies, and why it ended as it did.

Built from the event log alone, without a database.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

import msgspec

from contracts import events as ev
from contracts import pipeline, revisions, scenes, subjects
from contracts.helper_tasks import EnhancementInfo, EvaluationInfo
from contracts.ports import RequestProgress
from contracts.result import ErrorInfo, Origin, SceneInfo, StandIn, Status
from contracts.usage import Attempt
from infra.inspect import record
from infra.inspect.record import LogRecord
from infra.nats.log import LogEntry

#: A record's states before its result.
PENDING: Final = "pending"
RUNNING: Final = "running"
#: None of its messages can be read.
UNREADABLE: Final = "unreadable"

_NS_PER_MS: Final = 1_000_000
#: Events that do not move a request on.
_ASIDE: Final = frozenset({"timer", "clamped", "revised", record.DEAD, record.ADVISORY})


class TimelineStep(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a request."""

    line: LogRecord
    #: Milliseconds since the request was stored.
    offset_ms: float
    #: Milliseconds since the event that caused this one; ``None`` where none did.
    latency_ms: float | None
    attempt: int | None
    #: What is unusual about its effect; else empty.
    note: str = ""


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """One request from its publication to its end."""

    request_id: str
    kind: str | None
    #: A :class:`~contracts.result.Status`, or ``pending``, ``running`` or ``unreadable``.
    status: str
    origin: Origin | None = None
    #: Why the content is not the model's.
    reason: str | None = None
    error: ErrorInfo | None = None
    attempts: tuple[Attempt, ...] = ()
    stand_in: StandIn | None = None
    #: A model's judgement of its content; ``None``: evaluation is off, or it has not ended.
    evaluation: EvaluationInfo | None = None
    #: What became of the rewriting of its wish or draft; ``None``: likewise.
    enhancement: EnhancementInfo | None = None
    replay_of: str | None = None
    #: A replay for comparison: no subscriber, cache or statistic sees its content.
    shadow: bool = False
    #: The stage that a replay starts at; ``None``: all stages work.
    from_stage: str | None = None
    #: The replay job that edited the request.
    patched_by: str | None = None
    #: The request that a cached result was generated for.
    generated_for: str | None = None
    #: The plot whose scene it is.
    scene_of: str | None = None
    #: Its scenes, each with its present status.
    scenes: tuple[SceneInfo, ...] = ()
    #: The replay that brought real content later, unless it was undone.
    revised_by: str | None = None
    #: The layer that set each field of its node: template, node, rules with their line, request.
    decided: tuple[ev.Decided, ...] = ()
    #: The stage that has to act next; ``None`` after the result.
    waiting_for: str | None = None
    steps: tuple[TimelineStep, ...] = ()


def find_plot(entries: Iterable[LogEntry]) -> ev.Plotted | None:
    """The event that lists the scenes of a plot; ``None`` for other requests."""
    bodies = (record.decode(each).body for each in entries if each.subject.startswith("gen.plotted."))
    return next((each for each in bodies if isinstance(each, ev.Plotted)), None)


def build(
    request_id: str, entries: Iterable[LogEntry], *, scenes_seen: Mapping[str, RequestProgress] | None = None
) -> Timeline | None:
    """Build a request's timeline from its messages; ``None`` without any.

    Args:
        request_id: the request.
        entries: its messages from all streams, in any order.
        scenes_seen: progress of the scenes of its plot, by id.
    """
    ordered = sorted(entries, key=lambda entry: (entry.time_ns, entry.stream, entry.sequence))
    lines = tuple(record.decode(entry) for entry in ordered)
    if not lines:
        return None
    request = min((one for one in lines if _is_request(one)), key=lambda one: one.seq or 0, default=None)
    ending = next(
        (one for one in lines if one.event == subjects.answer(request_id) and one.fault is None), None
    )
    steps = tuple(_step(index, lines, request, ending) for index in range(len(lines)))
    result = ending.body if ending is not None and isinstance(ending.body, ev.Result) else None
    revised = next((one.body.revised_by for one in reversed(lines) if isinstance(one.body, ev.Revised)), None)
    known = request or next((one for one in lines if one.kind is not None), lines[0])
    return Timeline(
        request_id=request_id,
        kind=known.kind,
        status=_status(lines, result),
        origin=result.origin if result else None,
        reason=result.reason if result else None,
        error=result.error if result else _last_error(lines),
        # A result at the deadline does not know the calls of the stages before it.
        attempts=max((result.attempts if result else (), _attempts(lines)), key=len),
        stand_in=result.stand_in if result else None,
        evaluation=result.meta.evaluation if result else None,
        enhancement=result.meta.enhancement if result else None,
        replay_of=_replay_of(request, result),
        shadow=_field(request, "shadow") is True,
        from_stage=_text_field(request, "from_stage", "fromStage"),
        patched_by=_text_field(request, "patched_by", "patchedBy"),
        generated_for=result.meta.generated_for if result else None,
        scene_of=_text_field(request, "scene_of", "sceneOf"),
        scenes=_scenes(lines, result, scenes_seen),
        revised_by=revisions.source(request_id, revised),
        decided=_decided(lines),
        waiting_for=None if result else _waiting_for(lines),
        steps=steps,
    )


def to_json(timeline: Timeline) -> dict[str, Any]:
    """The object that ``why --json`` prints."""
    events = [
        record.to_json(step.line)
        | {
            "stream": step.line.stream,
            "offset_ms": step.offset_ms,
            "latency_ms": step.latency_ms,
            "attempt": step.attempt,
            "note": step.note,
        }
        for step in timeline.steps
    ]
    fields: dict[str, Any] = msgspec.to_builtins(timeline)
    del fields["steps"]
    return fields | {"events": events}


def _is_request(one: LogRecord) -> bool:
    return one.event == "requested" and one.kind is not None


def _step(
    index: int, lines: tuple[LogRecord, ...], request: LogRecord | None, ending: LogRecord | None
) -> TimelineStep:
    this = lines[index]
    start = request or lines[0]
    return TimelineStep(
        line=this,
        offset_ms=_ms(this.time_ns - start.time_ns),
        latency_ms=_latency(this, lines[:index]),
        attempt=_attempt(this),
        note=_note(this, request, ending),
    )


def _latency(this: LogRecord, earlier: tuple[LogRecord, ...]) -> float | None:
    """Milliseconds from the cause to this event, with the time in the stage's queue."""
    if isinstance(this.body, ev.DeadLetter):
        return _ms(this.time_ns - this.body.time_ms * _NS_PER_MS)
    if this.stage not in pipeline.STAGES:
        return None
    answered = {row.event for row in pipeline.ROWS if this.stage in row.consumed_by} - {this.event}
    cause = next((one for one in reversed(earlier) if one.event in answered), None)
    return None if cause is None else _ms(this.time_ns - cause.time_ns)


def _attempt(this: LogRecord) -> int | None:
    if this.body is None or isinstance(this.body, ev.DeadLetter | ev.Result | ev.Revised):
        return None
    return getattr(this.body, "attempt", None)


def _note(this: LogRecord, request: LogRecord | None, ending: LogRecord | None) -> str:
    if this.fault is not None:
        return ""
    if _is_request(this) and request is not None and this is not request:
        same = (this.kind, this.data) == (request.kind, request.data)
        return "published again: no effect" if same else "the id is already used: refused"
    late = ending is not None and this is not ending and this.time_ns > ending.time_ns
    if late and this.event not in ("revised", record.DEAD, record.ADVISORY):
        return "after the result: no effect"
    return ""


def _status(lines: tuple[LogRecord, ...], result: ev.Result | None) -> str:
    if result is not None:
        return Status(result.status).value
    if all(one.fault is not None and one.kind is None for one in lines):
        return UNREADABLE
    worked = any(one.event not in ("requested", "timer") and one.event not in _ASIDE for one in lines)
    return RUNNING if worked else PENDING


def _last_error(lines: tuple[LogRecord, ...]) -> ErrorInfo | None:
    for one in reversed(lines):
        match one.body:
            case ev.Failed(code=code, stage=stage, message=message):
                return ErrorInfo(code=code, stage=stage, message=message)
            case ev.DeadLetter(code=code, stage=stage, reason=reason):
                return ErrorInfo(code=code, stage=stage, message=reason)
            case _:
                continue
    return None


def _attempts(lines: tuple[LogRecord, ...]) -> tuple[Attempt, ...]:
    trails = [getattr(one.body, "trail", None) for one in lines]
    return max((trail.attempts for trail in trails if isinstance(trail, ev.Trail)), key=len, default=())


def _decided(lines: tuple[LogRecord, ...]) -> tuple[ev.Decided, ...]:
    bodies = [one.body for one in lines if isinstance(one.body, ev.ContextBuilt)]
    return next((each.decided for each in bodies if each.decided), ())


def _waiting_for(lines: tuple[LogRecord, ...]) -> str | None:
    moved = [one for one in lines if one.event not in _ASIDE and one.kind is not None]
    row = pipeline.ROW_OF.get(moved[-1].event) if moved else None
    return row.consumed_by[0] if row is not None else None


def _replay_of(request: LogRecord | None, result: ev.Result | None) -> str | None:
    if result is not None and result.meta.replay_of is not None:
        return result.meta.replay_of
    return _text_field(request, "replay_of", "replayOf")


def _text_field(request: LogRecord | None, *names: str) -> str | None:
    """A string field of the request's body, by any of its names."""
    return next((each for name in names if isinstance(each := _field(request, name), str)), None)


def _field(request: LogRecord | None, name: str) -> Any:
    """A field of the request's body; ``None`` where there is none."""
    data = cast("dict[str, Any]", request.data) if request and isinstance(request.data, dict) else {}
    return data.get(name)


def _scenes(
    lines: tuple[LogRecord, ...], result: ev.Result | None, seen: Mapping[str, RequestProgress] | None
) -> tuple[SceneInfo, ...]:
    plotted = next((one.body for one in lines if isinstance(one.body, ev.Plotted)), None)
    if plotted is None or seen is None:
        return result.scenes if result else ()
    # The result still has what was removed from the log since.
    known = {each.request_id: each for each in result.scenes} if result else {}
    now = scenes.listing(plotted, seen, over=result is not None)
    return tuple(known.get(each.request_id, each) if each.status == PENDING else each for each in now)


def _ms(nanoseconds: int) -> float:
    return round(nanoseconds / _NS_PER_MS, 3)
