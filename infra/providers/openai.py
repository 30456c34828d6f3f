"""Which provider asks a server that speaks the OpenAI protocol (llama.cpp, Ollama, vLLM, a hosted one)?

Needs the extra ``understudy[openai]``; imported only when a route names such a server.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import httpx2
from openai import APIStatusError, AsyncOpenAI, DefaultAsyncHttpxClient, OpenAIError, Timeout

from contracts.errors import ErrorCode, ProviderError, Refused
from contracts.ports import Completion
from contracts.result import Attempt
from infra.providers import faults, mapping
from infra.providers.mapping import Concession, Dialect, Format
from infra.providers.written import Written

if TYPE_CHECKING:
    from contracts.events import Params
    from contracts.ports import OnToken, Prompt
    from infra.settings import OpenAIServer

#: Seconds to establish a connection; a host that drops packets must not take the whole time-out.
_CONNECT_S: Final = 10.0
#: Seconds that an idle connection is kept: less than servers keep theirs (uvicorn: 5), so that no request
#: meets one that is just being closed.
_KEEP_S: Final = 2.0
#: What a server without a key is shown; without it the client takes one from the environment.
_NO_KEY: Final = "none"
#: Statuses whose words may name a parameter: llama-cpp-python answers 500 to a field that it does not know.
_MAY_NAME: Final = frozenset({400, 422, 500, 501})


class OpenAIProvider:
    """Implements :class:`contracts.ports.Provider` over ``/chat/completions``, always streaming.

    What a server does not take (a response format, a parameter) is found out by asking: a refusal that
    names it is answered with a smaller request, remembered for later calls and told in ``attempts``.

    Args:
        server: where it is and what it costs; its model is set.
        name: the name that routes and results use.
        variable: prefix of the variables of its settings, for messages to people.
    """

    def __init__(
        self, server: OpenAIServer, *, name: str = "openai", variable: str = "UNDERSTUDY_NARRATIVE__OPENAI"
    ) -> None:
        self.name = name
        self.model = server.model or ""
        self._server = server
        key = server.api_key.get_secret_value() if server.api_key else ""
        self._asked = faults.Asked(
            name=name, base_url=server.base_url, model=self.model, variable=variable, key=key or None
        )
        self._client = AsyncOpenAI(
            base_url=server.base_url,
            api_key=key or _NO_KEY,
            admin_api_key="",
            max_retries=0,  # retries are the pipeline's, kept by the broker
            http_client=DefaultAsyncHttpxClient(limits=httpx2.Limits(keepalive_expiry=_KEEP_S)),
        )
        # The client found these in the environment, where they may be meant for another server.
        self._client.organization = self._client.project = None
        self._fixed = server.mode != "auto"
        self._dialect = Dialect(format=Format(server.mode) if self._fixed else Format.JSON_SCHEMA)

    @property
    def dialect(self) -> Dialect:
        """What is known of the server."""
        return self._dialect

    async def close(self) -> None:
        """Close its connections."""
        await self._client.close()

    async def generate(
        self,
        prompt: Prompt,
        params: Params,
        schema: Mapping[str, Any] | None = None,
        on_token: OnToken | None = None,
    ) -> Completion:
        """Ask the server; the port's contract.

        Raises:
            ProviderError: ``GEN_TIMEOUT``, or ``GEN_PROVIDER_UNAVAILABLE`` with the server's words;
                :class:`Refused` where this one request is at fault.
        """
        limit = min(params.timeout_s, self._server.timeout)
        attempts: list[Attempt] = []
        dialect = self._dialect
        began = time.perf_counter()
        try:
            async with asyncio.timeout(limit):
                while True:
                    began = time.perf_counter()
                    try:
                        body = mapping.body(self.model, prompt, params, schema, dialect)
                        written = await self._ask(body, limit, on_token)
                        break
                    except APIStatusError as error:
                        step = self._step(error, dialect, constrained=schema is not None)
                        if step is None:
                            raise
                        dialect = step.dialect
                        if step.lasting:
                            self._dialect &= dialect
                        refused = faults.fault(error, self._asked)
                        attempts.append(self._attempt(refused.code, began, f"{refused}; {step.why}"))
        except TimeoutError:
            raise self._failed(faults.timed_out(self._asked, limit), attempts, began) from None
        except (OpenAIError, httpx2.HTTPError, ValueError) as error:
            raise self._failed(faults.fault(error, self._asked), attempts, began) from None
        fault = self._unusable(written)
        if fault is not None:
            raise self._failed(fault, attempts, began)
        return self._completion(written, params, schema, dialect, attempts, began)

    async def _ask(self, body: dict[str, Any], limit: float, on_token: OnToken | None) -> Written:
        written = Written()
        stream = await self._client.chat.completions.create(
            **body, stream=True, timeout=Timeout(limit, connect=min(_CONNECT_S, limit))
        )
        async with stream:
            kind = stream.response.headers.get("content-type", "")
            if not kind.startswith("text/event-stream"):
                # A web page or a whole document would read as a stream without a single event.
                raise ValueError(
                    f"content type {kind!r} instead of a stream; "
                    f"is {self._asked.variable}__BASE_URL right? Most end in /v1"
                )
            async for chunk in stream:
                piece = written.add(chunk)
                if piece and on_token is not None:
                    on_token(piece)
                if written.full:
                    written.finish_reason = "length"
                    break
        return written

    def _step(self, error: APIStatusError, dialect: Dialect, *, constrained: bool) -> Concession | None:
        if error.status_code not in _MAY_NAME:
            return None
        return mapping.concede(
            dialect, faults.words(error), param=error.param, constrained=constrained, fixed=self._fixed
        )

    def _unusable(self, written: Written) -> ProviderError | None:
        if written.finish_reason == "content_filter":
            return Refused(
                ErrorCode.GEN_PROVIDER_UNAVAILABLE, f"{self.name}'s content filter stopped the answer"
            )
        if written.finish_reason is None and written.begun:
            return ProviderError(
                ErrorCode.GEN_PROVIDER_UNAVAILABLE,
                f"{self.name} ended the stream before the answer, after {len(written.text)} characters",
                retryable=True,
            )
        return None

    def _completion(
        self,
        written: Written,
        params: Params,
        schema: Mapping[str, Any] | None,
        dialect: Dialect,
        attempts: list[Attempt],
        began: float,
    ) -> Completion:
        text = mapping.cut(written.text, params.stop)
        whole = text == written.text
        finish_reason = (written.finish_reason or "stop") if whole else "stop"
        notes: list[str] = []
        if schema is not None:
            ignored = dialect.format is not Format.PROMPT and whole and finish_reason == "stop"
            if ignored and text.strip() and not _is_json(text):
                notes.append(f"the server ignored {dialect.format}")
                if not self._fixed:
                    self._dialect &= Dialect(format=Format.PROMPT)
            else:
                notes.append(f"asked with {dialect.format}")
        notes += [f"without {name}" for name in sorted(dialect.without - {"stream_options"})]
        if not written.heard:
            # llama-cpp-python answers like this to a prompt that is longer than its context window.
            notes.append("an empty stream; is the prompt too long for the server?")
        if written.reasoning and not text.strip():
            notes.append(f"{written.reasoning} characters of reasoning and none of an answer")
        return Completion(
            text=text,
            provider=self.name,
            model=written.model or self.model,
            finish_reason=finish_reason,
            tokens=written.tokens,
            amount=written.amount(self._server.price_prompt, self._server.price_completion),
            attempts=tuple(attempts),
            time_ms=(time.perf_counter() - began) * 1000,
            note=", ".join(notes),
        )

    def _attempt(self, code: ErrorCode, began: float, why: str) -> Attempt:
        spent = (time.perf_counter() - began) * 1000
        return Attempt(provider=self.name, model=self.model, code=code, time_ms=spent, why=why)

    def _failed(self, error: ProviderError, attempts: list[Attempt], began: float) -> ProviderError:
        error.attempts = (*attempts, self._attempt(error.code, began, str(error)))
        return error


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
