"""What does the log say about each request?"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from contracts import events as ev
from contracts import fingerprint, outcome, request, subjects
from contracts.envelope import Received, Requested
from stages.audit.fold import Asked, End, Record, Revision, Step, Trouble

#: Results above this many bytes are kept without their content.
MAX_RESULT: Final = 64 * 1024
#: Characters of evidence that are kept.
MAX_EVIDENCE: Final = 16_000

_RANK: Final = {"context_built": 1, "drafted": 2, "structured": 3, "invalid": 4}


def handle(received: Received[Any], *, store_prompts: bool) -> outcome.Outcome:
    """Turn one event into what it says about its request.

    Args:
        received: any stored event, or a dead letter.
        store_prompts: keep prompts; otherwise their hashes alone.

    Returns:
        the record to be merged; nothing for letters that belong to no request.
    """
    if received.kind == subjects.UNKNOWN_KIND:
        return outcome.Emit()
    record = Record(request_id=received.request_id, kind=received.kind)
    event = received.event
    at = {"sequence": received.sequence, "at_ms": received.time_ms}
    match event:
        case Requested(body=body):
            changes: dict[str, Any] = {"asked": _asked(received, body, store_prompts=store_prompts)}
        case ev.ContextBuilt() | ev.Drafted() | ev.Structured() | ev.Invalid():
            changes = {
                "step": Step(
                    **at,
                    attempt=event.attempt,
                    rank=_RANK[event.name],
                    event=event.name,
                    prompt_hash=event.brief.prompt_hash,
                    prompt_version=event.brief.prompt_version,
                    sampling=msgspec.to_builtins(event.brief.freeform),
                )
            }
            if isinstance(event, ev.Invalid):
                changes["trouble"] = Trouble(
                    **at,
                    stream=received.stream,
                    code="GEN_SCHEMA_INVALID",
                    stage="validate-repair",
                    message="; ".join(event.errors)[:MAX_EVIDENCE],
                    evidence=event.document.text[:MAX_EVIDENCE],
                )
        case ev.Failed():
            changes = {
                "trouble": Trouble(
                    **at,
                    stream=received.stream,
                    code=event.code,
                    stage=event.stage,
                    message=event.message,
                    evidence=event.evidence[:MAX_EVIDENCE] if event.evidence else None,
                )
            }
        case ev.DeadLetter():
            changes = {
                "trouble": Trouble(
                    **at, stream=received.stream, code=event.code, stage=event.stage, message=event.reason
                )
            }
        case ev.Result():
            changes = {
                "end": End(
                    **at,
                    stream=received.stream,
                    created_ms=received.stream_created_ms,
                    result=_bounded(event),
                )
            }
        case ev.Revised():
            changes = {
                "revision": Revision(**at, by=event.revised_by, content_hash=event.content_hash)
            }
        case _:
            # clamped, deadline and cancelled say nothing that the result does not say again.
            return outcome.Emit()
    return outcome.Record(row=msgspec.structs.replace(record, **changes))


def _asked(received: Received[Any], body: bytes, *, store_prompts: bool) -> Asked:
    known = {"sequence": received.sequence, "kind": received.kind, "at_ms": received.time_ms}
    try:
        asked = request.read(body, received.kind)
    except request.RequestError:
        return Asked(**known, input_hash=fingerprint.digest_text(body.decode("utf-8", "replace")))
    parameters = asked.model_dump(mode="json", exclude_defaults=True, exclude={"prompt"})
    return Asked(
        **known,
        input_hash=asked.input_hash(received.kind),
        prompt=asked.prompt if store_prompts else None,
        workspace=asked.workspace,
        replay_of=asked.replay_of,
        parameters=parameters,
    )


def _bounded(result: ev.Result) -> dict[str, Any]:
    if result.content is not None and len(msgspec.json.encode(result.content)) > MAX_RESULT:
        plain: dict[str, Any] = msgspec.to_builtins(result)
        plain["content"] = None
        plain["content_left_out"] = True
        return plain
    return msgspec.to_builtins(result)
