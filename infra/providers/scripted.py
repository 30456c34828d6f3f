"""Scripted provider: a deterministic test double that follows the rules of a script.

It ships in the package and is never a default: its results say ``origin: scripted``.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import OrderedDict
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, assert_never

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contracts.errors import ErrorCode, UnderstudyError
from contracts.helper_tasks import EVALUATION
from contracts.kinds import KindName
from contracts.policy import fingerprint
from contracts.ports import Completion, ProviderError
from contracts.result import SCRIPTED
from contracts.usage import Tokens
from infra.providers.scripted_text import document, judgement, prose
from infra.providers.spec import ProviderSpec

if TYPE_CHECKING:
    from contracts.events import Params
    from contracts.ports import OnToken, Prompt
    from infra.settings.settings import Settings

#: Exit status of a process that a script ends.
KILLED: Final = 9
_MODEL: Final = "scripted-1"
#: Characters that are streamed at once.
_PIECE: Final = 48
#: Pairs of rule and request whose use is counted; the oldest is forgotten first.
_COUNTED: Final = 10_000


class ScriptError(UnderstudyError):
    """A script that cannot be read; the text names the file and the field."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Match(_Part):
    """Which calls a rule is for; what is left out matches all."""

    kind: KindName | None = None
    #: A helper task has its own name.
    stage: Literal["freeform-gen", "structuring", "evaluation", "enhancement"] | None = None
    #: Shell pattern, such as ``slow-*``.
    request_id: str | None = None
    #: Part of the prompt.
    prompt: str | None = None
    attempt: int | None = Field(default=None, ge=1)

    def fits(self, prompt: Prompt) -> bool:
        """Whether the call is meant."""
        return (
            self.kind in (None, prompt.kind)
            and self.stage in (None, prompt.stage)
            and self.attempt in (None, prompt.attempt)
            and (self.request_id is None or fnmatchcase(prompt.request_id, self.request_id))
            and (self.prompt is None or self.prompt in prompt.text)
        )


class ScriptRule(_Part):
    """What happens to the calls that match.

    ``answer``: a good answer, or ``text``. ``slow``: the same, late. ``empty``: nothing.
    ``malformed``: a document with one of the usual injuries, or ``text``. ``timeout``: no answer in
    time. ``refuse``: no connection. ``busy``: a full queue, worth a retry. ``exit``: the process
    ends on the spot, as if it was killed.
    """

    match: Match = Match()
    do: Literal["answer", "timeout", "empty", "malformed", "slow", "refuse", "busy", "exit"]
    #: Milliseconds before it happens; for ``timeout`` without it, the call's own time-out.
    after_ms: int | None = Field(default=None, ge=0, le=3_600_000)
    #: Answered instead of a good text; the message of an error.
    text: str | None = None
    #: Applies so often per process and request, then no more.
    times: int | None = Field(default=None, ge=1)


class Script(_Part):
    """Rules in order; the first that matches counts."""

    rules: tuple[ScriptRule, ...] = ()

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
            where = ".".join(str(part) for part in first["loc"]) or "file"
            said = "unknown field" if first["type"] == "extra_forbidden" else first["msg"]
            raise ScriptError(f"script {path}: {where}: {said}") from None


class ScriptedProvider:
    """Implements :class:`contracts.ports.Provider` without a model."""

    name = SCRIPTED
    model = _MODEL

    def __init__(self, script: Script | None = None) -> None:
        self._rules = (script or Script()).rules
        self._used: OrderedDict[tuple[int, str], int] = OrderedDict()

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
            text = _good(prompt, params, schema)
        else:
            text = await self._played(rule, prompt, params, schema)
        if on_token is not None:
            for start in range(0, len(text), _PIECE):
                on_token(text[start : start + _PIECE])
                await asyncio.sleep(0)  # a place to be cancelled at, like a model's next token
        return Completion(
            text=text,
            provider=self.name,
            model=self.model,
            finish_reason="stop",
            tokens=Tokens(prompt=len(prompt.text.split()), completion=len(text.split())),
            deterministic=True,
            time_ms=(time.perf_counter() - began) * 1000,
        )

    def _rule(self, prompt: Prompt) -> ScriptRule | None:
        for index, rule in enumerate(self._rules):
            if rule.match.fits(prompt) and self._has_turn(rule, (index, prompt.request_id)):
                return rule
        return None

    def _has_turn(self, rule: ScriptRule, key: tuple[int, str]) -> bool:
        if rule.times is None:
            return True
        used = self._used.pop(key, 0)
        self._used[key] = min(used + 1, rule.times)
        if len(self._used) > _COUNTED:
            self._used.popitem(last=False)
        return used < rule.times

    async def _played(
        self, rule: ScriptRule, prompt: Prompt, params: Params, schema: Mapping[str, Any] | None
    ) -> str:
        limit = params.timeout_s * 1000
        delay = rule.after_ms if rule.after_ms is not None else limit if rule.do == "timeout" else 0
        await asyncio.sleep(min(delay, limit) / 1000)
        if delay > limit and rule.do != "exit":
            raise ProviderError(ErrorCode.GEN_TIMEOUT, f"scripted: no answer within {params.timeout_s:g} s")
        match rule.do:
            case "answer" | "slow":
                return rule.text if rule.text is not None else _good(prompt, params, schema)
            case "empty":
                return ""
            case "malformed":
                return rule.text if rule.text is not None else _injured(prompt, params, schema)
            case "timeout":
                raise ProviderError(
                    ErrorCode.GEN_TIMEOUT, rule.text or f"scripted: no answer within {delay / 1000:g} s"
                )
            case "refuse":
                raise ProviderError(
                    ErrorCode.GEN_PROVIDER_UNAVAILABLE, rule.text or "scripted: connection refused"
                )
            case "busy":
                raise ProviderError(
                    ErrorCode.GEN_PROVIDER_UNAVAILABLE,
                    rule.text or "scripted: the queue is full",
                    retryable=True,
                )
            case "exit":
                os._exit(KILLED)
            case _ as never:
                assert_never(never)


def _make(settings: Settings, name: str) -> ScriptedProvider:
    del name
    return ScriptedProvider(Script.load(settings.script) if settings.script else Script())


def _identity(settings: Settings, name: str) -> str:
    del settings
    return name


SPEC: Final = ProviderSpec(make=_make, identity=_identity, double=True)


def _key(prompt: Prompt, params: Params) -> str:
    return fingerprint.digest([prompt.text, params.seed, prompt.kind])


def _good(prompt: Prompt, params: Params, schema: Mapping[str, Any] | None) -> str:
    key = _key(prompt, params)
    if prompt.stage == EVALUATION:
        return json.dumps(judgement(schema or {}, key))
    if prompt.stage != "structuring":
        return prose(prompt.kind, prompt.text, key)
    return json.dumps(document(prompt.kind, prompt.text, key, schema), ensure_ascii=False)


def _injured(prompt: Prompt, params: Params, schema: Mapping[str, Any] | None) -> str:
    """A document with an injury that models are known for: three that can be repaired, two that cannot."""
    key = _key(prompt, params)
    made = document(prompt.kind, prompt.text, key, schema)
    text = json.dumps(made, ensure_ascii=False)
    flavours = (
        text[:-1] + ",}",
        text[:-1],
        str(made),
        f"```json\n{text}\n```",
        "I am sorry, here is the document in words: " + prose(prompt.kind, prompt.text, key),
    )
    return flavours[fingerprint.pick(len(flavours), key, "injury")]
