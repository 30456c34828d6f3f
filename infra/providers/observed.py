"""Observed provider: every call that is made is reported, whatever becomes of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from contracts.errors import ErrorCode
from contracts.ports import ProviderError
from infra.telemetry.provider_events import ProviderCalled
from infra.telemetry.trace_events import CALLS, CallFacts

if TYPE_CHECKING:
    from contracts.events import Params
    from contracts.ports import Completion, OnToken, Prompt, Provider
    from contracts.usage import Attempt
    from infra.telemetry.dispatch import Telemetry

_NS_OF_MS = 1_000_000


class Observed:
    """A provider whose calls are reported when they end, those that are cancelled included.

    Args:
        provider: who is called.
        telemetry: gets a ``ProviderCalled`` for each call.
    """

    def __init__(self, provider: Provider, telemetry: Telemetry) -> None:
        self.name = provider.name
        self.model = provider.model
        self._provider = provider
        self._telemetry = telemetry

    async def generate(
        self,
        prompt: Prompt,
        params: Params,
        schema: Mapping[str, Any] | None = None,
        on_token: OnToken | None = None,
    ) -> Completion:
        """Ask; the port's contract.

        Raises:
            ProviderError: the provider's own.
        """
        began_s = time.perf_counter()
        # Calls that the provider made before its last one, for instance with parameters that a server refused.
        earlier: tuple[Attempt, ...] = ()
        done: Completion | None = None
        # What is not known to have ended otherwise was cancelled.
        code = str(ErrorCode.GEN_CANCELLED)
        try:
            answer = done = await self._provider.generate(prompt, params, schema, on_token)
            earlier = done.attempts
            code = "" if done.text.strip() else str(ErrorCode.GEN_EMPTY_OUTPUT)
        except ProviderError as error:
            earlier, code = error.attempts[:-1], str(error.code)
            raise
        except Exception:
            code = str(ErrorCode.GEN_INTERNAL)
            raise
        finally:
            left_ms = (time.perf_counter() - began_s) * 1000
            output = "text" if schema is None else "json"
            for each in earlier:
                self._report(prompt, params, output, str(each.code or ""), each.time_ms, left_ms)
                left_ms = max(0.0, left_ms - each.time_ms)
            self._report(prompt, params, output, code, left_ms, left_ms, done)
        return answer

    def _report(
        self,
        prompt: Prompt,
        params: Params,
        output: str,
        code: str,
        duration_ms: float,
        ago_ms: float,
        done: Completion | None = None,
    ) -> None:
        """Report one call, which began ``ago_ms`` milliseconds ago."""
        called = ProviderCalled(
            stage=prompt.stage,
            kind=prompt.kind,
            request_id=prompt.request_id,
            provider=self.name,
            model=self.model,
            code=code,
            duration_ms=round(duration_ms, 2),
            prompt_tokens=None if done is None else done.tokens.prompt,
            completion_tokens=None if done is None else done.tokens.completion,
            cost=None if done is None else done.amount,
        )
        self._telemetry.emit(called)
        traced = CALLS.get(None)
        if traced is not None:
            began_ns = time.time_ns() - int(ago_ms * _NS_OF_MS)
            traced.append(
                CallFacts(
                    called=called,
                    params=params,
                    output=output,
                    response_model=None if done is None else done.model,
                    finish_reason=None if done is None else done.finish_reason,
                    began_ns=began_ns,
                    ended_ns=began_ns + int(duration_ms * _NS_OF_MS),
                )
            )
