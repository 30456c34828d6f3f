"""Call of a helper task: bounded in time whatever the provider does, and never an error of the request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec

from contracts.errors import ErrorCode, Unavailable, error_text
from contracts.events import Params, Trail
from contracts.ports import Completion, Prompt, Provider, ProviderError
from contracts.usage import Attempt

#: Waits until a request has its result, for some seconds at most; whether it has.
Ended = Callable[[str, float], Awaitable[bool]]

#: Seconds beyond its time-out in which a provider may end its call by itself; then it is left behind.
_GRACE_S: Final = 0.25
#: Nobody pays for the call: no provider was asked.
_NOT_PAID: Final = frozenset({ErrorCode.GEN_BUDGET_EXCEEDED, ErrorCode.GEN_RATE_LIMITED})
#: Calls that were left behind and have not ended yet.
_left_behind: set[asyncio.Future[Any]] = set()


class HelperAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a call."""

    #: ``None``: there is no answer.
    done: Completion | None = None
    code: ErrorCode | None = None
    #: Why there is no answer.
    reason: str = ""
    #: No provider was asked, because nobody pays or the broker is away, or the request has its result already.
    skipped: bool = False
    attempts: tuple[Attempt, ...] = ()
    time_ms: float = 0.0


async def ask(
    provider: Provider,
    prompt: Prompt,
    params: Params,
    schema: Mapping[str, Any] | None = None,
    *,
    limit_s: float,
    ended: Ended | None = None,
) -> HelperAnswer:
    """Call a provider for a helper task.

    Args:
        provider: who is asked; a chain has ``limit_s`` for all of its links.
        prompt: the input.
        params: sampling parameters; their time-out is replaced.
        schema: JSON Schema of the answer.
        limit_s: seconds until the answer is not waited for any more.
        ended: waits for the request's result, with which the call is stopped; ``None``: somebody else does.

    Returns:
        the answer, or why there is none; a provider that ignores its cancellation is left behind.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    params = msgspec.structs.replace(params, timeout_s=limit_s)
    call = loop.create_task(_caught(provider, prompt, params, schema))
    watch = None if ended is None else loop.create_task(_watched(ended, prompt.request_id, limit_s))
    waiting: set[asyncio.Task[Any]] = {call} if watch is None else {call, watch}
    try:
        until = began + limit_s + _GRACE_S
        while not call.done() and (left := until - loop.time()) > 0:
            await asyncio.wait(waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if watch is not None and watch.done() and not call.done():
                if watch.result():
                    return HelperAnswer(skipped=True, reason="the request has its result already")
                waiting.discard(watch)
    finally:
        for task in (call, watch):
            if task is not None and not task.done():
                _leave_behind(task)
    time_ms = (loop.time() - began) * 1000
    if call.done():
        return msgspec.structs.replace(call.result(), time_ms=time_ms)
    why = f"no answer within {limit_s:.1f} s"
    lost = Attempt(
        provider=provider.name, model=provider.model, code=ErrorCode.GEN_TIMEOUT, time_ms=time_ms, why=why
    )
    return HelperAnswer(code=ErrorCode.GEN_TIMEOUT, reason=why, attempts=(lost,), time_ms=time_ms)


def add_to_trail(
    trail: Trail, answer: HelperAnswer, *, task: str, why: str, code: ErrorCode | None = None
) -> Trail:
    """The trail with the calls of a helper task and what they cost.

    Args:
        trail: before it.
        answer: what became of the call.
        task: what the calls without an answer were for.
        why: what the call with the answer did.
        code: what is wrong with an answer that cannot be used.
    """
    done = answer.done
    calls = answer.attempts if done is None else done.attempts
    failed = tuple(msgspec.structs.replace(each, why=f"{task}: {each.why}") for each in calls)
    if done is None:
        return msgspec.structs.replace(trail, attempts=(*trail.attempts, *failed))
    attempt = Attempt(
        provider=done.provider,
        model=done.model,
        code=code,
        time_ms=done.time_ms,
        why=f"{why}: {done.note}" if done.note else why,
    )
    return msgspec.structs.replace(
        trail,
        attempts=(*trail.attempts, *failed, attempt),
        tokens=trail.tokens + done.tokens,
        amount=trail.amount if done.amount is None else (trail.amount or 0) + done.amount,
    )


async def _caught(
    provider: Provider, prompt: Prompt, params: Params, schema: Mapping[str, Any] | None
) -> HelperAnswer:
    """The answer, or the error as a value: the request goes on without the helper, whatever its error is."""
    try:
        return HelperAnswer(done=await provider.generate(prompt, params, schema))
    except ProviderError as error:
        lost = Attempt(provider=provider.name, model=provider.model, code=error.code, why=str(error))
        return HelperAnswer(
            code=error.code,
            reason=str(error),
            skipped=error.code in _NOT_PAID,
            attempts=error.attempts or (lost,),
        )
    except Unavailable as error:
        return HelperAnswer(skipped=True, reason=error_text(error))
    except Exception as error:  # noqa: BLE001 - a defect of ours: recorded, and no reason to lose a document
        why = f"defect: {type(error).__name__}: {error}"
        return HelperAnswer(code=ErrorCode.GEN_INTERNAL, reason=why)


async def _watched(ended: Ended, request_id: str, limit_s: float) -> bool:
    try:
        return await ended(request_id, limit_s)
    except Unavailable:
        # Whoever cannot hear of a result lets the call go on.
        return False


def _leave_behind(task: asyncio.Future[Any]) -> None:
    """Cancel a task without waiting for it."""
    _left_behind.add(task)
    task.add_done_callback(_left_behind.discard)
    task.cancel()
