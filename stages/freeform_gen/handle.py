"""Handler of freeform-gen: the prose draft, by the provider of the request's kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from contracts import events as ev
from contracts.envelope import Received
from contracts.errors import ErrorCode
from contracts.nodes import required_terms
from contracts.outcome import Emit, Fail, Outcome, Retry
from contracts.policy.quoting import extract_last_quote, replace_surrogates, truncate
from contracts.ports import (
    LENGTH,
    Announce,
    Completion,
    OnToken,
    Prompt,
    Provider,
    ProviderError,
    ReleaseTokens,
)
from contracts.usage import Attempt
from stages.freeform_gen.compact import compact_prompt
from stages.freeform_gen.enhancer import Enhancer

STAGE = "freeform-gen"
#: Characters of a draft that are kept.
MAX_TEXT = 120_000
#: Bytes of a draft in a message, which must have room for the document too.
MAX_BYTES = 240 * 1024
#: Drafts until one has every required element and no avoided one.
MAX_DRAWS = 3
#: Characters of an unusable draft that are kept for triage.
MAX_EVIDENCE = 8_000


async def handle(
    received: Received[Any],
    *,
    providers: Mapping[str, Provider],
    named: Callable[[str], Provider] | None = None,
    announce: Announce,
    release: ReleaseTokens,
    enhancer: Enhancer | None = None,
) -> Outcome:
    """Have the routed provider write the draft.

    Args:
        received: a ``context_built`` event.
        providers: provider by kind; a kind without one has no model.
        named: finds the provider that a brief names in place of the routed one; ``None``: model calls are off.
        announce: publishes progress while the model writes the draft.
        release: returns the tokens reserved for structuring; called if there is no draft.
        enhancer: rewrites wishes or drafts; ``None``: enhancement is off.

    Returns:
        ``drafted``, a retry, or a failure with the provider's code.
    """
    aside_ms = 0.0
    if enhancer is not None:
        received, aside_ms = await enhancer.enhance_wish(received)
    with announce(received, stage=STAGE) as on_token:
        outcome = await write(received, providers=providers, named=named, on_token=on_token)
    if enhancer is not None:
        outcome = await enhancer.enhance_draft(received, outcome, aside_ms=aside_ms)
    if not isinstance(outcome, Emit):
        release(received.request_id)
    return outcome


async def write(
    received: Received[Any],
    *,
    providers: Mapping[str, Provider],
    named: Callable[[str], Provider] | None = None,
    on_token: OnToken,
) -> Outcome:
    """Call the provider until a draft meets the brief.

    An empty answer is repeated once, colder and shorter.  A draft without a required element, or with an avoided
    one, is repeated with the next seed, up to :data:`MAX_DRAWS` drafts in all.

    Args:
        received: a ``context_built`` event.
        providers: provider by kind.
        named: as for :func:`handle`.
        on_token: called with each piece of text.

    Returns:
        ``drafted``, a retry, or a failure with the provider's code.
    """
    event = received.event
    if not isinstance(event, ev.ContextBuilt):
        raise TypeError(f"freeform-gen does not take {received.name}")
    chosen = event.brief.provider
    provider = named(chosen) if chosen and named else providers.get(received.kind)
    if provider is None:
        return Fail(
            code=ErrorCode.GEN_PROVIDER_DISABLED, message="model calls are turned off (USE_LOCAL_MODEL=false)"
        )
    brief, trail = event.brief, event.trail
    prompt = Prompt(
        text=brief.prompt,
        compact=compact_prompt(brief.prompt, brief.schema),
        kind=received.kind,
        stage=STAGE,
        request_id=received.request_id,
        attempt=event.attempt,
        repeats=event.brief.regenerates,
        arm=event.brief.experiment.label if event.brief.experiment else "",
        wish=extract_last_quote(brief.prompt),
        schema=brief.schema,
        spender=brief.spender,
    )
    params, why, empty, drawn = brief.freeform, "", 0, 0
    while True:
        try:
            done = await provider.generate(prompt, params, None, on_token)
        except ProviderError as error:
            lost = Attempt(provider=provider.name, model=provider.model, code=error.code, why=str(error))
            trail = _add(trail, error.attempts or (lost,))
            if error.retryable:
                return Retry(
                    code=error.code, message=str(error), trail=trail, after_s=error.retry_after_s or 0.0
                )
            return Fail(code=error.code, message=str(error), trail=trail)
        if not done.text.strip():
            trail = _account(trail, done, ErrorCode.GEN_EMPTY_OUTPUT, why or "empty answer")
            empty += 1
            if empty > 1:
                said = f"{provider.name} answered with nothing, twice"
                return Fail(code=ErrorCode.GEN_EMPTY_OUTPUT, message=said, trail=trail)
            params, why = _colder(params), "again, colder and shorter"
            continue
        unmet = required_terms.find_faults(
            done.text, required=brief.required_elements, avoid=brief.avoid_elements
        )
        if not unmet:
            return _drafted(event, params, done, _account(trail, done, None, why or "wrote the draft"))
        trail = _account(trail, done, ErrorCode.GEN_CONSTRAINT_FAIL, why or "wrote a draft")
        drawn += 1
        if drawn == MAX_DRAWS:
            return Fail(
                code=ErrorCode.GEN_CONSTRAINT_FAIL,
                message=f"all {drawn} drafts miss the request: {'; '.join(unmet)}",
                evidence=done.text[:MAX_EVIDENCE],
                letter=True,
                trail=trail,
            )
        params, why = _reseeded(params), f"again, with the next seed: {'; '.join(unmet)}"


def _drafted(event: ev.ContextBuilt, params: ev.Params, done: Completion, trail: ev.Trail) -> Emit:
    text = truncate(replace_surrogates(done.text[:MAX_TEXT]), MAX_BYTES)
    draft = ev.Draft(
        text=text,
        provider=done.provider,
        model=done.model,
        finish_reason=done.finish_reason,
        deterministic=done.deterministic,
        cached=done.cached,
        engine=done.engine,
    )
    if len(done.text) > len(text):
        cut = f"draft cut from {len(done.text)} to {len(text)} characters"
        trail = msgspec.structs.replace(trail, warnings=(*trail.warnings, cut))
    if done.finish_reason == LENGTH:
        short = f"the draft was cut off at max_tokens, after {len(done.text)} characters"
        trail = msgspec.structs.replace(trail, warnings=(*trail.warnings, short))
    # The result names the seed of the call that wrote the text.
    asked = msgspec.structs.replace(event.brief.freeform, seed=params.seed)
    brief = msgspec.structs.replace(event.brief, freeform=asked)
    return Emit(events=(ev.Drafted(attempt=event.attempt, brief=brief, draft=draft, trail=trail),))


def _colder(params: ev.Params) -> ev.Params:
    return msgspec.structs.replace(
        params, temperature=params.temperature / 2, max_tokens=max(1, params.max_tokens // 2)
    )


def _reseeded(params: ev.Params) -> ev.Params:
    return msgspec.structs.replace(params, seed=(params.seed + 1) % 2**63)


def _add(trail: ev.Trail, attempts: tuple[Attempt, ...]) -> ev.Trail:
    return msgspec.structs.replace(trail, attempts=(*trail.attempts, *attempts))


def _account(trail: ev.Trail, done: Completion, code: ErrorCode | None, why: str) -> ev.Trail:
    attempt = Attempt(
        provider=done.provider,
        model=done.model,
        code=code,
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
