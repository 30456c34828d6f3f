"""Local provider: a model on this machine, in the process of the model stages.

A process has one engine.  The first call loads it; the stages of the process share it.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from contracts.errors import ErrorCode
from contracts.policy.quoting import OPEN, extract_last_quote, quote, replace_surrogates
from contracts.ports import CallRefused, Completion, ProviderError
from contracts.usage import Tokens
from infra.engine.files import Unloadable, name_of
from infra.engine.task import EngineBusy, EngineError, EngineOutput, EngineTimeout, Task, TooLong, Unsupported
from infra.engine.truncation import fit
from infra.host import extras
from infra.providers.answer_limits import aim_to_end
from infra.providers.local_model import HOUSE, answer_limit, describe, model_folder, window
from infra.providers.reasoning import Thoughts
from infra.providers.reasoning import answer as answer_of
from infra.providers.spec import ProviderSpec, SchemaLimit

if TYPE_CHECKING:
    from contracts.events import Params
    from contracts.ports import OnToken, Prompt
    from infra.engine.engine import Engine
    from infra.settings.narrative import Local
    from infra.settings.settings import Settings

NAME: Final = "local"


class LocalProvider:
    """Writes with the engine of this process; implements :class:`contracts.ports.Provider`.

    Args:
        settings: which model, and how it runs.
    """

    name = NAME

    def __init__(self, settings: Local) -> None:
        self._settings = settings
        #: The one load, under way or done; a caller that stops waiting does not end it.
        self._load: Future[Engine] | None = None
        #: Why the model cannot be loaded: found once, reported for every call.
        self._broken: str | None = None
        # Caches and results distinguish models by it, before the first call too.
        self.model = model_name(settings)

    async def generate(
        self,
        prompt: Prompt,
        params: Params,
        schema: Mapping[str, Any] | None = None,
        on_token: OnToken | None = None,
    ) -> Completion:
        """Answer one prompt; with a schema, in JSON that follows it, or that was cut off and says ``length``.

        Raises:
            ProviderError: the model cannot be loaded, the prompt does not fit, or time was up.
        """
        try:
            engine = await self.ready()
            task, note = self._task(engine, prompt, params, schema)
            answer, reasoned = await _write(engine, task, on_token)
            if reasoned:
                rest = "" if answer.text.strip() else " and none of an answer"
                note = "; ".join(filter(None, (note, f"{reasoned} characters of reasoning{rest}")))
        except Unloadable as error:
            # Not an outage: a circuit breaker must not hide which file it is.
            raise CallRefused(ErrorCode.GEN_PROVIDER_UNAVAILABLE, str(error)) from error
        except (EngineBusy, EngineTimeout) as error:
            # Nor is load: a breaker would turn a burst into an outage.
            raise CallRefused(_code(error), str(error), retryable=error.retryable) from error
        except EngineError as error:
            raise ProviderError(_code(error), str(error), retryable=error.retryable) from error
        return Completion(
            text=answer.text,
            provider=NAME,
            model=engine.loaded.name,
            finish_reason=answer.finish_reason,
            tokens=Tokens(prompt=answer.prompt_tokens, completion=answer.completion_tokens),
            amount=0.0,
            deterministic=answer.strict,
            engine=engine.identity,
            time_ms=answer.total_s * 1000,
            note=note,
        )

    async def ready(self) -> Engine:
        """The engine, loaded by the first call.

        Raises:
            Unloadable: with the name of the file.
        """
        if self._broken is not None:
            raise Unloadable(self._broken)
        if self._load is None:
            self._load = _in_a_thread(self._settings)
        load = self._load
        try:
            engine = await asyncio.shield(asyncio.wrap_future(load))
        except Unloadable as error:
            # Its text alone: its traceback holds the weights.
            self._broken = str(error)
            raise Unloadable(self._broken) from None
        except EngineError:
            # The next call loads again.
            if self._load is load and load.done():
                self._load = None
            raise
        self.model = engine.loaded.name
        return engine

    def _task(
        self, engine: Engine, prompt: Prompt, params: Params, schema: Mapping[str, Any] | None
    ) -> tuple[Task, str]:
        """The task for the engine, and what had to be left out of the prompt."""
        text = prompt.compact or prompt.text
        words = self._spoken(engine, prompt, text)
        # The answer has at least half of the window.
        room = engine.max_len - min(params.max_tokens, engine.max_len // 2)
        note = ""
        if len(words) > room and prompt.whole:
            raise TooLong(f"the prompt has {len(words)} tokens, and the context window has room for {room}")
        if len(words) > room:
            words, note = self._shortened(engine, prompt, text, len(words) - room)
        aim = None
        if self._settings.model != HOUSE:
            aim = aim_to_end(prompt, params.max_tokens, parameters=engine.loaded.parameters)
        task = Task(
            prompt=words,
            max_tokens=params.max_tokens,
            temperature=params.temperature,
            top_p=params.top_p,
            seed=params.seed,
            stop=params.stop,
            schema=schema,
            aim_to_end=aim,
            unrepeated=aim is not None,
            timeout_s=params.timeout_s,
        )
        return task, note

    def _shortened(self, engine: Engine, prompt: Prompt, text: str, over: int) -> tuple[tuple[int, ...], str]:
        """The prompt with less of what others wrote: the last quoted block gives way, never the rules."""
        tokenizer = engine.loaded.tokenizer

        def count(text: str) -> int:
            return len(tokenizer.encode(text, add_special_tokens=False))

        block = replace_surrogates(extract_last_quote(text))
        before = count(block)
        fitted = fit(block, max(1, before - over), count)
        rules = text[: text.rfind(OPEN)]
        words = self._spoken(engine, prompt, rules + quote(fitted.text))
        return words, (
            f"shortened from {before} to {count(fitted.text)} tokens to fit the context window: "
            f"{fitted.kept} of {fitted.of} sentences kept"
        )

    def _spoken(self, engine: Engine, prompt: Prompt, text: str) -> tuple[int, ...]:
        """The tokens of a prompt, as this model is spoken to."""
        tokenizer = engine.loaded.tokenizer
        text = replace_surrogates(text)
        if not tokenizer.chat_template:
            return tuple(tokenizer.encode(text))
        # Models differ in how they are spoken to; theirs is the template beside the weights.
        spoken = tokenizer.apply_chat_template(
            [{"role": "user", "content": text}],
            kind=prompt.kind,
            stage=prompt.stage,
            add_generation_prompt=True,
            tokenize=False,
        )
        return tuple(tokenizer.encode(str(spoken), add_special_tokens=False))


async def _write(engine: Engine, task: Task, on_token: OnToken | None) -> tuple[EngineOutput, int]:
    """The answer to a task without the reasoning before it, and the characters of that."""
    thoughts = Thoughts()

    def pass_on(text: str) -> None:
        if on_token is not None and text:
            on_token(text)

    written = await engine.write(task, lambda text: pass_on(thoughts.add(text)))
    pass_on(thoughts.end())
    text, hidden = answer_of(written.text)
    return replace(written, text=text), hidden


def model_name(settings: Local) -> str:
    """Identifies the model with its weights; a hub id that is not fetched yet is its own name."""
    folder = Path(model_folder(settings))
    return name_of(folder, _known_as(settings)) if folder.is_dir() else settings.model


def _known_as(settings: Local) -> str | None:
    return HOUSE if settings.model == HOUSE else None


def _code(error: EngineError) -> ErrorCode:
    match error:
        case EngineTimeout():
            return ErrorCode.GEN_TIMEOUT
        case TooLong():
            return ErrorCode.GEN_CONSTRAINT_FAIL
        case Unsupported():
            return ErrorCode.GEN_SCHEMA_INVALID
        case _:
            return ErrorCode.GEN_PROVIDER_UNAVAILABLE


def _in_a_thread(settings: Local) -> Future[Engine]:
    """Load in a thread that the process waits for at its end: inside torch it would take the process with it."""
    loaded: Future[Engine] = Future()
    # Begun, it cannot be cancelled by those who only wait for it.
    loaded.set_running_or_notify_cancel()

    def work() -> None:
        try:
            engine = _load(settings)
        except EngineError as error:
            loaded.set_exception(_freed(error))
        except BaseException as error:  # noqa: BLE001 - raised in every caller that waits for it
            why = f"the model cannot be loaded: {type(error).__name__}: {error}"
            loaded.set_exception(EngineError(why, retryable=True))
        else:
            loaded.set_result(engine)

    threading.Thread(target=work, name="understudy-load").start()
    return loaded


def _freed(error: EngineError) -> EngineError:
    """The error without its traceback, whose frames hold the weights."""
    each: BaseException | None = error
    while each is not None:
        each.__traceback__ = None
        each = each.__cause__ or each.__context__
    return error


def _load(settings: Local) -> Engine:
    try:
        import torch  # noqa: PLC0415 - not needed until a model is loaded

        from infra.engine.engine import Engine  # noqa: PLC0415 - as above
        from infra.engine.load import load  # noqa: PLC0415 - as above
    except ModuleNotFoundError as error:
        raise Unloadable(
            f"the local model needs {error.name}, which is not installed: {extras.install_command('local')}"
        ) from error
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    loaded = load(
        model_folder(settings), device=settings.device, dtype=settings.dtype, known_as=_known_as(settings)
    )
    engine = Engine(
        loaded,
        rows=settings.rows,
        max_len=settings.max_len,
        queue=settings.queue,
        strict=settings.strict,
    )
    try:
        engine.start()
    except BaseException:
        # Its thread would wait for work for ever and hold the weights.
        engine.close()
        raise
    # A thread that is inside torch when the interpreter goes away takes the process with it.
    atexit.register(engine.close)
    return engine


def _make(settings: Settings, name: str) -> LocalProvider:
    del name
    return LocalProvider(settings.local)


def _identity(settings: Settings, name: str) -> str:
    return f"{name}:{model_name(settings.local)}"


def _helper_problem(settings: Settings, name: str) -> str | None:
    del name
    if settings.local.model != HOUSE:
        return None
    return (
        "the house model has learned to write documents, and nothing else; choose a server, or another model "
        "(UNDERSTUDY_LOCAL__MODEL)"
    )


def _schema_limit(settings: Settings, name: str) -> SchemaLimit | None:
    """A grammar keeps this model to a schema; what it leaves to the validator is in the result's warnings."""
    del settings, name
    if find_spec("llguidance") is None:
        return None
    from infra.engine.grammar import check  # noqa: PLC0415 - needs the extra

    return check


SPEC: Final = ProviderSpec(
    make=_make,
    identity=_identity,
    schema_limit=_schema_limit,
    helper_problem=_helper_problem,
    window=window,
    answer_limit=answer_limit,
    describe=describe,
)
