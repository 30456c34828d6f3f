"""How do many requests share one model?

One thread owns model and cache.  A step admits who waits, drops who is gone or late, reads prompts
in a forward pass of their own, writes one token for every other row in another, and tells what was
written.  Rows stay compact: a finished one is overwritten by the last.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec
import torch

from infra.engine.cache import Slots
from infra.engine.forward import Forward
from infra.engine.grammar import Grammars
from infra.engine.row import Row
from infra.engine.sampling import pick
from infra.engine.task import Answer, EngineError, OnText, Overdue, Task, TooLong

if TYPE_CHECKING:
    from infra.engine.load import Loaded

#: Rows with more pending tokens than this are read in a pass of their own.
_FEW: Final = 16
#: Tokens of prompts that are read in one step, over all rows; a longer prompt takes several.
_READ: Final = 256


class Stats(msgspec.Struct, kw_only=True):
    """What the engine has done so far."""

    steps: int = 0
    tokens: int = 0
    forced_tokens: int = 0
    prompt_tokens: int = 0
    answered: int = 0
    failed: int = 0
    #: Seconds in forward passes, in grammars and in choosing tokens.
    forward_s: float = 0.0
    grammar_s: float = 0.0
    sampling_s: float = 0.0


class _Job(msgspec.Struct, kw_only=True):
    task: Task
    on_text: OnText | None
    future: Future[Answer]
    #: Seconds on the monotonic clock.
    arrived: float


class Engine:
    """Writes answers with one model.

    Args:
        loaded: the model.
        rows: requests that are written at once.
        max_len: positions of a row; at most the model's window.
        queue: requests that may wait beside those that are written.
        strict: fixed shapes: the same bits whatever else is being written.
    """

    def __init__(
        self, loaded: Loaded, *, rows: int = 16, max_len: int = 2048, queue: int = 256, strict: bool = False
    ) -> None:
        self.loaded = loaded
        self.strict = strict
        self.max_len = min(max_len, loaded.window)
        self.stats = Stats()
        config: Any = loaded.model.config.get_text_config()
        heads = config.num_attention_heads
        slots = Slots(
            layers=config.num_hidden_layers,
            rows=rows,
            kv_heads=getattr(config, "num_key_value_heads", None) or heads,
            max_len=self.max_len,
            head_dim=getattr(config, "head_dim", None) or config.hidden_size // heads,
            dtype=loaded.dtype,
            device=loaded.device,
        )
        self._forward = Forward(loaded.model, slots, rows=rows, strict=strict)
        self._slots = slots
        self._limit = rows
        self._most_waiting = queue
        self._grammars = Grammars(loaded.tokenizer, loaded.vocabulary)
        self._rows: list[Row] = []
        self._waiting: deque[_Job] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="understudy-engine", daemon=True)

    def start(self) -> None:
        """Start the thread and answer once, so that the first request does not pay for it."""
        self._thread.start()
        first = self.loaded.tokenizer.encode("a") or [0]
        warm = Task(prompt=tuple(first * 2), max_tokens=2, schema={"type": "object", "properties": {}})
        with suppress(EngineError):
            self.submit(warm).result()
        self.stats = Stats()

    def close(self) -> None:
        """Give up everything and end the thread."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._thread.ident is not None:
            self._thread.join()

    def submit(self, task: Task, on_text: OnText | None = None) -> Future[Answer]:
        """Put a task in the queue; cancelling the future frees its row within a step.

        Args:
            task: what to write.
            on_text: called from the engine's thread with each piece of text.

        Raises:
            TooLong: the prompt leaves no room for an answer.
            EngineError: the queue is full, or the engine is closed.
        """
        if len(task.prompt) >= self.max_len:
            raise TooLong(
                f"the prompt has {len(task.prompt)} tokens; the context window holds {self.max_len}, "
                "the answer included"
            )
        job = _Job(task=task, on_text=on_text, future=Future(), arrived=time.monotonic())
        with self._wake:
            if self._closing:
                raise EngineError("the engine is closed", retryable=True)
            if len(self._waiting) >= self._most_waiting:
                raise EngineError(f"the engine's queue is full ({self._most_waiting} wait)", retryable=True)
            self._waiting.append(job)
            self._wake.notify()
        return job.future

    async def write(self, task: Task, on_text: OnText | None = None) -> Answer:
        """Wait for a task's answer without blocking the event loop.

        Args:
            task: what to write.
            on_text: called on the event loop with each piece of text.

        Raises:
            Overdue: its time was up.
            EngineError: as in :meth:`submit`, or the model failed.
        """
        loop = asyncio.get_running_loop()

        def told(text: str) -> None:
            if on_text is not None:
                with suppress(RuntimeError):  # the loop was closed meanwhile
                    loop.call_soon_threadsafe(on_text, text)

        return await asyncio.wrap_future(self.submit(task, told))

    # -- the engine's thread -------------------------------------------------------------------

    def _run(self) -> None:
        with torch.inference_mode():
            while True:
                with self._wake:
                    while not (self._rows or self._waiting or self._closing):
                        self._wake.wait()
                    if self._closing:
                        break
                self._admit()
                self._drop()
                if self._rows:
                    self._step()
        closed = EngineError("the engine was closed", retryable=True)
        for row in list(self._rows):
            self._fail(row, closed)
        for job in self._waiting:
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(closed)

    def _admit(self) -> None:
        while len(self._rows) < self._limit:
            with self._wake:
                if not self._waiting:
                    return
                job = self._waiting.popleft()
            # From here on a cancellation is asked for by the row's flag.
            if job.future.cancelled():
                continue
            try:
                matcher = self._grammars.matcher(job.task.schema) if job.task.schema is not None else None
                row = Row(
                    job.task,
                    job.future,
                    job.on_text,
                    arrived=job.arrived,
                    tokenizer=self.loaded.tokenizer,
                    matcher=matcher,
                    room=self.max_len - len(job.task.prompt),
                )
            except EngineError as error:
                self.stats.failed += 1
                _settle(job.future, error=error)
                continue
            self._rows.append(row)

    def _drop(self) -> None:
        now = time.monotonic()
        for row in list(self._rows):
            if row.future.cancelled():
                self._leave(row)
            elif now >= row.due:
                self._fail(row, Overdue(f"not finished within {row.task.timeout_s:g} s"))
        with self._wake:
            late = [job for job in self._waiting if now >= job.arrived + job.task.timeout_s]
            for job in late:
                self._waiting.remove(job)
        for job in late:
            self.stats.failed += 1
            _settle(job.future, error=Overdue(f"waited for {job.task.timeout_s:g} s and was not begun"))

    def _step(self) -> None:
        self.stats.steps += 1
        few = 1 if self.strict else _FEW
        reading = [row for row in self._rows if len(row.pending) > few]
        writing = [row for row in self._rows if len(row.pending) <= few]
        for group in self._read_groups(reading):
            self._pass(group, read=True)
        if writing:
            self._pass(writing, read=False)

    def _read_groups(self, reading: list[Row]) -> list[list[Row]]:
        """Who reads in this step: everybody alone in strict mode, else together up to a bound."""
        if self.strict:
            return [[row] for row in reading[:1]]
        group: list[Row] = []
        longest = 0
        for row in reading:
            longest = max(longest, min(len(row.pending), _READ))
            if group and longest * (len(group) + 1) > _READ:
                break
            group.append(row)
        return [group] if group else []

    def _pass(self, rows: list[Row], *, read: bool) -> None:
        """One forward pass over some rows, and the next token of those whose text it reached."""
        began = time.perf_counter()
        chunks = [row.pending[:_READ] for row in rows]
        try:
            logits = self._forward(
                [self._rows.index(row) for row in rows], [row.length for row in rows], chunks, alone=read
            )
        except torch.OutOfMemoryError as error:
            self._shrink(rows, error)
            return
        except RuntimeError as error:
            for row in rows:
                self._fail(row, EngineError(f"the model failed: {error}"))
            return
        self.stats.forward_s += time.perf_counter() - began
        ready: list[Row] = []
        at: list[int] = []
        for number, (row, chunk) in enumerate(zip(rows, chunks, strict=True)):
            row.took(len(chunk))
            if not row.pending:
                ready.append(row)
                at.append(number)
        if ready:
            self._choose(ready, logits[at])

    def _choose(self, rows: list[Row], logits: torch.Tensor) -> None:
        began = time.perf_counter()
        kept = [(number, row) for number, row in enumerate(rows) if row.matcher is not None]
        if kept:
            try:
                allowed = self._grammars.allowed([row.matcher for _, row in kept if row.matcher is not None])
            except EngineError as error:
                for _, row in kept:
                    self._fail(row, error)
                return
            numbers = [number for number, _ in kept]
            logits[numbers] = logits[numbers].masked_fill(~allowed.to(logits.device), float("-inf"))
        masked = time.perf_counter()
        self.stats.grammar_s += masked - began
        tokens = pick(logits, [row.choice for row in rows])
        self.stats.sampling_s += time.perf_counter() - masked
        for row, token in zip(rows, tokens, strict=True):
            self._go_on(row, token)

    def _go_on(self, row: Row, token: int) -> None:
        try:
            finish = row.add(token, ends=self.loaded.ends)
        except EngineError as error:
            self._fail(row, error)
            return
        if finish is None:
            return
        answer = row.answer(finish, strict=self.strict)
        self.stats.answered += 1
        self.stats.tokens += answer.completion_tokens
        self.stats.forced_tokens += answer.forced_tokens
        self.stats.prompt_tokens += answer.prompt_tokens
        self._leave(row)
        _settle(row.future, answer)

    def _shrink(self, rows: list[Row], error: Exception) -> None:
        """Out of memory: fewer rows from now on; who was in the pass may come again."""
        self._limit = max(1, min(self._limit, len(self._rows)) // 2)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        for row in rows:
            self._fail(row, EngineError(f"out of memory with {len(rows)} rows: {error}", retryable=True))

    def _fail(self, row: Row, error: EngineError) -> None:
        self.stats.failed += 1
        self._leave(row)
        _settle(row.future, error=error)

    def _leave(self, row: Row) -> None:
        """Free the row's slot; the last row takes its place."""
        slot = self._rows.index(row)
        last = self._rows.pop()
        if last is not row:
            self._slots.move(len(self._rows), slot, last.length)
            self._rows[slot] = last


def _settle(
    future: Future[Answer], answer: Answer | None = None, *, error: EngineError | None = None
) -> None:
    """End a future that its owner may have cancelled at this very moment."""
    if not future.set_running_or_notify_cancel():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(answer)  # pyright: ignore[reportArgumentType] - one of the two is given
