"""Response cache: earlier answers to equal calls, in the process and in a store on disk.

The key is what shapes an answer: provider, model, prompt, parameters and schema.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from contracts.policy import fingerprint
from contracts.ports import Completion
from contracts.usage import Tokens

if TYPE_CHECKING:
    from contracts.events import Params
    from contracts.ports import OnToken, Prompt, Provider

#: Endings of an answer that its model meant to end.
_COMPLETE: Final = frozenset({"stop", "grammar"})

#: A key from provider, model, prompt, parameters and schema.
Scheme = Callable[[str, str, str, "Params", Mapping[str, Any] | None], str]


def key_v1(provider: str, model: str, text: str, params: Params, schema: Mapping[str, Any] | None) -> str:
    """``v1:<provider>:<model>:<prompt hash>:<parameters hash>``, the same whatever the order of keys.

    The time-out is no part of it: it decides whether there is an answer, not which.
    """
    shaping = {
        "temperature": float(params.temperature),
        "top_p": float(params.top_p),
        "max_tokens": params.max_tokens,
        "seed": params.seed,
        "stop": params.stop,
        "schema": None if schema is None else fingerprint.digest(schema),
    }
    return f"v1:{provider}:{model}:{fingerprint.digest_text(text)}:{fingerprint.digest(shaping)}"


#: The scheme in use, then those that are still read; an old one stays for one release (E10, E15).
SCHEMES: Final[tuple[Scheme, ...]] = (key_v1,)


class CachedResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A kept answer."""

    text: str
    model: str
    finish_reason: str
    deterministic: bool = False


class ResponseLayer(Protocol):
    """A layer that outlives the process; its methods block, and never raise."""

    def get(self, key: str) -> CachedResponse | None:
        """The entry, which counts as used now."""
        ...

    def put(self, key: str, entry: CachedResponse) -> None:
        """Keep an entry."""
        ...


def allowed(prompt: Prompt, params: Params) -> bool:
    """Whether a call may be answered from the cache, and its answer kept.

    Not for a request's further attempts, replays and shadows, nor where the brief asks for a fresh
    answer (strategy ``always``, a seed from the clock).  A seed that a request names, or that follows
    from its input, is part of the key.
    """
    return prompt.attempt == 1 and not params.fresh and not prompt.repeats


def worth_keeping(done: Completion, schema: Mapping[str, Any] | None) -> bool:
    """Whether an answer is whole: ended by its model, not empty, and JSON if a schema was given."""
    if done.finish_reason not in _COMPLETE or not done.text.strip():
        return False
    if schema is None:
        return True
    try:
        return bool(json.loads(done.text))
    except (ValueError, RecursionError):
        return False


def _texts(prompt: Prompt) -> tuple[str, ...]:
    """What stands for a prompt in its keys, the one to write first.

    All words that may shape an answer: models with messages of their own read the wish beside the draft.  Arms of
    experiments share nothing.
    """
    text = prompt.text if prompt.wish in prompt.text else f"{prompt.text}\n{prompt.wish}"
    if prompt.arm:
        return (f"{text}\x1f{prompt.arm}",)
    # Without the wish: entries of the release before, which are read for one release more (E10).
    return tuple(dict.fromkeys((text, prompt.text)))


class CachedProvider:
    """A provider whose whole answers are kept; an answer from the cache says so.

    Args:
        provider: who is asked otherwise.
        memory: the layer in the process; may be shared.
        store: the layer on disk, if there is one.
        schemes: how keys are made; the first is written, all are read.
    """

    def __init__(
        self,
        provider: Provider,
        *,
        memory: MutableMapping[str, CachedResponse],
        store: ResponseLayer | None = None,
        schemes: tuple[Scheme, ...] = SCHEMES,
    ) -> None:
        self.name = provider.name
        self.model = provider.model
        self._provider = provider
        self._memory = memory
        self._store = store
        self._schemes = schemes

    async def generate(
        self,
        prompt: Prompt,
        params: Params,
        schema: Mapping[str, Any] | None = None,
        on_token: OnToken | None = None,
    ) -> Completion:
        """Answer from the cache, else ask; the port's contract.

        Raises:
            ProviderError: the provider's own.
        """
        if not allowed(prompt, params):
            return await self._provider.generate(prompt, params, schema, on_token)
        began = time.perf_counter()
        keys = [
            scheme(self.name, self.model, text, params, schema)
            for text in _texts(prompt)
            for scheme in self._schemes
        ]
        entry = await self._find(keys)
        if entry is not None:
            if on_token is not None:
                on_token(entry.text)
            return self._hit(entry, began)
        done = await self._provider.generate(prompt, params, schema, on_token)
        if worth_keeping(done, schema):
            await self._keep(
                keys[0],
                CachedResponse(
                    text=done.text,
                    model=done.model,
                    finish_reason=done.finish_reason,
                    deterministic=done.deterministic,
                ),
            )
        return done

    async def _find(self, keys: list[str]) -> CachedResponse | None:
        for key in keys:
            entry = self._memory.get(key)
            if entry is None and self._store is not None:
                entry = await asyncio.to_thread(self._store.get, key)
                if entry is not None:
                    self._memory[key] = entry
            if entry is not None:
                if key != keys[0]:
                    await self._keep(keys[0], entry)
                return entry
        return None

    async def _keep(self, key: str, entry: CachedResponse) -> None:
        self._memory[key] = entry
        if self._store is not None:
            await asyncio.to_thread(self._store.put, key, entry)

    def _hit(self, entry: CachedResponse, began: float) -> Completion:
        return Completion(
            text=entry.text,
            provider=self.name,
            model=entry.model,
            finish_reason=entry.finish_reason,
            tokens=Tokens(prompt=0, completion=0),
            amount=0.0,
            deterministic=entry.deterministic,
            time_ms=(time.perf_counter() - began) * 1000,
            cached=True,
            note="from the response cache",
        )
