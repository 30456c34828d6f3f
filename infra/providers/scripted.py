"""Which provider does exactly what a test wants?

Deterministic, ships in the package, and is never a default: its results say ``origin: scripted``.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, assert_never

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contracts import fingerprint
from contracts.content.registry import Registry
from contracts.errors import ErrorCode, ProviderError, UnderstudyError
from contracts.ports import Completion
from contracts.result import SCRIPTED, Tokens
from infra.providers.scripted_text import document, prose

if TYPE_CHECKING:
    from contracts.events import Params
    from contracts.ports import OnToken, Prompt

#: Exit status of a process that a script told to die.
KILLED: Final = 9
_MODEL: Final = "scripted-1"


class ScriptError(UnderstudyError):
    """A script that cannot be read; the text names the file and the field."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Match(_Part):
    """Which calls a rule is for; what is left out matches all."""

    kind: str | None = None
    stage: str | None = None
    #: Shell pattern.
    request_id: str | None = None
    #: Part of the prompt.
    prompt: str | None = None
    attempt: int | None = None

    def fits(self, prompt: Prompt) -> bool:
        """Whether the call is meant."""
        return (
            self.kind in (None, prompt.kind)
            and self.stage in (None, prompt.stage)
            and self.attempt in (None, prompt.attempt)
            and (self.request_id is None or fnmatchcase(prompt.request_id, self.request_id))
            and (self.prompt is None or self.prompt in prompt.text)
        )


class Rule(_Part):
    """What happens to the calls that match."""

    match: Match = Match()
    do: Literal["answer", "timeout", "empty", "malformed", "slow", "refuse", "busy", "exit"]
    #: Milliseconds before it happens.
    after_ms: int | None = Field(default=None, ge=0, le=3_600_000)
    #: Answered instead of a good text.
    text: str | None = None
    #: Applies so often per process and request, then no more.
    times: int | None = Field(default=None, ge=1)


class Script(_Part):
    """Rules in order; the first that matches counts."""

    rules: tuple[Rule, ...] = ()

    @classmethod
    def load(cls, path: Path) -> Script:
        """Read a script from a JSON file.

        Raises:
            ScriptError: naming the file and the field.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise ScriptError(f"script {path} cannot be read: {error.strerror}") from None
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ScriptError(f"script {path}: {where}: {first['msg']}") from None


class ScriptedProvider:
    """Implements :class:`contracts.ports.Provider` without a model."""

    name = SCRIPTED
    model = _MODEL

    def __init__(self, script: Script | None = None) -> None:
        self._rules = (script or Script()).rules
        self._used: Counter[tuple[int, str]] = Counter()
        self._contents = Registry()

    async def generate(
        self,
        prompt: Prompt,
        params: Params,
        schema: Mapping[str, Any] | None = None,
        on_token: OnToken | None = None,
    ) -> Completion:
        """Answer as the first matching rule says; without one, well.

        Raises:
            ProviderError: where the rule says so.
        """
        began = time.perf_counter()
        rule = self._rule(prompt)
        if rule is None:
            text = self._good(prompt, params, schema)
        else:
            text = await self._played(rule, prompt, params, schema)
        if on_token is not None and text:
            for word in text.split(" "):
                on_token(word + " ")
        return Completion(
            text=text,
            provider=self.name,
            model=self.model,
            finish_reason="stop",
            tokens=Tokens(prompt=len(prompt.text.split()), completion=len(text.split())),
            deterministic=True,
            time_ms=(time.perf_counter() - began) * 1000,
        )

    def _rule(self, prompt: Prompt) -> Rule | None:
        for index, rule in enumerate(self._rules):
            key = (index, prompt.request_id)
            if rule.match.fits(prompt) and (rule.times is None or self._used[key] < rule.times):
                if rule.times is not None:
                    self._used[key] += 1
                return rule
        return None

    def _good(self, prompt: Prompt, params: Params, schema: Mapping[str, Any] | None) -> str:
        key = fingerprint.digest([prompt.text, params.seed, prompt.kind])
        if prompt.stage == "structuring" or schema is not None:
            made = document(prompt.kind, prompt.text, key)
            if made is None:
                made = self._contents.placeholder(prompt.kind, schema)
            return json.dumps(made, ensure_ascii=False)
        return prose(prompt.kind, prompt.text, key)

    async def _played(
        self, rule: Rule, prompt: Prompt, params: Params, schema: Mapping[str, Any] | None
    ) -> str:
        delay = rule.after_ms
        if rule.do == "timeout" and delay is None:
            delay = int(params.timeout_s * 1000)
        if delay:
            await asyncio.sleep(delay / 1000)
        match rule.do:
            case "answer" | "slow":
                return rule.text if rule.text is not None else self._good(prompt, params, schema)
            case "empty":
                return ""
            case "malformed":
                return rule.text if rule.text is not None else _broken(self._good(prompt, params, schema))
            case "timeout":
                raise ProviderError(ErrorCode.GEN_TIMEOUT, "scripted: no answer in time")
            case "refuse":
                raise ProviderError(ErrorCode.GEN_PROVIDER_UNAVAILABLE, "scripted: connection refused")
            case "busy":
                raise ProviderError(
                    ErrorCode.GEN_PROVIDER_UNAVAILABLE, "scripted: the queue is full", retryable=True
                )
            case "exit":
                os._exit(KILLED)
            case _ as never:
                assert_never(never)


def _broken(text: str) -> str:
    """JSON with its usual injuries; which one depends on the text alone."""
    flavours = (
        text[:-1] + ",}",
        text[:-1],
        f"```json\n{text}\n```",
        f"Here you are: {text}",
    )
    return flavours[fingerprint.pick(len(flavours), text)]
