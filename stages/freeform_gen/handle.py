"""How is the prose written?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from contracts import events as ev
from contracts.envelope import Received
from contracts.errors import ErrorCode, ProviderError
from contracts.outcome import Emit, Fail, Outcome, Retry
from contracts.ports import Announce, Completion, Prompt, Provider
from contracts.quoting import well_formed
from contracts.result import Attempt

STAGE = "freeform-gen"
#: Characters of a draft that are kept; more is no answer to a bounded request.
MAX_TEXT = 120_000


async def handle(
    received: Received[Any], *, providers: Mapping[str, Provider], announce: Announce
) -> Outcome:
    """Have the routed provider write; on an empty answer once more, colder and shorter.

    Args:
        received: a ``context_built`` event.
        providers: provider by kind; none for a kind means that no model is wanted.
        announce: takes the text as it is written.

    Returns:
        ``drafted``, a retry, or a failure with the provider's code.
    """
    event = received.event
    if not isinstance(event, ev.ContextBuilt):
        raise TypeError(f"freeform-gen does not take {received.name}")
    provider = providers.get(received.kind)
    if provider is None:
        return Fail(
            code=ErrorCode.GEN_PROVIDER_DISABLED, message="no model is wanted (USE_LOCAL_MODEL=false)"
        )
    prompt = Prompt(
        text=event.brief.prompt,
        kind=received.kind,
        stage=STAGE,
        request_id=received.request_id,
        attempt=event.attempt,
    )
    trail = event.trail
    for params, why in (
        (event.brief.freeform, ""),
        (_colder(event.brief.freeform), "again, colder and shorter"),
    ):
        try:
            done = await provider.generate(prompt, params, None, announce)
        except ProviderError as error:
            lost = Attempt(provider=provider.name, model=provider.model, code=error.code, why=str(error))
            trail = _add(trail, error.attempts or (lost,))
            if error.retryable:
                return Retry(
                    code=error.code, message=str(error), trail=trail, after_s=error.retry_after_s or 0.0
                )
            return Fail(code=error.code, message=str(error), trail=trail)
        trail = _account(trail, done, why)
        if done.text.strip():
            draft = ev.Draft(
                text=well_formed(done.text[:MAX_TEXT]),
                provider=done.provider,
                model=done.model,
                finish_reason=done.finish_reason,
                deterministic=done.deterministic,
                cached=done.cached,
            )
            if len(done.text) > MAX_TEXT:
                trail = msgspec.structs.replace(
                    trail,
                    warnings=(*trail.warnings, f"draft cut from {len(done.text)} to {MAX_TEXT} characters"),
                )
            return Emit(
                events=(ev.Drafted(attempt=event.attempt, brief=event.brief, draft=draft, trail=trail),)
            )
    return Fail(
        code=ErrorCode.GEN_EMPTY_OUTPUT, message=f"{provider.name} answered with nothing, twice", trail=trail
    )


def _colder(params: ev.Params) -> ev.Params:
    return msgspec.structs.replace(
        params, temperature=params.temperature / 2, max_tokens=max(1, params.max_tokens // 2)
    )


def _add(trail: ev.Trail, attempts: tuple[Attempt, ...]) -> ev.Trail:
    return msgspec.structs.replace(trail, attempts=(*trail.attempts, *attempts))


def _account(trail: ev.Trail, done: Completion, why: str) -> ev.Trail:
    empty = not done.text.strip()
    why = why or ("empty answer" if empty else "wrote the draft")
    attempt = Attempt(
        provider=done.provider,
        model=done.model,
        code=ErrorCode.GEN_EMPTY_OUTPUT if empty else None,
        time_ms=done.time_ms,
        why=f"{why}: {done.note}" if done.note else why,
    )
    amount = trail.amount if done.amount is None else (trail.amount or 0) + done.amount
    return msgspec.structs.replace(
        trail,
        attempts=(*trail.attempts, *done.attempts, attempt),
        tokens=trail.tokens + done.tokens,
        amount=amount,
    )
