"""OpenAI provider: asks a server that speaks the OpenAI protocol (llama.cpp, Ollama, vLLM, a hosted one).

Needs the extra ``openai``; imported only when a route names such a server.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, cast

import httpx2
import msgspec

from contracts.errors import ErrorCode
from contracts.ports import LENGTH, STOP, Completion, ProviderError
from contracts.usage import Attempt, Tokens
from infra.engine.grammar_schema import shorten
from infra.providers import finish_reasons, http_errors, request_mapping, streaming
from infra.providers.answer_limits import aim_to_end
from infra.providers.http_errors import Broken, ErrorResponse
from infra.providers.model_size import small_size
from infra.providers.reported_usage import Counted, Most, counted
from infra.providers.request_mapping import Concession, Dialect, JsonMode
from infra.providers.server_schema import bound_numbers, drop_inexact_bounds, simplify_alternatives
from infra.providers.streamed_answer import StreamedAnswer

if TYPE_CHECKING:
    from contracts.events import Params
    from contracts.ports import OnToken, Prompt
    from infra.settings.narrative import OpenAIServer

#: Seconds to establish a connection; a host that drops packets must not take the whole time-out.
_CONNECT_S: Final = 10.0
#: Seconds that an idle connection is kept: less than servers keep theirs (uvicorn: 5), so that no request
#: meets one that is just being closed.
_KEEP_S: Final = 2.0
#: Sent to a server that has no key.
_NO_KEY: Final = "none"
#: Connections at once: as many as calls.
_LIMITS: Final = httpx2.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=_KEEP_S)
_ONCE: Final = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
#: Statuses whose message may name a parameter: llama-cpp-python answers 500 to an unknown field.
_MAY_NAME: Final = frozenset({400, 422, 500, 501})


class OpenAIProvider:
    """Implements :class:`contracts.ports.Provider` over ``/chat/completions``, always streaming.

    What a server does not take (a response format, a parameter) is found out by asking: a refusal that
    names it leads to a smaller request, is remembered for later calls and reported in ``attempts``.

    Args:
        server: where it is and what it costs; its model is set.
        name: the name that routes and results use.
        variable: prefix of the variables of its settings, for messages to people.
    """

    #: Whether an attempt says which response format was used.
    says_format = True

    def __init__(
        self, server: OpenAIServer, *, name: str = "openai", variable: str = "UNDERSTUDY_NARRATIVE__OPENAI"
    ) -> None:
        self.name = name
        self.model = server.model or ""
        self._server = server
        key = key_of(server)
        self._asked = http_errors.CalledServer(
            name=name, base_url=shown(server.base_url), model=self.model, variable=variable, key=key or None
        )
        self._url = address(server.base_url, "chat/completions")
        self._client = client(server)
        #: Parameters of its model, where the name says that it is small.
        self._size = small_size(self.model)
        self._fixed = server.mode != "auto"
        self._dialect = Dialect(format=JsonMode(server.mode) if self._fixed else JsonMode.JSON_SCHEMA)

    @property
    def dialect(self) -> Dialect:
        """What is known of the server."""
        return self._dialect

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    def body(
        self, prompt: Prompt, params: Params, schema: Mapping[str, Any] | None, dialect: Dialect
    ) -> dict[str, Any]:
        """The body of a request in a dialect."""
        window = self._server.window
        if schema is not None:
            small = self._size is not None
            schema = simplify_alternatives(drop_inexact_bounds(schema), require_first=small)
            schema = bound_numbers(schema) if small else schema
        return request_mapping.body(self.model, prompt, params, schema, dialect, window=window)

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
        aim = None if self._size is None else aim_to_end(prompt, params.max_tokens, parameters=self._size)
        if schema is not None and aim is not None:
            # Off the event loop: a request's own schema may take a second.
            schema = await asyncio.to_thread(shorten, schema, aim)
        attempts: list[Attempt] = []
        dialect = self._dialect
        written = StreamedAnswer()
        began = time.perf_counter()
        try:
            async with asyncio.timeout(limit):
                while True:
                    began = time.perf_counter()
                    try:
                        body = self.body(prompt, params, schema, dialect)
                        sent = msgspec.json.encode({**body, "stream": True})
                        await self._ask(sent, limit, written, on_token)
                        break
                    except ErrorResponse as error:
                        step = self._step(error, dialect, constrained=schema is not None)
                        if step is None:
                            raise
                        dialect = step.dialect
                        if step.lasting:
                            self._dialect &= dialect
                        refused = http_errors.fault(error, self._asked)
                        attempts.append(self._attempt(refused.code, began, f"{refused}; {step.why}"))
        except TimeoutError:
            raise self._failed(http_errors.timed_out(self._asked, limit), written, attempts, began) from None
        except (ErrorResponse, Broken, httpx2.HTTPError, httpx2.StreamError, ValueError) as error:
            raise self._failed(http_errors.fault(error, self._asked), written, attempts, began) from None
        fault = self._unusable(written)
        if fault is not None:
            raise self._failed(fault, written, attempts, began)
        server = self._server
        most = Most.of(len(sent), params.max_tokens, server.price_prompt, server.price_completion)
        return self._completion(
            written,
            counted(written.usage, most, text=bool(written.text)),
            params,
            schema,
            dialect,
            attempts,
            began,
        )

    async def _ask(
        self, body: bytes, limit: float, written: StreamedAnswer, on_token: OnToken | None
    ) -> None:
        timeout = httpx2.Timeout(limit, connect=min(_CONNECT_S, limit))
        async with self._client.stream("POST", self._url, content=body, timeout=timeout) as response:
            if not response.is_success:
                raise ErrorResponse(response.status_code, await streaming.whole(response), response.headers)
            hint = f"is {self._asked.variable}__BASE_URL right? Most end in /v1"
            async with aclosing(streaming.chunks(response, hint)) as chunks:
                async for chunk in chunks:
                    _require_no_error(chunk)
                    piece = written.add(chunk)
                    if piece and on_token is not None:
                        on_token(piece)
                    if written.full:
                        written.finish_reason = LENGTH
                        break
        piece = written.end()
        if piece and on_token is not None:
            on_token(piece)

    def _step(self, error: ErrorResponse, dialect: Dialect, *, constrained: bool) -> Concession | None:
        if error.status not in _MAY_NAME:
            return None
        return request_mapping.concede(
            dialect, error.words, param=error.param, constrained=constrained, fixed=self._fixed
        )

    def _unusable(self, written: StreamedAnswer) -> ProviderError | None:
        word = written.finish_reason
        if written.refusal:
            return http_errors.refused(self._asked, written.refusal)
        if word is not None and finish_reasons.refuses(word):
            return http_errors.refused(self._asked, f"it ended the answer with {word!r}")
        if word is not None and finish_reasons.breaks(word):
            return http_errors.broke_off(self._asked, f"it ended the answer with {word!r}")
        if word is None and written.begun:
            return ProviderError(
                ErrorCode.GEN_PROVIDER_UNAVAILABLE,
                f"{self.name} ended the stream before the answer, after {len(written.text)} characters",
                retryable=True,
            )
        return None

    def _completion(
        self,
        written: StreamedAnswer,
        counts: Counted,
        params: Params,
        schema: Mapping[str, Any] | None,
        dialect: Dialect,
        attempts: list[Attempt],
        began: float,
    ) -> Completion:
        text = request_mapping.cut(written.text, params.stop)
        whole = text == written.text
        finish_reason = finish_reasons.known_as(written.finish_reason or STOP) if whole else STOP
        notes: list[str] = []
        if schema is not None:
            ignored = dialect.format is not JsonMode.PROMPT and whole and finish_reason == STOP
            if ignored and text.strip() and not _is_json(text):
                notes.append(f"the server ignored {dialect.format}")
                if not self._fixed:
                    self._dialect &= Dialect(format=JsonMode.PROMPT)
            elif self.says_format:
                notes.append(f"asked with {dialect.format}")
        notes += [f"without {name}" for name in sorted(dialect.without - {"stream_options"})]
        if not written.heard:
            # llama-cpp-python answers like this to a prompt that is longer than its context window.
            notes.append("an empty stream; is the prompt too long for the server?")
        if written.reasoning:
            rest = "" if text.strip() else " and none of an answer"
            notes.append(f"{written.reasoning} characters of reasoning{rest}")
        if written.tools and not text.strip():
            notes.append("it called a tool, but none was offered")
        if finish_reason not in {STOP, LENGTH}:
            notes.append(f"it ended the answer with {finish_reason!r}, which is no known word for a good end")
        notes += counts.doubts
        return Completion(
            text=text,
            provider=self.name,
            model=written.model or self.model,
            finish_reason=finish_reason,
            tokens=counts.tokens,
            amount=counts.amount if counts.amount is not None else self._priced(counts.tokens),
            attempts=tuple(attempts),
            time_ms=(time.perf_counter() - began) * 1000,
            note=", ".join(notes),
        )

    def _priced(self, tokens: Tokens) -> float | None:
        """What tokens cost; ``None`` where they or their price are not known."""
        prompt, completion = self._server.price_prompt, self._server.price_completion
        if tokens.prompt is None or tokens.completion is None or prompt is completion is None:
            return None
        return (tokens.prompt * (prompt or 0.0) + tokens.completion * (completion or 0.0)) / 1000

    def _attempt(self, code: ErrorCode, began: float, why: str) -> Attempt:
        spent = (time.perf_counter() - began) * 1000
        return Attempt(provider=self.name, model=self.model, code=code, time_ms=spent, why=why)

    def _failed(
        self, error: ProviderError, written: StreamedAnswer, attempts: list[Attempt], began: float
    ) -> ProviderError:
        error.attempts = (*attempts, self._attempt(error.code, began, str(error)))
        error.begun = written.wrote
        return error


def key_of(server: OpenAIServer) -> str:
    """The key that a server is shown, without what an editor leaves around it; empty where there is none."""
    return server.api_key.get_secret_value().strip() if server.api_key else ""


def mistake(server: OpenAIServer, variable: str) -> str | None:
    """Why a server's settings cannot be used, in words; ``None`` where they can."""
    try:
        host = address(server.base_url, "models").host
    except httpx2.InvalidURL as error:
        return f"{variable}__BASE_URL is no address of a server: {error}"
    if not host:
        return f"{variable}__BASE_URL names no server: write for instance http://127.0.0.1:8080/v1"
    key = key_of(server)
    if not (key.isascii() and key.isprintable()):
        return f"{variable}__API_KEY has characters that no key has: a line end, or one beyond ASCII"
    return None


