"""GGUF provider: a model file on this machine, run by llama.cpp without a compiler and without torch.

llama.cpp runs in a child process (:mod:`infra.providers.llama_server`) and is asked over HTTP on the loopback
interface, like any server with the OpenAI protocol; documents follow their schema by llguidance's grammar in it.
"""

from __future__ import annotations

import asyncio
import json
import math
import secrets
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import httpx2
import msgspec
from pydantic import SecretStr

from contracts.errors import ErrorCode
from contracts.policy.quoting import OPEN, extract_last_quote, quote, replace_surrogates
from contracts.ports import CallRefused, Completion, ProviderError
from infra.engine.files import Unloadable
from infra.engine.grammar_schema import bounded, within
from infra.engine.task import EngineError, Unsupported
from infra.engine.truncation import fit
from infra.providers import tuned
from infra.providers.answer_limits import TINY, aim_to_end
from infra.providers.llama_server import LlamaServer, RunningChild
from infra.providers.openai import OpenAIProvider, address, client
from infra.settings.narrative import Defaults, OpenAIServer

if TYPE_CHECKING:
    from contracts.events import Params
    from contracts.ports import OnToken, Prompt
    from infra.providers.gguf_files import GgufModel
    from infra.providers.request_mapping import Dialect
    from infra.settings.narrative import Gguf

NAME: Final = "gguf"
_VARIABLE: Final = "UNDERSTUDY_GGUF"
#: Replaced by the child's address at each call.
_NOWHERE: Final = "http://127.0.0.1"
#: Seconds; the call's own time-out counts.
_LONGEST_S: Final = 3600.0
#: Tokens that a chat template may add to a prompt.
_TEMPLATE: Final = 64
#: Runs of more than three tokens become unlikelier each time: small models repeat themselves.  Quotes and colons end a run,
#: so that the form of JSON is none.
_UNREPEATED: Final = {"dry_multiplier": 0.8, "dry_base": 1.75, "dry_allowed_length": 3}
#: One that nobody chose; a tuned model has its own.
_DEFAULT_TEMPERATURE: Final = Defaults().freeform.temperature
#: Makes llama.cpp use llguidance, as the local provider does; its own grammar language is far slower here.
_GRAMMAR: Final = "%llguidance {}\nstart: %json "
#: No white space between tokens of JSON: it doubles the tokens, and a small model can write it without end.
_COMPACT: Final = {"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"}


