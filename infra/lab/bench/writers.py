"""Writers of the same requests: the engine, transformers in three ways, and llama.cpp."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import msgspec
import torch
from transformers import ContinuousBatchingConfig, GenerationConfig

from infra.engine.engine import Engine
from infra.engine.load import Loaded, load
from infra.engine.task import Task
from infra.lab.bench.gguf import LlamaCpp, Schema

#: Seconds that a request may take: on a slow machine too it is measured, not given up.
PATIENCE_S: Final = 7200.0
Device = Literal["cpu", "cuda"]
#: Precision of the engine and of transformers, by device.
DTYPES: Final[Mapping[Device, str]] = {"cpu": "float32", "cuda": "bfloat16"}
OURS_BFLOAT16: Final = "ours_bfloat16"
#: llama.cpp's names begin with it, and end with the kind of its weights.
LLAMA: Final = "llama_cpp_"
#: Positions of a page of transformers' cache, and tokens that it reads in a step.
_PAGE: Final = 32
_READ: Final = 256


class BenchAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One answer."""

    text: str
    tokens: int


class BenchWriter(Protocol):
    """Writes after each prompt: exactly so many tokens, the likeliest; with a schema, at most so many, drawn."""

    def write(self, prompts: list[list[int]], tokens: int, schema: Schema | None = None) -> list[BenchAnswer]:
        """The answers, in the order of the prompts."""
        ...


