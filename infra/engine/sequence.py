"""Sequence: the state of one request during generation."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from infra.engine.repetition import Repetition, breakers
from infra.engine.sampling import SamplingRule
from infra.engine.task import EngineError, EngineOutput
from infra.engine.text import Detokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from transformers import PreTrainedTokenizerFast

    from infra.engine.grammar import Matcher
    from infra.engine.task import OnText, Task


class Leader(msgspec.Struct, frozen=True, kw_only=True):
    """A request with the same beginning that reads it first."""

    sequence: ActiveSequence
    #: Tokens of the beginning.
    length: int


class ActiveSequence:
    """One request in the engine's cache.

    Args:
        task: what to write.
        future: of the answer.
        on_text: takes the text as it is written.
        arrived: seconds on the monotonic clock.
        tokenizer: of the model.
        matcher: of the task's grammar.
        room: positions left for the answer.
    """

    def __init__(
        self,
        task: Task,
        future: Future[EngineOutput],
        on_text: OnText | None,
        *,
        arrived: float,
        tokenizer: PreTrainedTokenizerFast,
        matcher: Matcher | None,
        room: int,
    ) -> None:
        self.task = task
        self.future = future
        self.matcher = matcher
        self.due = arrived + task.timeout_s
        #: Tokens whose keys and values are in the cache.
        self.length = 0
        #: Tokens that the model must read before the next choice.
        self.pending = list(task.prompt)
        #: Its row is prepared for its prompt.
        self.begun = False
        #: The request after which it begins, for their common beginning.
        self.leader: Leader | None = None
        self._on_text = on_text
        self._arrived = arrived
        self._room = min(task.max_tokens, room)
        self._written = 0
        self._forced = 0
        #: There was no room for the forced tokens.
        self._cut = False
        self._first: float | None = None
        self.repetition = Repetition(breakers(tokenizer), self._room) if task.unrepeated else None

        def decode(tokens: Sequence[int]) -> str:
            return tokenizer.backend_tokenizer.decode(list(tokens), skip_special_tokens=True)

        self._writer = Detokenizer(decode, task.stop)
        if matcher is not None:
            self._force(matcher.start())

    @property
    def choice(self) -> SamplingRule:
        """Parameters for the choice of the next token."""
        return SamplingRule(
            temperature=self.task.temperature,
            top_p=self.task.top_p,
            seed=self.task.seed,
            index=self._written,
        )

    def took(self, tokens: int) -> None:
        """Record that the model has read ``tokens`` of the pending tokens."""
        self.length += tokens
        del self.pending[:tokens]

    def add(self, token: int, *, ends: frozenset[int]) -> str | None:
        """Add the chosen token and the forced tokens after it; the reason if the answer ends."""
        if self._first is None:
            self._first = time.monotonic()
        if token in ends and not self._cut:
            return self._finish("stop" if self.matcher is None else "grammar")
        if self._cut or self._written >= self._room:
            return self._finish("length")
        self._write([token])
        if self.matcher is not None:
            self._force(self.matcher.take(token))
            if self.matcher.complete and not self._cut:
                return self._finish("grammar")
        if self._writer.stopped:
            return "stop"
        return self._finish("length") if self._cut or self._written >= self._room else None

    def _force(self, tokens: list[int]) -> None:
        fit = tokens[: self._room - self._written]
        self._cut = len(fit) < len(tokens)
        self._forced += len(fit)
        self._write(fit)

    def _write(self, tokens: list[int]) -> None:
        self._written += len(tokens)
        if self.repetition is not None:
            self.repetition.add(tokens)
        self.pending.extend(tokens)
        self._tell(self._writer.add(tokens))

    def _finish(self, reason: str) -> str:
        self._tell(self._writer.end())
        return reason

    def _tell(self, text: str) -> None:
        if text and self._on_text is not None:
            self._on_text(text)

    def answer(self, finish_reason: str, *, strict: bool) -> EngineOutput:
        """The answer so far."""
        now = time.monotonic()
        return EngineOutput(
            text=self._writer.text,
            finish_reason=finish_reason,
            prompt_tokens=len(self.task.prompt),
            completion_tokens=self._written,
            forced_tokens=self._forced,
            first_token_s=(self._first or now) - self._arrived,
            total_s=now - self._arrived,
            strict=strict,
        )


def read_groups(rows: Sequence[ActiveSequence], most: int, *, alone: bool) -> list[list[ActiveSequence]]:
    """Rows that read in one step: the shortest first, up to a number of tokens.

    Args:
        rows: those with many pending tokens.
        most: tokens.
        alone: each row in a pass of its own.
    """
    group: list[ActiveSequence] = []
    tokens = 0
    for row in sorted(rows, key=lambda row: len(row.pending)):
        tokens += min(len(row.pending), most)
        if group and tokens > most:
            break
        group.append(row)
    if alone:
        return [[row] for row in group]
    return [group] if group else []


def settle(future: Future[EngineOutput], outcome: EngineOutput | EngineError) -> None:
    """Settle a future that its owner may cancel at the same moment."""
    if not future.set_running_or_notify_cancel():
        return
    if isinstance(outcome, EngineError):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
