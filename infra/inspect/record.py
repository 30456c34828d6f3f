"""Log records: one decoded message of the log, as JSON and in words."""

from __future__ import annotations

from typing import Any, Final, cast

import msgspec

from contracts import envelope, pipeline
from contracts import events as ev
from contracts.errors import NewerVersion, Unreadable
from contracts.kinds import KINDS
from contracts.printable import printable
from contracts.result import Origin, ResultBody, Status
from contracts.timestamp import format_ns
from infra.nats.log import LogEntry

#: Event names of messages in DEAD.
DEAD: Final = "dead"
ADVISORY: Final = "advisory"

_ADVISORY_PREFIX: Final = "$JS.EVENT.ADVISORY."
#: Characters of an unreadable body that are shown.
_PREVIEW: Final = 200

_letter: Final = msgspec.json.Decoder(ev.DeadLetter)


class LogRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One message, decoded as far as it can be."""

    stream: str | None
    #: Sequence in its stream; ``None`` for core NATS.
    seq: int | None
    #: Broker's timestamp, nanoseconds since the epoch.
    time_ns: int
    subject: str
    event: str
    kind: str | None
    request_id: str | None
    #: Its publisher, if the message names one.
    stage: str | None
    #: The body as plain JSON values.
    data: Any
    headers: dict[str, str] = {}
    #: The decoded body; ``None`` for a request, and for what cannot be read.
    body: ev.Event | ev.DeadLetter | None = None
    #: Why the message cannot be read; ``None`` when it can.
    fault: str | None = None


def decode(entry: LogEntry) -> LogRecord:
    """Decode one message; never raises: ``fault`` says what cannot be read."""
    if entry.subject.startswith(_ADVISORY_PREFIX):
        return _advisory(entry)
    if entry.subject.startswith("dead."):
        return _dead(entry)
    return _event(entry)


def progress(subject: str, payload: bytes, headers: dict[str, str], *, time_ns: int) -> LogRecord:
    """Decode one ``progress`` message from core NATS; never raises."""
    entry = LogEntry(stream="", sequence=0, subject=subject, time_ns=time_ns, headers=headers, body=payload)
    line = _event(entry)
    # A reader of a shadow has asked for it.
    return msgspec.structs.replace(line, stream=None, seq=None, event=ev.Progress.name)


def to_json(line: LogRecord) -> dict[str, Any]:
    """The object that ``tail --json`` prints."""
    return {
        "seq": line.seq,
        "time": format_ns(line.time_ns, "microseconds"),
        "subject": line.subject,
        "event": line.event,
        "kind": line.kind,
        "request_id": line.request_id,
        "stage": line.stage,
        "data": line.data,
    }


def _event(entry: LogEntry) -> LogRecord:
    tokens = entry.subject.split(".")
    name = tokens[1] if len(tokens) > 1 else "?"
    kind: str | None = None
    request_id: str | None = None
    fault: str | None = None
    body: ev.Event | None = None
    try:
        address = envelope.address(entry.subject)
        kind, request_id = address.kind, address.request_id
        body = _decode(name, entry)
    except (Unreadable, NewerVersion) as error:
        fault = str(error)
    return _record(
        entry,
        event=name,
        kind=kind,
        request_id=request_id,
        stage=_publisher(name, entry.headers, body),
        body=body,
        fault=fault,
    )


def _record(entry: LogEntry, *, event: str, stage: str | None, fault: str | None, **found: Any) -> LogRecord:
    return LogRecord(
        stream=entry.stream,
        seq=entry.sequence,
        time_ns=entry.time_ns,
        subject=entry.subject,
        event=event,
        stage=stage,
        headers=entry.headers,
        fault=fault,
        **({"kind": None, "request_id": None, "data": _plain(entry.body, fault)} | found),
    )


def _decode(name: str, entry: LogEntry) -> ev.Event | None:
    """The body as an event; ``None`` for a request, whose body is checked elsewhere."""
    decoded = envelope.decode(name, entry.body, entry.headers)
    if isinstance(decoded, envelope.Scheduled):
        # What the broker will publish later, on the subject that the schedule names.
        target = entry.headers.get(envelope.SCHEDULE_TARGET, "")
        decoded = envelope.decode(envelope.address(target).event, entry.body, {})
    return decoded if isinstance(decoded, ev.Event) else None


def _publisher(name: str, headers: dict[str, str], body: ev.Event | None) -> str | None:
    row = pipeline.ROW_OF.get(name)
    if row is not None and row.published_by == (pipeline.BROKER,):
        # Its headers are those of the schedule, which name the stage that armed it.
        return pipeline.BROKER
    source, _, stage = headers.get("ce-source", "").partition("/")
    if source == envelope.SOURCE and stage:
        return stage
    if isinstance(body, ev.Failed | ev.Progress):
        return body.stage
    return row.published_by[0] if row is not None and len(row.published_by) == 1 else None


def _dead(entry: LogEntry) -> LogRecord:
    stage, kind, request_id = (*entry.subject.split(".")[1:4], "?", "?", "?")[:3]
    known = kind in KINDS
    letter: ev.DeadLetter | None = None
    fault: str | None = None
    try:
        letter = _letter.decode(entry.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        fault = f"not a dead letter of this pipeline: {error}"
    found = {"kind": kind, "request_id": request_id} if known else {}
    return _record(entry, event=DEAD, stage=stage, fault=fault, body=letter, **found)


def _advisory(entry: LogEntry) -> LogRecord:
    data = _plain(entry.body, None)
    fields = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
    consumer = fields.get("consumer")
    return _record(
        entry,
        event=ADVISORY,
        stage=consumer if isinstance(consumer, str) else None,
        fault=None if fields else "this is not an advisory of the broker",
        data=data,
    )


def _plain(body: bytes, fault: str | None) -> Any:
    """The body as JSON values; what is not JSON becomes its fault, size and a preview."""
    if fault is None:
        try:
            return msgspec.json.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            fault = str(error)
    return {"malformed": fault, "size": len(body), "preview": preview(body)}


def preview(body: bytes, characters: int = _PREVIEW) -> str:
    """The start of any bytes as printable text; the rest is escaped."""
    return printable(body[: characters * 4].decode("utf-8", "backslashreplace"), most=characters)


def gist(line: LogRecord) -> str:
    """The message in a few words: one line, safe for a terminal."""
    return printable(_gist(line).replace("\n", " "))


def _gist(line: LogRecord) -> str:  # noqa: C901, PLR0911, PLR0912 - one case per event
    if line.fault is not None:
        return f"unreadable: {line.fault}"
    match line.body:
        case ev.ContextBuilt(attempt=attempt, brief=brief):
            rating = f", rating {brief.rating.effective}" if brief.rating.clamped else ""
            return f"prompt {brief.prompt_version}{rating}{_again(attempt)}"
        case ev.Clamped(requested=requested, effective=effective, by=by):
            return f"{requested} → {effective}{f' by {by}' if by else ''}"
        case ev.Drafted(draft=draft, attempt=attempt):
            return f"{len(draft.text):,} characters by {draft.provider}/{draft.model}{_again(attempt)}"
        case ev.Structured(document=document, reask=reask):
            asked = f", re-asked {reask} times" if reask else ""
            return f"{len(document.text):,} characters by {document.provider}/{document.model}{asked}"
        case ev.Plotted(result=result):
            return f"{named(result)}, its scenes are still to come"
        case ev.Invalid(errors=errors):
            more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
            return f"{errors[0] if errors else 'no reason given'}{more}"
        case ev.Failed(code=code, message=message):
            return f"{code}: {message}"
        case ev.Deadline(deadline_ms=deadline_ms):
            return f"after {deadline_ms / 1000:g} s"
        case ev.Cancelled(reason=reason):
            return reason
        case ev.Result() as result:
            return _ending(result)
        case ev.Revised(undoes=str(undone)) as revised:
            return f"{_ending(revised)}; {undone} is undone"
        case ev.Revised(revised_by=revised_by) as revised:
            return f"{_ending(revised)}, by {revised_by}"
        case ev.Progress(text=text):
            return text
        case ev.DeadLetter(code=code, reason=reason):
            return f"{code}: {reason}"
        case _:
            return _gist_of_data(line)


def _again(attempt: int) -> str:
    return f", attempt {attempt}" if attempt > 1 else ""


def _ending(result: ev.Result | ev.Revised) -> str:
    # The reason names the stand-in.
    reason = f": {result.reason}" if result.reason else ""
    return f"{named(result)}{reason}"


def named(result: ResultBody) -> str:
    """Status and origin of a result in words: ``success (live)``."""
    return ending(result.status, result.origin)


def ending(status: str, origin: str | None) -> str:
    """Status and origin in words, without an origin that the status implies."""
    # `cached` implies the cache, `placeholder` a placeholder.
    plain = origin in (None, Origin.NONE, status) or (status, origin) == (Status.CACHED, Origin.CACHE)
    return status if plain else f"{status} ({origin})"


def _gist_of_data(line: LogRecord) -> str:
    data = cast("dict[str, Any]", line.data) if isinstance(line.data, dict) else {}
    if line.event == ADVISORY:
        return advisory_reason(data)
    prompt = data.get("prompt")
    if isinstance(prompt, str):
        replay = f", a replay of {data['replay_of']}" if data.get("replay_of") else ""
        return f"“{preview(prompt.encode('utf-8', 'replace'), 80)}”{replay}"
    return preview(msgspec.json.encode(line.data), 80)


def advisory_reason(data: dict[str, Any]) -> str:
    """Why the broker gave up on a message, in words."""
    where = f"{data.get('stream', '?')} sequence {data.get('stream_seq', '?')}"
    tries = f"after {data.get('deliveries', '?')} deliveries"
    if str(data.get("type", "")).endswith("max_deliver"):
        return f"the broker gave up on {where} {tries}"
    because = f": {data['reason']}" if data.get("reason") else ""
    return f"{where} was terminated {tries}{because}"
