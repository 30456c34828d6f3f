"""Engine: the scheduler of concurrent requests on one model.

One thread owns model and cache.  A step admits waiting tasks, drops cancelled or late ones, reads
prompts in a forward pass of their own, writes one token for every other row in another, and hands out the text.
Rows stay compact: the last one overwrites a finished one.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from concurrent.futures import Future
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec
import torch
import transformers

from infra.engine.files import Unloadable
from infra.engine.forward import Forward
from infra.engine.grammar import Grammars, Matcher
from infra.engine.kv_cache import KvCache
from infra.engine.prefix_cache import PrefixCache
from infra.engine.sequence import ActiveSequence, read_groups, settle
from infra.engine.task import (
    EngineBusy,
    EngineError,
    EngineOutput,
    EngineTimeout,
    OnText,
    Stats,
    Task,
    TooLong,
)
from infra.engine.threads import Threads
from infra.engine.token_choice import TokenChoice

if TYPE_CHECKING:
    from infra.engine.load import Loaded

#: Rows with more pending tokens than this are read in a separate pass.
_FEW: Final = 16
#: The same in strict mode, where the others are fed one token a step: each pass has one shape.
_FEW_STRICT: Final = 4
#: Tokens of prompts that are read in one step, over all rows; a longer prompt takes several.
_READ: Final = 256
#: Steps without an error after which a reduced batch grows by a row.
_CALM: Final = 256


class _Job(msgspec.Struct, kw_only=True):
    task: Task
    on_text: OnText | None
    future: Future[EngineOutput]
    #: Seconds on the monotonic clock.
    arrived: float


class Engine:
    """Generates answers with one model.

    Args:
        loaded: the model; nothing else may use it from the start.
        rows: concurrent requests.
        max_len: positions of a row; at most the model's window.
        queue: requests that may wait.
        strict: fixed shapes, so that answers are bit-equal regardless of other requests.
        prefix_cache: read common beginnings of prompts once; never in strict mode.
    """

    def __init__(
        self,
        loaded: Loaded,
        *,
        rows: int = 16,
        max_len: int = 2048,
        queue: int = 256,
        strict: bool = False,
        prefix_cache: bool = True,
    ) -> None:
        self.loaded = loaded
        self.strict = strict
        self._reuse = prefix_cache and not strict
        self.max_len = min(max_len, loaded.window)
        self.stats = Stats()
        self._most = rows
        #: Concurrent rows; fewer than the maximum after memory ran out.
        self._limit = rows
        self._calm = 0
        self._most_waiting = queue
        self.grammars = Grammars(loaded.tokenizer, loaded.vocabulary)
        self._choice = TokenChoice(self.grammars)
        self._rows: list[ActiveSequence] = []
        self._waiting: deque[_Job] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._end = EngineError("the engine is closed", retryable=True)
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="understudy-engine", daemon=True)

    @property
    def identity(self) -> str:
        """What must be equal, in addition to the model, for equal seeds to give equal answers."""
        versions = f"torch {torch.__version__} transformers {transformers.__version__}"
        return f"{versions} {self.loaded.device.type} {self.loaded.dtype}"

    def start(self) -> None:
        """Start the thread, check that the model runs, and answer once at full width.

        Raises:
            Unloadable: the model cannot be run by this engine.
        """
        self._thread.start()
        self._ready.result()
        first = self._known()
        warm = Task(prompt=first * 2, max_tokens=2)
        futures = [self.submit(warm) for _ in range(min(self._most, self._most_waiting))]
        for future in futures:
            future.result()
        # If the vocabulary cannot write JSON, tasks with a schema fail with that error.
        with suppress(EngineError):
            self.submit(
                Task(prompt=first, max_tokens=2, schema={"type": "object", "properties": {}})
            ).result()
        self.stats = Stats()

    def close(self) -> None:
        """Fail every task and end the thread."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._thread.ident is not None:
            self._thread.join()

    def submit(self, task: Task, on_text: OnText | None = None) -> Future[EngineOutput]:
        """Put a task in the queue; cancelling the future frees its row within a step.

        Args:
            task: what to write.
            on_text: called from the engine's thread with each piece of text.

        Raises:
            TooLong: the prompt leaves no room for an answer.
            EngineBusy: the queue is full.
            EngineError: the engine is closed.
        """
        if len(task.prompt) >= self.max_len:
            raise TooLong(
                f"the prompt has {len(task.prompt)} tokens; the context window holds {self.max_len}, "
                "the answer included"
            )
        job = _Job(task=task, on_text=on_text, future=Future(), arrived=time.monotonic())
        with self._wake:
            if self._closing:
                raise self._end
            if len(self._waiting) >= self._most_waiting:
                raise EngineBusy(f"the engine's queue is full ({self._most_waiting} wait)", retryable=True)
            self._waiting.append(job)
            self._wake.notify()
        return job.future

    async def write(self, task: Task, on_text: OnText | None = None) -> EngineOutput:
        """Wait for a task's answer without blocking the event loop.

        Args:
            task: what to write.
            on_text: called on the event loop with each piece of text.

        Raises:
            EngineTimeout: it timed out.
            EngineError: as in :meth:`submit`, or the model failed.
        """
        loop = asyncio.get_running_loop()

        def forward(text: str) -> None:
            if on_text is not None:
                with suppress(RuntimeError):  # the loop was closed meanwhile
                    loop.call_soon_threadsafe(on_text, text)

        return await asyncio.wrap_future(self.submit(task, forward))

    # -- the engine's thread -------------------------------------------------------------------

    def _run(self) -> None:
        # Probabilities of unlikely tokens are denormal: computing with them is slow and changes nothing.
        torch.set_flush_denormal(True)
        threads = torch.get_num_threads()
        try:
            with torch.inference_mode():
                self._prepare()
                while self._wait():
                    self._drop()
                    self._admit()
                    if self._rows:
                        self._step()
        except Exception as error:  # noqa: BLE001 - every waiting task gets the error
            self._end = (
                error if isinstance(error, EngineError) else EngineError(f"the engine broke down: {error!r}")
            )
        # The setting is the process's: the next engine starts with the value set last, in whichever thread.
        torch.set_num_threads(threads)
        with self._wake:
            self._closing = True
            left = [row.future for row in self._rows] + [job.future for job in self._waiting]
            self._rows.clear()
            self._waiting.clear()
        for future in left:
            settle(future, self._end)
        if not self._ready.done():
            self._ready.set_exception(self._end)

    def _prepare(self) -> None:
        # In this thread: each thread that computes gets workers of its own, and more workers than cores slow all of them.
        config: Any = self.loaded.model.config.get_text_config()
        heads = config.num_attention_heads
        try:
            self._slots = KvCache(
                layers=config.num_hidden_layers,
                rows=self._most,
                kv_heads=getattr(config, "num_key_value_heads", None) or heads,
                max_len=self.max_len,
                head_dim=getattr(config, "head_dim", None) or config.hidden_size // heads,
                dtype=self.loaded.dtype,
                device=self.loaded.device,
            )
            self._prefixes = PrefixCache(self._slots, self._most, reuse=self._reuse)
            self._forward = Forward(self.loaded.model, self._slots, rows=self._most, strict=self.strict)
            self._forward.start(self._known())
            # The number of threads changes the last bits.
            self._threads = nullcontext() if self.strict or self.loaded.device.type != "cpu" else Threads()
        except Exception as error:
            raise Unloadable(f"the model {self.loaded.name} cannot be run here: {error}") from error
        self._ready.set_result(None)

    def _known(self) -> tuple[int, ...]:
        """Any tokens of the model."""
        return tuple(self.loaded.tokenizer.encode("A frozen lake", add_special_tokens=False)) or (0,)

    def _wait(self) -> bool:
        """Wait for work; false at the end."""
        with self._wake:
            while not (self._rows or self._waiting or self._closing):
                self._wake.wait()
            return not self._closing

    def _admit(self) -> None:
        while len(self._rows) < self._limit:
            with self._wake:
                if not self._waiting:
                    return
                job = self._waiting.popleft()
            # From here on the step checks the row's future for a cancellation.
            if job.future.cancelled():
                continue
            try:
                row = ActiveSequence(
                    job.task,
                    job.future,
                    job.on_text,
                    arrived=job.arrived,
                    tokenizer=self.loaded.tokenizer,
                    matcher=self._matcher(job.task),
                    room=self.max_len - len(job.task.prompt),
                )
            except EngineError as error:
                self.stats.failed += 1
                settle(job.future, error)
                continue
            row.leader = self._prefixes.leader(row, self._rows)
            self._rows.append(row)

    def _matcher(self, task: Task) -> Matcher | None:
        if task.schema is None:
            return None
        return self.grammars.matcher(task.schema, tokens=task.aim_to_end)

    def _drop(self) -> None:
        now = time.monotonic()
        for row in list(self._rows):
            if row.future.cancelled():
                self._leave(row)
            elif now >= row.due:
                self._fail(row, EngineTimeout(f"not finished within {row.task.timeout_s:g} s"))
        with self._wake:
            gone = [job for job in self._waiting if job.future.cancelled()]
            late = [job for job in self._waiting if now >= job.arrived + job.task.timeout_s]
            for job in {id(job): job for job in (*gone, *late)}.values():
                self._waiting.remove(job)
        for job in late:
            self.stats.failed += 1
            settle(job.future, EngineTimeout(f"waited for {job.task.timeout_s:g} s and was not begun"))

    def _step(self) -> None:
        self.stats.steps += 1
        self._calm += 1
        if self._limit < self._most and self._calm > _CALM:
            self._limit += 1
            self._calm = 0
        few = _FEW_STRICT if self.strict else _FEW
        self.stats.reused_tokens += self._prefixes.begin(self._rows)
        begun = [row for row in self._rows if row.begun]
        writing = [row for row in begun if len(row.pending) <= few]
        for group in read_groups([row for row in begun if len(row.pending) > few], _READ, alone=self.strict):
            self._pass(group, _READ, alone=True)
        if writing:
            self._pass(writing, 1 if self.strict else few, alone=False)

    def _pass(self, rows: list[ActiveSequence], most: int, *, alone: bool) -> None:
        """One forward pass over some rows, and the next token of those that have read all their tokens."""
        began = time.perf_counter()
        chunks = [row.pending[:most] for row in rows]
        try:
            with self._threads:
                logits = self._forward(
                    [self._rows.index(row) for row in rows], [row.length for row in rows], chunks, alone=alone
                )
            self.stats.forward_s += time.perf_counter() - began
            self._took(rows, chunks, logits)
        except (torch.OutOfMemoryError, MemoryError) as error:
            self._shrink(rows, error)
        except Exception as error:  # noqa: BLE001 - a failed pass must not end the thread
            # On a CPU torch has no exception class for it.
            if "can't allocate memory" in str(error):
                self._shrink(rows, error)
            else:
                self._give_up(rows, EngineError(f"the model failed: {error!r}"))

    def _took(self, rows: list[ActiveSequence], chunks: list[list[int]], logits: torch.Tensor) -> None:
        ready: list[ActiveSequence] = []
        at: list[int] = []
        for number, (row, chunk) in enumerate(zip(rows, chunks, strict=True)):
            row.took(len(chunk))
            self._prefixes.took(self._rows.index(row), chunk)
            if not row.pending:
                ready.append(row)
                at.append(number)
        if ready:
            self._choose(ready, logits if len(ready) == len(rows) else logits[at])

    def _choose(self, rows: list[ActiveSequence], logits: torch.Tensor) -> None:
        tokens = self._choice.choose(rows, logits, self.stats)
        for row, token in zip(rows, tokens, strict=True):
            if isinstance(token, EngineError):
                self._fail(row, token)
            else:
                self._go_on(row, token)

    def _go_on(self, row: ActiveSequence, token: int) -> None:
        try:
            finish = row.add(token, ends=self.loaded.ends)
        except EngineError as error:
            self._fail(row, error)
            return
        except Exception as error:  # noqa: BLE001 - an error of one listener must not stop the other rows
            self._fail(row, EngineError(f"the answer could not be decoded: {error!r}"))
            return
        if finish is None:
            return
        answer = row.answer(finish, strict=self.strict)
        self.stats.answered += 1
        self.stats.tokens += answer.completion_tokens
        self.stats.forced_tokens += answer.forced_tokens
        self.stats.prompt_tokens += answer.prompt_tokens
        self._leave(row)
        settle(row.future, answer)

    def _shrink(self, rows: list[ActiveSequence], error: Exception) -> None:
        """Out of memory: allow fewer rows from now on; tasks of the pass fail and may be retried."""
        self._limit = max(1, min(self._limit, len(self._rows)) // 2)
        self._calm = 0
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self._give_up(rows, EngineError(f"out of memory with {len(rows)} rows: {error}", retryable=True))

    def _give_up(self, rows: list[ActiveSequence], error: EngineError) -> None:
        for row in rows:
            if row in self._rows:
                self._fail(row, error)

    def _fail(self, row: ActiveSequence, error: EngineError) -> None:
        self.stats.failed += 1
        self._leave(row)
        settle(row.future, error)

    def _leave(self, row: ActiveSequence) -> None:
        """Free the row's slot; the last row takes its place."""
        slot = self._rows.index(row)
        last = self._rows.pop()
        if last is not row:
            self._prefixes.swap(slot, len(self._rows))
            self._rows[slot] = last