class Ours:
    """The engine, all requests at once; implements :class:`BenchWriter`.

    Args:
        engine: started.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def write(self, prompts: list[list[int]], tokens: int, schema: Schema | None = None) -> list[BenchAnswer]:
        """The answers, in the order of the prompts."""
        tasks = [
            Task(
                prompt=tuple(prompt),
                max_tokens=tokens,
                temperature=0.8 if schema else 0.0,
                seed=seed,
                schema=schema,
                timeout_s=PATIENCE_S,
            )
            for seed, prompt in enumerate(prompts)
        ]
        answers = [future.result() for future in [self._engine.submit(task) for task in tasks]]
        return [BenchAnswer(text=answer.text, tokens=answer.completion_tokens) for answer in answers]


class Generate:
    """``generate`` of transformers, request after request; implements :class:`BenchWriter`.

    Args:
        loaded: a model that the engine has not touched.
    """

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        loaded.model.generation_config.eos_token_id = None  # pyright: ignore[reportOptionalMemberAccess] - models that generate have one

    def write(self, prompts: list[list[int]], tokens: int, schema: Schema | None = None) -> list[BenchAnswer]:
        """The answers, in the order of the prompts; without schemas."""
        del schema
        return [answer for prompt in prompts for answer in self._batch([prompt], tokens)]

    def _batch(self, prompts: list[list[int]], tokens: int) -> list[BenchAnswer]:
        longest = max(map(len, prompts))
        padded = [[0] * (longest - len(prompt)) + prompt for prompt in prompts]
        seen = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        model: Any = self._loaded.model
        with torch.inference_mode():
            made = model.generate(
                torch.tensor(padded, device=self._loaded.device),
                attention_mask=torch.tensor(seen, device=self._loaded.device),
                max_new_tokens=tokens,
                do_sample=False,
                pad_token_id=0,
            )
        return [told(self._loaded, ids[longest:]) for ids in made.tolist()]


class PaddedGenerate(Generate):
    """The same with all requests as one batch, padded on the left; implements :class:`BenchWriter`."""

    def write(self, prompts: list[list[int]], tokens: int, schema: Schema | None = None) -> list[BenchAnswer]:
        """The answers, in the order of the prompts; without schemas."""
        del schema
        return self._batch(prompts, tokens)


class Continuous:
    """Continuous batching of transformers; implements :class:`BenchWriter`.

    Args:
        loaded: a model that nothing else uses.
        rows: requests at once.
        positions: most tokens of prompt and answer.
    """

    def __init__(self, loaded: Loaded, *, rows: int, positions: int) -> None:
        self._loaded = loaded
        model: Any = loaded.model
        self._manager: Any = model.init_continuous_batching(
            generation_config=GenerationConfig(do_sample=False, eos_token_id=-1, pad_token_id=0),
            continuous_batching_config=ContinuousBatchingConfig(
                page_size=_PAGE,
                num_blocks=rows * (positions // _PAGE + 1),
                max_batch_tokens=_READ,
                max_requests_per_batch=rows,
                allow_block_sharing=False,
                use_cuda_graph=False,
            ),
        )
        self._manager.start()

    def write(self, prompts: list[list[int]], tokens: int, schema: Schema | None = None) -> list[BenchAnswer]:
        """The answers, in the order of the prompts; without schemas."""
        del schema
        asked = self._manager.add_requests(inputs=prompts, max_new_tokens=tokens)
        done: dict[str, list[int]] = {}
        while len(done) < len(prompts):
            found = self._manager.get_result(timeout=PATIENCE_S)
            if found is None:
                raise RuntimeError("transformers' continuous batching ended")
            if found.is_finished():
                done[found.request_id] = found.generated_tokens
        return [told(self._loaded, done[each]) for each in asked]


class Llama:
    """llama.cpp, all requests at once; implements :class:`BenchWriter`.

    Args:
        file: made by :func:`infra.lab.bench.gguf.convert`.
        rows: requests at once.
        positions: most tokens of prompt and answer.
    """

    def __init__(self, file: Path, *, rows: int, positions: int) -> None:
        self._inner = LlamaCpp(file, rows=rows, positions=positions, threads=torch.get_num_threads())

    def write(self, prompts: list[list[int]], tokens: int, schema: Schema | None = None) -> list[BenchAnswer]:
        """The answers, in the order of the prompts."""
        return [
            BenchAnswer(text=one.text, tokens=one.tokens)
            for one in self._inner.write(prompts, tokens, schema)
        ]


class Others:
    """Writers to compare with, in processes of their own.

    In one process with the engine there would be workers for two threads that compute, and more of
    them than cores: all would be slower.  On a GPU there is ``generate`` alone, with all requests as one
    batch: a large model would take minutes for one after another.

    Args:
        source: the model's folder.
        files: the model in llama.cpp's format, by kind.
        rows: requests at once.
        positions: most tokens of prompt and answer.
        device: of transformers.
    """

    def __init__(
        self, source: Path, files: Mapping[str, Path], *, rows: int, positions: int, device: Device = "cpu"
    ) -> None:
        llama = [f"{LLAMA}{kind}" for kind in files]
        everybody = (OURS_BFLOAT16, "generate", "padded", "continuous", *llama)
        #: All, and those that also write with a schema.
        self.names = everybody if device == "cpu" else ("generate",)
        self.constrained = frozenset({OURS_BFLOAT16, *llama}) & frozenset(self.names)
        self._given = (source, tuple(files.items()), rows, positions, device)
        spawn = multiprocessing.get_context("spawn")
        self._processes = {
            name: ProcessPoolExecutor(max_workers=1, mp_context=spawn)
            for name in self.names
            if name != "padded"
        }
        # It computes in the same thread as ``generate``.
        self._processes["padded"] = self._processes["generate"]

    def write(
        self, who: str, prompts: list[list[int]], tokens: int, schema: Schema | None = None
    ) -> tuple[list[BenchAnswer], float]:
        """The answers of one of them, in the order of the prompts, and the seconds that it took."""
        return self._processes[who].submit(_written, self._given, who, prompts, tokens, schema).result()

    def close(self) -> None:
        """End the processes."""
        for process in set(self._processes.values()):
            # Engines of libraries have threads that do not end.
            process.submit(os._exit, 0)
            process.shutdown()


def _written(
    given: tuple[Any, ...], who: str, prompts: list[list[int]], tokens: int, schema: Schema | None
) -> tuple[list[BenchAnswer], float]:
    return timed(_other(who, *given), prompts, tokens, schema)


@cache
def _own(source: Path, device: Device, dtype: str) -> Loaded:
    return load(str(source), device=device, dtype=dtype)


@cache
def _other(
    who: str, source: Path, files: tuple[tuple[str, Path], ...], rows: int, positions: int, device: Device
) -> BenchWriter:
    if who.startswith(LLAMA):
        return Llama(dict(files)[who.removeprefix(LLAMA)], rows=rows, positions=positions)
    own = _own(source, device, "bfloat16" if who == OURS_BFLOAT16 else DTYPES[device])
    if who == OURS_BFLOAT16:
        engine = Engine(replace(own, ends=frozenset()), rows=rows, max_len=positions, prefix_cache=False)
        engine.start()
        return Ours(engine)
    if who == "continuous":
        return Continuous(own, rows=rows, positions=positions)
    return Generate(own) if who == "generate" and device == "cpu" else PaddedGenerate(own)


def timed(
    writer: BenchWriter, prompts: list[list[int]], tokens: int, schema: Schema | None = None
) -> tuple[list[BenchAnswer], float]:
    """The answers, and the seconds that they took."""
    began = time.perf_counter()
    return writer.write(prompts, tokens, schema), time.perf_counter() - began


def told(loaded: Loaded, ids: list[int]) -> BenchAnswer:
    """An answer from its tokens."""
    return BenchAnswer(
        text=loaded.tokenizer.backend_tokenizer.decode(ids, skip_special_tokens=True), tokens=len(ids)
    )
