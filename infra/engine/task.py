"""Engine tasks: request, answer and errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from contracts.errors import UnderstudyError


class EngineError(UnderstudyError):
    """A task without an answer.

    Args:
        message: what happened.
        retryable: the same task may succeed later.
    """

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class EngineTimeout(EngineError):  # noqa: N818 - names the task's state
    """The task's time was up, in the queue or while it was written."""


class EngineBusy(EngineError):  # noqa: N818 - names the engine's state
    """The engine's queue is full; the engine is healthy."""


class TooLong(EngineError):  # noqa: N818 - names the prompt's state
    """The prompt leaves no room for an answer in the context window."""


class Unsupported(EngineError):  # noqa: N818 - names the schema's state
    """The schema cannot be compiled to a grammar; the text names the keywords."""


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One prompt and the parameters of its continuation."""

    #: Token ids, at least one.
    prompt: tuple[int, ...]
    #: Most tokens of the answer.
    max_tokens: int
    #: 0: always the likeliest token.
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    #: The answer ends before any of these texts.
    stop: tuple[str, ...] = ()
    #: JSON Schema of the answer.
    schema: Mapping[str, Any] | None = None
    #: Bounds lists and texts of the document, so that it usually ends within so many tokens.
    aim_to_end: int | None = None
    #: Runs of tokens that were written before become less likely (:mod:`infra.engine.repetition`).
    unrepeated: bool = False
    #: Time-out in seconds from its arrival.
    timeout_s: float = 180.0


class EngineOutput(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a task."""

    text: str
    #: ``stop`` (the model ended, or a stop text came), ``grammar`` (the document is complete) or ``length``.
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    #: Number of the answer's forced tokens.
    forced_tokens: int
    #: Seconds from arrival to the first token, and to the last.
    first_token_s: float
    total_s: float
    #: Bit-equal regardless of other requests.
    strict: bool


class Stats(msgspec.Struct, kw_only=True):
    """Totals of the engine."""

    steps: int = 0
    tokens: int = 0
    forced_tokens: int = 0
    prompt_tokens: int = 0
    #: Tokens of prompts that were not read, because another prompt began with them.
    reused_tokens: int = 0
    answered: int = 0
    failed: int = 0
    #: Seconds in forward passes, in grammars and in choosing tokens.
    forward_s: float = 0.0
    grammar_s: float = 0.0
    sampling_s: float = 0.0


#: Takes the text as it is written; called from the engine's thread.
OnText = Callable[[str], None]
