"""Writers of the same requests: the engine, ``generate`` of the model, and llama.cpp."""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import torch

from infra.engine.engine import Engine
from infra.engine.load import Loaded, load
from infra.engine.task import Task
from infra.lab.bench.gguf import LlamaCpp

#: Seconds that a request may take: on a slow machine too it is measured, not given up.
PATIENCE_S: Final = 7200.0


class BenchAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One answer."""

    text: str
    tokens: int


class BenchWriter(Protocol):
    """Writes exactly so many tokens after each prompt, always the likeliest."""

    def write(self, prompts: list[list[int]], tokens: int) -> list[BenchAnswer]:
        """The answers, in the order of the prompts."""
        ...


class Ours:
    """The engine, all requests at once; implements :class:`BenchWriter`.

    Args:
        engine: started.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def write(self, prompts: list[list[int]], tokens: int) -> list[BenchAnswer]:
        """The answers, in the order of the prompts."""
        tasks = [Task(prompt=tuple(prompt), max_tokens=tokens, timeout_s=PATIENCE_S) for prompt in prompts]
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

    def write(self, prompts: list[list[int]], tokens: int) -> list[BenchAnswer]:
        """The answers, in the order of the prompts."""
        return [answer for prompt in prompts for answer in self._batch([prompt], tokens)]

    def _batch(self, prompts: list[list[int]], tokens: int) -> list[BenchAnswer]:
        longest = max(map(len, prompts))
        padded = [[0] * (longest - len(prompt)) + prompt for prompt in prompts]
        seen = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        model: Any = self._loaded.model
        with torch.inference_mode():
            made = model.generate(
                torch.tensor(padded),
                attention_mask=torch.tensor(seen),
                max_new_tokens=tokens,
                do_sample=False,
                pad_token_id=0,
            )
        return [told(self._loaded, ids[longest:]) for ids in made.tolist()]


class Padded(Generate):
    """The same with all requests as one batch, padded on the left; implements :class:`BenchWriter`."""

    def write(self, prompts: list[list[int]], tokens: int) -> list[BenchAnswer]:
        """The answers, in the order of the prompts."""
        return self._batch(prompts, tokens)


class Llama:
    """llama.cpp, all requests at once; implements :class:`BenchWriter`.

    Args:
        file: made by :func:`infra.lab.bench.gguf.convert`.
        loaded: the same model, for its tokenizer.
        rows: requests at once.
        longest: most tokens of a prompt.
        positions: most tokens of prompt and answer.
    """

    def __init__(self, file: Path, loaded: Loaded, *, rows: int, longest: int, positions: int) -> None:
        self._loaded = loaded
        self._inner = LlamaCpp(
            file, rows=rows, longest=longest, positions=positions, threads=torch.get_num_threads()
        )

    def write(self, prompts: list[list[int]], tokens: int) -> list[BenchAnswer]:
        """The answers, in the order of the prompts."""
        return [told(self._loaded, ids) for ids in self._inner.write(prompts, tokens)]


class Others:
    """Everybody but us, in a process of their own.

    In one process with the engine there would be workers for two threads that compute, and more of
    them than cores: everybody would be slower.

    Args:
        source: the model's folder.
        file: the model in llama.cpp's format, if it is to write.
        rows: requests at once.
        longest: most tokens of a prompt.
        positions: most tokens of prompt and answer.
    """

    def __init__(self, source: Path, file: Path | None, *, rows: int, longest: int, positions: int) -> None:
        self.names = ("generate", "padded", *(() if file is None else ("llama_cpp",)))
        self._given = (source, file, rows, longest, positions)
        self._process = ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn"))

    def write(self, who: str, prompts: list[list[int]], tokens: int) -> tuple[list[BenchAnswer], float]:
        """The answers of one of them, in the order of the prompts, and the seconds that it took."""
        return self._process.submit(_written, self._given, who, prompts, tokens).result()

    def close(self) -> None:
        """End the process."""
        self._process.shutdown()


def _written(
    given: tuple[Any, ...], who: str, prompts: list[list[int]], tokens: int
) -> tuple[list[BenchAnswer], float]:
    return timed(_others(*given)[who], prompts, tokens)


@cache
def _others(
    source: Path, file: Path | None, rows: int, longest: int, positions: int
) -> dict[str, BenchWriter]:
    own = load(str(source), device="cpu", dtype="float32")
    others: dict[str, BenchWriter] = {"generate": Generate(own), "padded": Padded(own)}
    if file is not None:
        others["llama_cpp"] = Llama(file, own, rows=rows, longest=longest, positions=positions)
    return others


def timed(writer: BenchWriter, prompts: list[list[int]], tokens: int) -> tuple[list[BenchAnswer], float]:
    """The answers, and the seconds that they took."""
    began = time.perf_counter()
    return writer.write(prompts, tokens), time.perf_counter() - began


def told(loaded: Loaded, ids: list[int]) -> BenchAnswer:
    """An answer from its tokens."""
    return BenchAnswer(
        text=loaded.tokenizer.backend_tokenizer.decode(ids, skip_special_tokens=True), tokens=len(ids)
    )
