"""Handler of structuring: the draft as a JSON document that follows the kind's schema."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from contracts import events as ev
from contracts.content import schema_text
from contracts.content.sketch import sketch
from contracts.envelope import Received
from contracts.errors import ErrorCode
from contracts.nodes import schema_pins
from contracts.outcome import Emit, Fail, Outcome, Retry
from contracts.policy.quoting import extract_last_quote, replace_surrogates, truncate
from contracts.ports import (
    LENGTH,
    Announce,
    Contents,
    OnToken,
    Prompt,
    Provider,
    ProviderError,
    ReleaseTokens,
)
from contracts.usage import Attempt
from stages.structuring import prompts

STAGE = "structuring"
#: Bytes of an event with its document: less than a broker's default limit.
MAX_BYTES = 960 * 1024
#: Added to the temperature by each re-ask: at temperature 0 another seed changes nothing.
_WARMER = 0.4


async def handle(
    received: Received[Any],
    *,
    providers: Mapping[str, Provider],
    named: Callable[[str], Provider] | None = None,
    contents: Contents,
    announce: Announce,
    release: ReleaseTokens,
) -> Outcome:
    """Have the routed provider turn a draft into a JSON document.

    Args:
        received: ``drafted``, or ``invalid`` with the errors of the document before.
        providers: provider by kind; a kind without one has no model.
        named: finds the provider that a brief names in place of the routed one; ``None``: model calls are off.
        contents: the content kinds.
        announce: publishes progress while the model writes.
        release: returns the tokens reserved for this call that it did not use.

    Returns:
        ``structured``, a retry, or a failure with the provider's code.
    """
    with announce(received, stage=STAGE) as on_token:
        outcome = await structure(
            received, providers=providers, named=named, contents=contents, on_token=on_token
        )
    release(received.request_id)
    return outcome


async def structure(
    received: Received[Any],
    *,
    providers: Mapping[str, Provider],
    named: Callable[[str], Provider] | None = None,
    contents: Contents,
    on_token: OnToken,
) -> Outcome:
    """Call the provider once, with the brief's parameters; a re-ask is warmer and has the next seed.

    Args:
        received: ``drafted`` or ``invalid``.
        providers: provider by kind.
        named: as for :func:`handle`.
        contents: the content kinds.
        on_token: called with each piece of text.

    Returns:
        ``structured``, a retry, or a failure with the provider's code.
    """
    event = received.event
    errors: tuple[str, ...] = ()
    reask = 0
    match event:
        case ev.Drafted():
            pass
        case ev.Invalid():
            errors, reask = event.errors, event.reask
        case _:
            raise TypeError(f"structuring does not take {received.name}")
    chosen = event.brief.provider
    provider = named(chosen) if chosen and named else providers.get(received.kind)
    if provider is None:
        return Fail(
            code=ErrorCode.GEN_PROVIDER_DISABLED, message="model calls are turned off (USE_LOCAL_MODEL=false)"
        )
    brief = event.brief
    schema = schema_pins.apply_pins(contents.schema(received.kind, brief.schema), brief.settled)
    text = schema_text.encode(schema, keep=brief.schema is None and not brief.settled)
    fields = _sketch(text, described=brief.schema is not None)
    prompt = Prompt(
        text=prompts.structuring_prompt(received.kind, event.draft.text, text.decode(), errors),
        compact=prompts.compact_prompt(received.kind, event.draft.text, fields, errors),
        kind=received.kind,
        stage=STAGE,
        request_id=received.request_id,
        attempt=event.attempt,
        repeats=event.brief.regenerates,
        arm=event.brief.experiment.label if event.brief.experiment else "",
        reask=reask,
        wish=extract_last_quote(brief.prompt),
        schema=brief.schema,
        spender=event.brief.spender and event.brief.spender.structuring(),
    )
    # Without a change, a deterministic model repeats its mistake.
    asked = event.brief.structuring
    params = msgspec.structs.replace(
        asked,
        temperature=min(1.0, asked.temperature + _WARMER * reask),
        seed=asked.seed + reask,
    )
    trail = event.trail
    try:
        done = await provider.generate(prompt, params, schema, on_token)
    except ProviderError as error:
        lost = Attempt(provider=provider.name, model=provider.model, code=error.code, why=str(error))
        trail = msgspec.structs.replace(trail, attempts=(*trail.attempts, *(error.attempts or (lost,))))
        if error.retryable:
            return Retry(code=error.code, message=str(error), trail=trail, after_s=error.retry_after_s or 0.0)
        return Fail(code=error.code, message=str(error), trail=trail)
    why = f"re-ask {reask}, with the errors" if reask else "structured the draft"
    made = Attempt(
        provider=done.provider,
        model=done.model,
        time_ms=done.time_ms,
        why=f"{why}: {done.note}" if done.note else why,
    )
    amount = trail.amount if done.amount is None else (trail.amount or 0) + done.amount
    trail = msgspec.structs.replace(
        trail,
        attempts=(*trail.attempts, *done.attempts, made),
        tokens=trail.tokens + done.tokens,
        amount=amount,
    )
    document = ev.Draft(
        text=replace_surrogates(done.text),
        provider=done.provider,
        model=done.model,
        finish_reason=done.finish_reason,
        deterministic=done.deterministic,
        cached=done.cached,
        engine=done.engine,
    )
    structured = ev.Structured(
        attempt=event.attempt,
        brief=event.brief,
        # The text before enhancement stays in the event of the draft.
        draft=msgspec.structs.replace(event.draft, original=""),
        document=document,
        reask=reask,
        trail=trail,
    )
    return Emit(events=(_fitting(structured),))


@lru_cache(maxsize=64)
def _sketch(schema: bytes, *, described: bool) -> str:
    """The sketch of a schema; a request's own says more in its descriptions than in its names."""
    return sketch(msgspec.json.decode(schema), described=described)


def _fitting(event: ev.Structured) -> ev.Structured:
    """The event with as much of its document as a message holds; a cut sets the finish reason."""
    document = event.document
    rest = msgspec.structs.replace(event, document=msgspec.structs.replace(document, text=""))
    text = truncate(document.text, max(0, MAX_BYTES - _size(rest)))
    if text == document.text:
        return event
    cut = msgspec.structs.replace(document, text=text, finish_reason=LENGTH)
    return msgspec.structs.replace(event, document=cut)


def _size(event: ev.Structured) -> int:
    """Bytes of an event in JSON."""
    try:
        return len(msgspec.json.encode(event))
    except UnicodeEncodeError:
        # Half a surrogate pair; it is published as a question mark.
        return len(json.dumps(msgspec.to_builtins(event), ensure_ascii=False).encode("utf-8", "replace"))