def address(base_url: str, path: str) -> httpx2.URL:
    """Where a server's API has a path.

    Raises:
        InvalidURL: the server's address is none.
    """
    base = httpx2.URL(base_url)
    return base.copy_with(path=f"{base.path.rstrip('/')}/{path}")


def shown(base_url: str) -> str:
    """A server's address for people, without a password or a key in it."""
    return str(httpx2.URL(base_url).copy_with(userinfo=b"", query=None))


def client(server: OpenAIServer, *, keep: bool = True) -> httpx2.AsyncClient:
    """A client that shows a server its key.

    Args:
        server: its settings.
        keep: connections are used again; a server may close one just then.
    """
    return httpx2.AsyncClient(
        headers={
            "authorization": f"Bearer {key_of(server) or _NO_KEY}",
            "content-type": "application/json",
            "accept": "text/event-stream, application/json",
            # Compressed, a few bytes could become any number.
            "accept-encoding": "identity",
            "user-agent": "understudy",
        },
        limits=_LIMITS if keep else _ONCE,
        follow_redirects=True,
    )


def _require_no_error(chunk: Any) -> None:
    """Refuse a chunk that reports an error.

    Raises:
        Broken: with the server's words.
    """
    if not isinstance(chunk, dict):
        return
    fields = cast("dict[str, Any]", chunk)
    # The second form is that of older servers of vLLM.
    error = fields.get("error") or (fields if fields.get("object") == "error" else None)
    if error:
        raise Broken(error)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
