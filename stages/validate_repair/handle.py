"""Handler of validate-repair: parse, repair and validate a document; drift check, cache write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from contracts import events as ev
from contracts import revisions, scenes
from contracts.envelope import Received
from contracts.errors import ErrorCode
from contracts.helper_tasks import EvaluationInfo
from contracts.nodes import required_terms, schema_pins
from contracts.outcome import Emit, Fail, Outcome
from contracts.policy import fingerprint
from contracts.ports import GRAMMAR, Contents, DriftLedger, Explicitness, KnownReplays, ResultCache
from contracts.result import SCRIPTED, Cost, Meta, Origin, Receipt, RepairLevel, Status
from stages.validate_repair import redraft, repair, seed_drift
from stages.validate_repair.cache_write import cache_write
from stages.validate_repair.judge import DocumentJudge
from stages.validate_repair.parse import MAX_TOLD, Parsed, UnparsableText, parse
from stages.validate_repair.quality import Quality, QualityGate

#: Faults that the re-ask and the result list.
MAX_FAULTS = 12
#: Characters of unusable output that are kept for triage.
MAX_EVIDENCE = 8_000
_MENDED = "the model's document was repaired; its receipt lists the changes"


async def handle(  # noqa: PLR0913 - its ports, one by one
    received: Received[Any],
    *,
    contents: Contents,
    explicitness: Explicitness,
    gate: QualityGate,
    max_reasks: int,
    accept_filled: bool,
    forms: Mapping[str, str],
    ledger: DriftLedger,
    cache: ResultCache | None,
    replays: KnownReplays,
    judge: DocumentJudge | None = None,
) -> Outcome:
    """Check one document, compare it with what its seed gave before, and keep it for equal requests.

    Args:
        received: a ``structured`` event.
        contents: the content kinds.
        explicitness: finds what exceeds the effective rating.
        gate: the measure of quality, and the bar of each kind.
        max_reasks: how often structuring may be asked again.
        accept_filled: accept a document in which a missing value was filled with an empty text.
        forms: by kind, a digest of its structuring prompt and schema.
        ledger: the first output of each repeatable generation.
        cache: the result cache; ``None``: it is disabled.
        replays: the known replays.
        judge: scores valid documents; ``None``: evaluation is off.

    Returns:
        ``result``, for a known replay also ``revised``; ``plotted`` for a plot that requests its scenes;
        ``invalid``; ``context_built`` for another draft; or a failure.

    Raises:
        Unavailable: the broker does not answer.
    """
    outcome = await validate(
        received,
        contents=contents,
        explicitness=explicitness,
        gate=gate,
        max_reasks=max_reasks,
        accept_filled=accept_filled,
        judge=judge,
    )
    outcome = await seed_drift.check(received, outcome, form=forms[received.kind], ledger=ledger)
    write = None if cache is None else cache_write(received, outcome)
    if cache is not None and write is not None:
        # Before the result is published: an equal request that sees the result finds the entry.
        await cache.put(*write)
    return await revisions.confirm(outcome, request_id=received.request_id, replays=replays)


async def validate(
    received: Received[Any],
    *,
    contents: Contents,
    explicitness: Explicitness,
    gate: QualityGate = QualityGate(),  # noqa: B008 - frozen: nothing is below no bar
    max_reasks: int,
    accept_filled: bool,
    judge: DocumentJudge | None = None,
) -> Outcome:
    """Check one document: parse, repair, validate, measure; ask again, or give up.

    Args:
        received: a ``structured`` event.
        contents: the content kinds.
        explicitness: finds what exceeds the effective rating.
        gate: the measure of quality, and the bar of each kind.
        max_reasks: how often structuring may be asked again.
        accept_filled: accept a document in which a missing value was filled with an empty text.
        judge: scores the document if it is accepted.

    Returns:
        ``result`` and ``revised``, ``plotted``, ``invalid``, ``context_built``, or a failure.
    """
    event = received.event
    if not isinstance(event, ev.Structured):
        raise TypeError(f"validate-repair does not take {received.name}")
    parsed, code, faults = await _read(event, received.kind, contents, accept_filled=accept_filled)
    if not faults:
        code, faults = _unfit(parsed.document, event.brief, explicitness)
    if not faults:
        receipt = _receipt(event, parsed)
        quality = gate.assess(parsed.document, kind=received.kind, event=event, level=receipt.level)
        if quality.score < (bar := gate.bar(received.kind)):
            return redraft.decide(event, quality.below(bar), ErrorCode.GEN_QUALITY)
        evaluation, trail = (
            (None, event.trail) if judge is None else await judge.judge(received, event, parsed.document)
        )
        event = msgspec.structs.replace(event, trail=trail)
        return _succeed(received, event, parsed, receipt, quality, evaluation)
    faults = faults[:MAX_FAULTS]
    if event.reask < max_reasks:
        return Emit(
            events=(
                ev.Invalid(
                    attempt=event.attempt,
                    brief=event.brief,
                    draft=event.draft,
                    document=event.document,
                    errors=faults,
                    reask=event.reask + 1,
                    trail=event.trail,
                ),
            )
        )
    if code == ErrorCode.GEN_RATING_VIOLATION:
        return redraft.decide(event, "; ".join(faults), code)
    return Fail(
        code=code,
        message=f"not valid after {event.reask + 1} attempts at structuring: {'; '.join(faults)}",
        evidence=event.document.text[:MAX_EVIDENCE],
        letter=True,
    )


async def _read(
    event: ev.Structured, kind: str, contents: Contents, *, accept_filled: bool
) -> tuple[Parsed, ErrorCode, tuple[str, ...]]:
    """Read the document; with its faults, and the error code of a request that ends with them."""
    invalid, nothing = ErrorCode.GEN_SCHEMA_INVALID, Parsed(document=None)
    if event.document.finish_reason == "length":
        # Also a text that parses: it was not complete.
        return nothing, invalid, ("the document was cut off at max_tokens",)
    try:
        found = parse(event.document.text)
    except UnparsableText as error:
        empty = not event.document.text.strip()
        return nothing, ErrorCode.GEN_EMPTY_OUTPUT if empty else invalid, (str(error),)
    checked = [await _check(each, event, kind, contents, accept_filled=accept_filled) for each in found]
    return checked[0] if len(checked) == 1 else _choose(checked)


async def _check(
    parsed: Parsed, event: ev.Structured, kind: str, contents: Contents, *, accept_filled: bool
) -> tuple[Parsed, ErrorCode, tuple[str, ...]]:
    invalid = ErrorCode.GEN_SCHEMA_INVALID
    if not parsed.document:
        return parsed, ErrorCode.GEN_EMPTY_OUTPUT, ("the document is empty",)
    if parsed.filled and not accept_filled:
        return parsed, invalid, tuple(f"{path}: has no value; write one" for path in parsed.filled)
    faults = await contents.faults(kind, parsed.document, event.brief.schema)
    if faults:
        parsed, faults = await _repair(parsed, faults, kind, event, contents)
    return parsed, invalid, faults


def _choose(
    checked: list[tuple[Parsed, ErrorCode, tuple[str, ...]]],
) -> tuple[Parsed, ErrorCode, tuple[str, ...]]:
    """The only valid document of several; faults where none or several different ones are valid."""
    valid = [index for index, (_, _, faults) in enumerate(checked) if not faults]
    others = [f"number {index + 1}: {faults[0]}" for index, (_, _, faults) in enumerate(checked) if faults]
    if not valid:
        faults = (f"the text holds {len(checked)} documents, and none is valid; write one", *others)
        return checked[0][0], ErrorCode.GEN_SCHEMA_INVALID, faults
    parsed, code, _ = checked[valid[0]]
    if len({fingerprint.digest(checked[index][0].document) for index in valid}) > 1:
        numbers = " and ".join(str(index + 1) for index in valid)
        differ = f"the text holds {len(checked)} documents; numbers {numbers} are valid and differ; write one"
        return parsed, ErrorCode.GEN_SCHEMA_INVALID, (differ,)
    why = "; ".join(others) or "they are equal"
    change = f"the text holds {len(checked)} documents, took number {valid[0] + 1}; {why}"
    return msgspec.structs.replace(parsed, changes=(change, *parsed.changes)[:MAX_TOLD]), code, ()


def _unfit(document: Any, brief: ev.Brief, explicitness: Explicitness) -> tuple[ErrorCode, tuple[str, ...]]:
    """Why a valid document is not what the brief asks for; the rating's code goes before the elements'."""
    explicit = _too_explicit(document, brief, explicitness)
    unmet: tuple[str, ...] = ()
    if brief.required_elements or brief.avoid_elements:
        text = required_terms.join_texts(document)
        unmet = required_terms.find_faults(text, required=brief.required_elements, avoid=brief.avoid_elements)
    code = ErrorCode.GEN_RATING_VIOLATION if explicit else ErrorCode.GEN_CONSTRAINT_FAIL
    return code, (*explicit, *unmet)


def _too_explicit(document: Any, brief: ev.Brief, explicitness: Explicitness) -> tuple[str, ...]:
    """What exceeds the rating; the texts themselves are not quoted, because the result shows these faults."""
    allowed = brief.rating.effective
    return tuple(
        f"{each.path}: {each.what} needs the rating {str(each.needs)!r}, and {str(allowed)!r} is the greatest "
        "here; say it milder, or leave it out"
        for each in explicitness.above(document, allowed)
    )


async def _repair(
    parsed: Parsed, faults: tuple[str, ...], kind: str, event: ev.Structured, contents: Contents
) -> tuple[Parsed, tuple[str, ...]]:
    """The repaired document, if the repair leaves no fault."""
    # Asked again, the model was told of these faults.
    ways: tuple[repair.People, ...] = ("joined", "first") if event.reask else ("apart",)
    for people in ways:
        document, changes = repair.mended(parsed.document, kind=kind, people=people)
        if changes and not await contents.faults(kind, document, event.brief.schema):
            reported = (*parsed.changes, *changes)[:MAX_TOLD]
            return msgspec.structs.replace(parsed, document=document, repaired=True, changes=reported), ()
    return parsed, faults


def _succeed(
    received: Received[Any],
    event: ev.Structured,
    parsed: Parsed,
    receipt: Receipt,
    quality: Quality,
    evaluation: EvaluationInfo | None,
) -> Emit:
    brief, trail, document = event.brief, event.trail, parsed.document
    enhanced = trail.enhancement if trail.enhancement and trail.enhancement.rewritten else None
    scripted = SCRIPTED in (event.document.provider, event.draft.provider, enhanced and enhanced.provider)
    provider, model = (
        (SCRIPTED, event.document.model) if scripted else (event.document.provider, event.document.model)
    )
    status, origin = Status.SUCCESS, Origin.LIVE
    if scripted:
        origin = Origin.SCRIPTED
    elif event.document.cached:
        status, origin = Status.CACHED, Origin.CACHE
    result = ev.Result(
        request_id=received.request_id,
        kind=received.kind,
        status=status,
        origin=origin,
        reason="answered by the scripted provider, a test double" if scripted else None,
        content=document,
        content_hash=fingerprint.digest(document),
        attempts=trail.attempts,
        meta=Meta(
            provider=provider,
            model=model,
            seed=brief.freeform.seed,
            deterministic=event.draft.deterministic
            and event.document.deterministic
            and (enhanced is None or enhanced.deterministic),
            prompt_version=brief.prompt_version,
            prompt_hash=brief.prompt_hash,
            cache_key=brief.cache_key,
            rating=brief.rating,
            cost=Cost(tokens=trail.tokens, time_ms=trail.time_ms, amount=trail.amount),
            quality_score=quality.score,
            quality_reasons=quality.reasons,
            evaluation=evaluation,
            enhancement=trail.enhancement,
            receipt=receipt,
            warnings=(
                *trail.warnings,
                *((_MENDED,) if parsed.repaired else ()),
                *schema_pins.find_deviations(document, brief.settled),
            ),
            replay_of=brief.replay_of,
            patched_by=brief.lineage and brief.lineage.patched_by,
            experiment=brief.experiment and brief.experiment.counted,
            input_hash=brief.input_hash,
            requested_at_ms=brief.requested_at_ms,
        ),
    )
    return Emit(events=scenes.ending(result, brief, attempt=event.attempt))


def _receipt(event: ev.Structured, parsed: Parsed) -> Receipt:
    if event.reask:
        level = RepairLevel.RE_ASKED
    elif parsed.repaired:
        level = RepairLevel.REPAIRED
    else:
        level = RepairLevel.CONSTRAINED if event.document.finish_reason == GRAMMAR else RepairLevel.PARSED
    return Receipt(level=level, reasks=event.reask, changes=parsed.changes, filled=parsed.filled)