class GgufProvider(OpenAIProvider):
    """Implements :class:`contracts.ports.Provider` with a llama.cpp of its own.

    Args:
        settings: which file, and how it runs.
        model: the file, with its adapters.
    """

    says_format = False

    def __init__(self, settings: Gguf, model: GgufModel) -> None:
        self._files = model
        self._settings = settings
        self._key = secrets.token_urlsafe(32)
        self._llama = LlamaServer(model, settings, self._key)
        #: The child that the next two describe.
        self._running: RunningChild | None = None
        self._window = settings.max_len
        self._parameters = 0
        server = OpenAIServer(
            timeout=_LONGEST_S,
            base_url=_NOWHERE,
            api_key=SecretStr(self._key),
            model=model.name,
            mode="json_schema",
        )
        super().__init__(server, name=NAME, variable=_VARIABLE)
        self._client = client(server, keep=False)
        # The grammar here bounds documents.
        self._size = None

    async def ready(self) -> RunningChild:
        """llama.cpp with the model, loaded by the first call.

        Raises:
            Unloadable: with the name of the file.
        """
        running = await self._llama.ready()
        if running is not self._running:
            self._url = address(running.url, "v1/chat/completions")
            known = await self._described(running)
            self._window = min(
                self._settings.max_len, int(known.get("n_ctx_train") or self._settings.max_len)
            )
            # Where llama.cpp does not say: a quantised weight has about a byte.
            self._parameters = int(known.get("n_params") or self._files.file.stat().st_size)
            self._running = running
        return running

    async def _described(self, running: RunningChild) -> dict[str, Any]:
        """What llama.cpp says of the model: its window and its parameters.

        Raises:
            EngineError: llama.cpp does not answer.
        """
        try:
            answer = await self._client.get(address(running.url, "v1/models"))
            return answer.raise_for_status().json()["data"][0].get("meta") or {}
        except (httpx2.HTTPError, LookupError, ValueError) as error:
            raise EngineError(f"llama.cpp does not describe its model: {error}", retryable=True) from error

    async def close(self) -> None:
        """End llama.cpp."""
        await super().close()
        await self._llama.close()

    async def generate(
        self,
        prompt: Prompt,
        params: Params,
        schema: Mapping[str, Any] | None = None,
        on_token: OnToken | None = None,
    ) -> Completion:
        """Answer one prompt; with a schema, in JSON that follows it, or that was cut off and says ``length``.

        Raises:
            ProviderError: the model cannot be loaded, llama.cpp ended, or time was up.
        """
        # The grammar enforces the schema.
        prompt = msgspec.structs.replace(prompt, text=prompt.compact or prompt.text, compact="")
        try:
            began = time.monotonic()
            async with asyncio.timeout(params.timeout_s):
                running = await self.ready()
                if schema is not None:
                    # Off the event loop: a request's own schema may take a second.
                    await asyncio.to_thread(self._grammar, schema, prompt, params)
                fitting, note = await self._fitting(running, prompt, params)
            left = max(0.0, params.timeout_s - (time.monotonic() - began))
            params = msgspec.structs.replace(params, timeout_s=left)
            done = await super().generate(fitting, params, schema, on_token)
        except TimeoutError as error:
            late = f"llama.cpp was not ready with {self._files.file} after {params.timeout_s:g} s"
            raise ProviderError(ErrorCode.GEN_TIMEOUT, late, retryable=True) from error
        except Unloadable as error:
            # Not an outage: a circuit breaker must not hide which file it is.
            raise CallRefused(ErrorCode.GEN_PROVIDER_UNAVAILABLE, str(error)) from error
        except Unsupported as error:
            raise CallRefused(ErrorCode.GEN_SCHEMA_INVALID, str(error)) from error
        except EngineError as error:
            raise ProviderError(ErrorCode.GEN_PROVIDER_UNAVAILABLE, str(error), retryable=True) from error
        except ProviderError as error:
            unavailable = error.code is ErrorCode.GEN_PROVIDER_UNAVAILABLE
            status = await self._llama.ended() if unavailable else None
            if status is None:
                raise
            said = f"llama.cpp ended with status {status} while it wrote; it starts again with the next call"
            ended = ProviderError(ErrorCode.GEN_PROVIDER_UNAVAILABLE, said, retryable=True)
            ended.attempts, ended.begun = error.attempts, error.begun
            raise ended from error
        return msgspec.structs.replace(
            done,
            # llama.cpp names the file's path.
            model=self.model,
            amount=0.0,
            engine=self._llama.identity,
            note="; ".join(filter(None, (note, done.note))),
        )

    def body(
        self, prompt: Prompt, params: Params, schema: Mapping[str, Any] | None, dialect: Dialect
    ) -> dict[str, Any]:
        """The request: messages, parameters, and the schema as a grammar."""
        made = super().body(prompt, params, None, dialect)
        made["messages"] = self._messages(prompt, schema)
        # Templates of models may use them.
        made["chat_template_kwargs"] = {"kind": prompt.kind, "stage": prompt.stage}
        if self._files.tuned and schema is None and params.temperature == _DEFAULT_TEMPERATURE:
            made["temperature"] = tuned.TEMPERATURE
        if self._aim(prompt, params):
            made |= _UNREPEATED
        if schema is not None:
            made["grammar"] = self._grammar(schema, prompt, params)
        return made

    def _grammar(self, schema: Mapping[str, Any], prompt: Prompt, params: Params) -> str:
        """The grammar of a schema; made once.

        Raises:
            Unsupported: there is none.
        """
        tokens = self._aim(prompt, params)
        if self._files.tuned:
            # It ends by itself; where it is asked again, it may have been cut off.
            tokens = aim_to_end(prompt, params.max_tokens, parameters=TINY) if prompt.reask else None
        return _grammar_of(msgspec.json.encode(schema), tokens)

    def _aim(self, prompt: Prompt, params: Params) -> int | None:
        return aim_to_end(prompt, params.max_tokens, parameters=self._parameters)

    def _messages(self, prompt: Prompt, schema: Mapping[str, Any] | None) -> tuned.Messages:
        text = replace_surrogates(prompt.text)
        if not self._files.tuned:
            return [{"role": "user", "content": text}]
        own = prompt.schema
        if schema is None:
            return tuned.prose_messages(prompt.kind, replace_surrogates(prompt.wish or text), own)
        return tuned.document_messages(
            prompt.kind, replace_surrogates(prompt.wish), extract_last_quote(text), own
        )

    async def _fitting(self, running: RunningChild, prompt: Prompt, params: Params) -> tuple[Prompt, str]:
        """The prompt with less of what others wrote, if it does not fit: the last quoted block gives way."""
        window = self._window
        # The answer has at least half of the window.
        room = window - min(params.max_tokens, window // 2) - _TEMPLATE
        sent = "".join(each["content"] for each in self._messages(prompt, None))
        # A token has at least one byte.
        if len(sent.encode("utf-8", "replace")) <= room:
            return prompt, ""
        used = await self._count(running, sent)
        if used <= room:
            return prompt, ""
        if prompt.whole:
            raise CallRefused(
                ErrorCode.GEN_CONSTRAINT_FAIL,
                f"the prompt has {used} tokens, and the context window has room for {room}",
            )
        block = replace_surrogates(extract_last_quote(prompt.text))
        each_b = len(sent.encode()) / used

        def count(text: str) -> int:
            return math.ceil(len(text.encode()) / each_b)

        before = count(block)
        fitted = fit(block, max(1, before - (used - room) - _TEMPLATE), count)
        rules = prompt.text[: prompt.text.rfind(OPEN)]
        wish = fitted.text if prompt.wish == block else prompt.wish
        shorter = msgspec.structs.replace(prompt, text=rules + quote(fitted.text), wish=wish)
        return shorter, (
            f"shortened from about {before} to {count(fitted.text)} tokens to fit the context window: "
            f"{fitted.kept} of {fitted.of} sentences kept"
        )

    async def _count(self, running: RunningChild, text: str) -> int:
        """Tokens of a text.

        Raises:
            EngineError: llama.cpp does not answer.
        """
        try:
            answer = await self._client.post(address(running.url, "tokenize"), json={"content": text})
            return len(answer.raise_for_status().json()["tokens"])
        except (httpx2.HTTPError, LookupError, ValueError) as error:
            raise EngineError(f"llama.cpp does not count tokens: {error}", retryable=True) from error


@lru_cache(maxsize=64)
def _grammar_of(schema: bytes, tokens: int | None) -> str:
    """The grammar of a schema in JSON; with ``tokens``, of documents that end within so many."""
    narrowed = bounded(msgspec.json.decode(schema))
    if tokens is not None:
        narrowed = within(narrowed, tokens)
    return f"{_GRAMMAR}{json.dumps({**narrowed, 'x-guidance': _COMPACT}, ensure_ascii=False)}\n"
