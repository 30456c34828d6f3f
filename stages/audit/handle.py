"""Audit handler: one event to a partial record of its request."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from contracts import events as ev
from contracts import outcome, ownership, pipeline, request, subjects
from contracts.envelope import Received, Requested, Scheduled
from contracts.errors import ErrorCode
from contracts.kinds import KINDS
from contracts.policy import fingerprint
from stages.audit import trust
from stages.audit.fold import (
    NO_LIFE,
    End,
    Evidence,
    RequestFacts,
    RequestRecord,
    Revision,
    StageFacts,
    Trouble,
)
from stages.audit.redact import redact

#: Results above this many bytes are kept without their content.
MAX_RESULT: Final = 64 * 1024
#: Characters of a provider's text, and of evidence, that are kept.
MAX_TEXT: Final = 16_000
#: Bytes of canonical parameters that are kept; larger schemas are kept as their hash.
MAX_PARAMETERS: Final = 16 * 1024

#: Longest label that a request may have, characters.
_MAX_LABEL: Final = 64
#: What a body says may be any number.
_LATEST_MS: Final = 2**63 - 1
_RANK: Final = {"context_built": 1, "drafted": 2, "structured": 3, "invalid": 4}
_REQUESTED: Final = "gen.requested."


def handle(received: Received[Any], *, store_prompts: bool) -> outcome.Outcome:
    """Turn one event into a partial record of its request.

    Args:
        received: any stored event, or a dead letter.
        store_prompts: keep what people and models have written; otherwise hashes and lengths of it, as
            :mod:`stages.audit.redact` has it.

    Returns:
        the record to be merged; nothing for events that say nothing the result does not say again
        (``clamped``, ``plotted``, ``deadline``, ``cancelled``), and for letters that belong to no request.
    """
    if received.kind not in KINDS or subjects.REQUEST_ID.fullmatch(received.request_id) is None:
        return outcome.Emit()
    event = received.event
    changes: dict[str, Any]
    match event:
        case Requested():
            changes = {
                "life_ms": received.time_ms,
                "asked": _asked(received, event.body),
            }
        case ev.ContextBuilt() | ev.Drafted() | ev.Structured():
            changes = {"life_ms": event.brief.requested_at_ms, "step": _step(received, event)}
        case ev.Invalid():
            changes = {
                "life_ms": event.brief.requested_at_ms,
                "step": _step(received, event),
                "trouble": _trouble(
                    received, ErrorCode.GEN_SCHEMA_INVALID, "validate-repair", "; ".join(event.errors)
                ),
                "evidence": _evidence(received, event.document.text),
            }
        case ev.Failed():
            changes = {
                "life_ms": event.brief.requested_at_ms if event.brief else NO_LIFE,
                "trouble": _trouble(received, event.code, event.stage, event.message),
                "evidence": _evidence(received, event.evidence),
            }
        case ev.DeadLetter():
            unread = _unread(received, event)
            changes = {
                "life_ms": unread.at_ms if unread else NO_LIFE,
                "asked": unread,
                "trouble": _trouble(received, event.code, event.stage, event.reason),
                "evidence": _evidence(received, event.evidence),
            }
        case ev.Result():
            changes = _ending(received, event)
        case ev.Revised():
            changes = {
                "revision": Revision(
                    sequence=received.sequence,
                    at_ms=received.time_ms,
                    by=event.revised_by,
                    content_hash=event.content_hash,
                )
            }
        case ev.Clamped() | ev.Plotted() | ev.Deadline() | ev.Cancelled() | Scheduled():
            return outcome.Emit()
        case _:
            raise TypeError(f"audit does not take {received.name}")
    changes["life_ms"] = max(NO_LIFE, min(_LATEST_MS, changes.get("life_ms", NO_LIFE)))
    record = RequestRecord(
        request_id=received.request_id, kind=received.kind, anomaly=trust.anomaly(received), **changes
    )
    return outcome.Record(row=_cut(record) if store_prompts else redact(record))


def _cut(record: RequestRecord) -> RequestRecord:
    """The record with its texts cut to what is kept of them."""
    replace = msgspec.structs.replace
    asked, step, trouble, evidence = record.asked, record.step, record.trouble, record.evidence
    return replace(
        record,
        asked=asked and replace(asked, prompt=asked.prompt and asked.prompt[: request.MAX_PROMPT]),
        step=step
        and replace(
            step,
            draft=step.draft and step.draft[:MAX_TEXT],
            document=step.document and step.document[:MAX_TEXT],
        ),
        trouble=trouble and replace(trouble, message=trouble.message[:MAX_TEXT]),
        evidence=evidence and replace(evidence, text=evidence.text[:MAX_TEXT]),
    )


def _asked(received: Received[Any], body: bytes) -> RequestFacts:
    known: dict[str, Any] = {"sequence": received.sequence, "kind": received.kind, "at_ms": received.time_ms}
    try:
        asked = request.read(body, received.kind)
    except request.RequestError:
        input_hash = fingerprint.digest_text(body.decode("utf-8", "replace"))
        owner = _owner(body)
        return RequestFacts(
            **known,
            input_hash=input_hash,
            prompt=_legible(body),
            workspace=owner.get("workspace"),
            parameters=owner,
        )
    return RequestFacts(
        **known,
        input_hash=asked.input_hash(received.kind),
        prompt=asked.prompt,
        workspace=asked.workspace,
        replay_of=asked.replay_of,
        parameters=_parameters(asked),
    )


def _owner(body: bytes) -> dict[str, Any]:
    """Whose a refused request is, as its parameters would have it: a purge must find it."""
    claims = ownership.read_claims(body)
    found: dict[str, Any] = {}
    if claims.workspace is not None and len(claims.workspace) <= _MAX_LABEL:
        found["workspace"] = claims.workspace
    if claims.player is not None and len(claims.player) <= _MAX_LABEL:
        found["player_context"] = {"player_id": claims.player}
    return found


def _legible(body: bytes) -> str | None:
    """The prompt of a refused request, where there is one to read."""
    try:
        said = msgspec.json.decode(body, type=dict[str, Any]).get("prompt")
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    return said if isinstance(said, str) else None


def _parameters(asked: request.GenerationRequest) -> dict[str, Any]:
    parameters = asked.model_dump(mode="json", exclude_defaults=True, exclude={"prompt"})
    if asked.schema_ is not None and len(msgspec.json.encode(asked.schema_)) > MAX_PARAMETERS:
        parameters["schema_"] = f"sha256:{fingerprint.digest(asked.schema_)}"
    return parameters


def _unread(received: Received[Any], letter: ev.DeadLetter) -> RequestFacts | None:
    """The request that a letter is about, for the case that its body could not even be decoded."""
    if letter.stream != pipeline.REQUESTS or not letter.subject.startswith(_REQUESTED):
        return None
    return RequestFacts(
        sequence=letter.sequence,
        kind=received.kind,
        at_ms=letter.time_ms,
        input_hash=letter.sha256,
        unread=True,
    )


def _step(
    received: Received[Any], event: ev.ContextBuilt | ev.Drafted | ev.Structured | ev.Invalid
) -> StageFacts:
    brief = event.brief
    draft = None if isinstance(event, ev.ContextBuilt) else event.draft
    document = event.document if isinstance(event, ev.Structured | ev.Invalid) else None
    last = document or draft
    return StageFacts(
        sequence=received.sequence,
        attempt=event.attempt,
        rank=_RANK[event.name],
        event=event.name,
        at_ms=received.time_ms,
        requested_at_ms=brief.requested_at_ms,
        input_hash=brief.input_hash,
        prompt_hash=brief.prompt_hash,
        prompt_version=brief.prompt_version,
        workspace=brief.workspace,
        replay_of=brief.replay_of,
        rating=msgspec.to_builtins(brief.rating),
        sampling={
            "freeform": msgspec.to_builtins(brief.freeform),
            "structuring": msgspec.to_builtins(brief.structuring),
        },
        provider=last.provider if last else None,
        model=last.model if last else None,
        draft=draft.text if draft else None,
        document=document.text if document else None,
    )


def _trouble(received: Received[Any], code: ErrorCode, stage: str, message: str) -> Trouble:
    return Trouble(
        stream=received.stream,
        sequence=received.sequence,
        at_ms=received.time_ms,
        code=code,
        stage=stage,
        message=message,
    )


def _evidence(received: Received[Any], text: str | None) -> Evidence | None:
    if not text:
        return None
    return Evidence(stream=received.stream, sequence=received.sequence, at_ms=received.time_ms, text=text)


def _ending(received: Received[Any], result: ev.Result) -> dict[str, Any]:
    if trust.is_misplaced(received):
        # Nobody looks for it there; it is an anomaly alone.
        return {}
    return {"life_ms": result.meta.requested_at_ms or NO_LIFE, "end": _end(received, result)}


def _end(received: Received[Any], result: ev.Result) -> End:
    plain: dict[str, Any] = msgspec.to_builtins(result)
    if result.content is not None and len(msgspec.json.encode(result.content)) > MAX_RESULT:
        plain["content"] = None
        plain["content_left_out"] = True
    return End(
        stream=received.stream,
        created_ms=received.stream_created_ms,
        sequence=received.sequence,
        at_ms=received.time_ms,
        result=plain,
    )
