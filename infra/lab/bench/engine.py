"""Speed of the local engine, compared with other programs with the same weights.

Each model has a separate process.  In it rounds alternate between the engines, and the best round
of each counts, because any disturbance makes a measurement slower.
"""

from __future__ import annotations

import multiprocessing
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgspec
import torch

from contracts.content.registry import CONTENTS, MODELS
from infra.engine.engine import Engine
from infra.engine.files import folder_of
from infra.engine.grammar import Grammars
from infra.engine.load import Loaded, load
from infra.engine.task import EngineOutput, Task
from infra.lab.bench import bandwidth, gguf, random_models
from infra.lab.bench.engine_speeds import OURS, EnginePlan, SpeedComparison
from infra.lab.bench.sampler import resident
from infra.lab.bench.trial import Say
from infra.lab.bench.writers import DTYPES, PATIENCE_S, Device, Others
from infra.lab.house_model.files import WEIGHTS

HOUSE: Final = "house"
#: Most tokens of a prompt.
_PROMPT: Final = 64
#: Late arrivals, one after another, and requests that are alone; medians of both.
_LATE: Final = 25
#: Late arrivals come within so many times of what a lone request takes: several steps, so that all moments
#: of a step are as likely.
_MOMENTS: Final = 10
#: Tokens of a structured answer for each of a plain one: a small layout needs some 150.
_LONGER: Final = 3
#: Seconds in which a batch has begun to write.
_BEGUN_S: Final = 120.0
_WISH: Final = (
    "A frozen lake with two platforms and a coin. A path leads past an old mill to the north, where three "
    "lanterns hang over a door, and whoever waits there long enough hears a bell from under the ice."
)


def run(
    *, models: Sequence[str], tokens: int, rounds: int, say: Say, device: Device = "cpu"
) -> dict[str, Any]:
    """Measure each model, one after the other.

    Args:
        models: ``house``, names of :data:`infra.lab.bench.random_models.SIZES`, or folders of models.
        tokens: of each plain answer.
        rounds: alternating rounds; the best counts.
        say: told what is being done; a function of a module, for it goes to another process.
        device: of the models.

    Returns:
        Device, threads, precision and, per model, what :func:`measure` returns, or why it was left out.
    """
    plan = EnginePlan(tokens=tokens, rounds=rounds, device=device)
    found: dict[str, Any] = {}
    for name in models:
        if name == HOUSE and not WEIGHTS.is_dir():
            found[name] = {
                "skipped": "no weights in infra/lab/house_model/weights: "
                "`python -m infra.lab.house_model build` makes them"
            }
            say(f"{name}: {found[name]['skipped']}")
            continue
        with tempfile.TemporaryDirectory(prefix="understudy-bench-") as folder:
            source = WEIGHTS if name == HOUSE else Path(name).absolute()
            if name in random_models.SIZES:
                say(f"{name}: making random weights")
                source = Path(folder) / name
                _elsewhere(random_models.make, source, random_models.SIZES[name], device)
            found[name] = _elsewhere(measure, name, source, Path(folder), plan, say)
    return {
        "device": device,
        "dtype": DTYPES[device],
        "threads": torch.get_num_threads(),
        "rounds": rounds,
        "tokens_per_answer": tokens,
        "models": found,
    }


def _elsewhere(work: Callable[..., Any], *given: Any) -> Any:
    """Run a function in a fresh process, so that its memory does not affect other measurements."""
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(work, *given).result()


def measure(name: str, source: Path, scratch: Path, plan: EnginePlan, say: Say) -> dict[str, Any]:
    """Measure one model.

    Args:
        name: told along with what is being done.
        source: the model's folder.
        scratch: a folder for its copy in llama.cpp's format.
        plan: what is measured.
        say: told what is being done.

    Returns:
        ``tokens_per_s``, ``ratios`` (ours to each, by requests at once), ``tokens`` written and
        ``same_text`` (share that is what ``generate`` writes) per writer; ``time`` (shares of the wall
        time of ours; a GPU computes until the sampling of the next token, not in the forward pass, which
        only submits); ``constrained`` (speeds and ratios by schema); ``late_arrival`` and ``memory_mib``; on
        a CPU also ``grammar``, on a GPU what :func:`infra.lab.bench.bandwidth.share` returns.
    """
    say(f"{name}: loading")
    most = max(plan.at)
    sizes = {"before": resident()}
    loaded = load(str(folder_of(str(source))), device=plan.device, dtype=DTYPES[plan.device])
    loaded = replace(loaded, ends=frozenset())
    sizes["loaded"] = resident()
    parameters = sum(each.numel() for each in loaded.model.parameters())
    positions = min(loaded.window, _PROMPT * 4 + _LONGER * plan.tokens)
    # Rounds repeat their prompts.
    engine = Engine(loaded, rows=most, max_len=positions, prefix_cache=False)
    engine.start()
    sizes["started"] = resident()
    prompts = _prompts(loaded, most)
    without_llama = _without_llama(plan.device)
    files = {} if without_llama else {kind: scratch / f"{kind}.gguf" for kind in gguf.KINDS}
    for kind, file in files.items():
        gguf.convert(source, file, kind=kind)
    others = Others(source, files, rows=most, positions=positions, device=plan.device)
    try:
        speeds = SpeedComparison(name, engine, others, prompts, plan, say)
        plain, constrained = speeds.plain(), speeds.constrained()
        say(f"{name}: late arrivals")
        late = _late_arrival(engine, prompts)
        more: dict[str, Any]
        if plan.device == "cpu":
            say(f"{name}: grammar")
            more = {"grammar": {**_layouts(engine, prompts, plan), **_compiled(loaded, plan.rounds)}}
        else:
            say(f"{name}: memory bandwidth")
            more = bandwidth.share(loaded.model, loaded.device, plain["tokens_per_s"][OURS]["1"])
    finally:
        engine.close()
        others.close()
    if without_llama:
        say(f"{name}: llama_cpp {without_llama}")
        plain["tokens_per_s"]["llama_cpp"] = without_llama
    return {
        "architecture": loaded.model.config.model_type,
        "parameters": parameters,
        "vocabulary": loaded.vocabulary,
        **plain,
        "constrained": constrained,
        "late_arrival": late,
        **more,
        "memory_mib": {point: round(size / 1024**2, 1) for point, size in sizes.items()},
    }


def _without_llama(device: Device) -> str | None:
    """Why llama.cpp is not measured."""
    if device != "cpu":
        return "is measured on the CPU alone"
    absent = gguf.missing()
    return f"is not installed ({', '.join(absent)}): {gguf.INSTALL}" if absent else None


def _prompts(loaded: Loaded, count: int) -> list[list[int]]:
    """Prompts of different lengths, half to all of the most."""
    whole = (loaded.tokenizer.encode(_WISH, add_special_tokens=False) * _PROMPT)[: 2 * _PROMPT]
    longest = min(_PROMPT, loaded.window // 4)
    return [whole[number : number + longest - number * longest // (2 * count)] for number in range(count)]


def _late_arrival(engine: Engine, prompts: list[list[int]]) -> dict[str, Any]:
    """Seconds to the first token of a lone request, and beside a batch with one free row."""
    late = Task(prompt=tuple(prompts[0]), max_tokens=1, timeout_s=PATIENCE_S)
    moments = random.Random(1)  # noqa: S311 - no secret

    def firsts(spread_s: float) -> list[float]:
        taken: list[float] = []
        for _ in range(_LATE):
            # At any moment of a step: at once after the one before would always be at the beginning.
            time.sleep(moments.uniform(0, spread_s))
            taken.append(engine.submit(late).result().first_token_s)
        return taken

    alone = firsts(0)
    begun = [threading.Event() for _ in prompts[1:]]
    crowd = [
        # Sampled: a random model that repeats half a character would never say a word.
        engine.submit(
            Task(
                prompt=tuple(prompt),
                max_tokens=engine.max_len,
                temperature=1.0,
                seed=number,
                timeout_s=PATIENCE_S,
            ),
            lambda _, event=event: event.set(),
        )
        for number, (prompt, event) in enumerate(zip(prompts[1:], begun, strict=True))
    ]
    if not all(event.wait(_BEGUN_S) for event in begun):
        raise TimeoutError(f"{len(crowd)} requests have not begun within {_BEGUN_S:g} s")
    beside = firsts(_MOMENTS * statistics.median(alone))
    # Fewer at the end than at the beginning: the figure is too good.
    left = sum(not future.done() for future in crowd)
    for future in crowd:
        future.cancel()
    return {
        "alone_ms": round(statistics.median(alone) * 1000, 2),
        "late_ms": round(statistics.median(beside) * 1000, 2),
        "late_worst_ms": round(max(beside) * 1000, 2),
        "ratio": round(statistics.median(beside) / statistics.median(alone), 2),
        "writing_at_first": len(crowd),
        "writing_at_last": left,
    }


def _layouts(engine: Engine, prompts: list[list[int]], plan: EnginePlan) -> dict[str, Any]:
    """Layouts constrained by a grammar, compared with as many tokens of free text.

    And beside the same without taking tokens at once that must follow.
    """
    by_count: dict[str, Any] = {}
    for count in (min(plan.at), max(plan.at)):
        rows: list[dict[str, float]] = []
        for _ in range(plan.rounds):
            tasks = _asked(engine.loaded, prompts[:count], plan)
            before = msgspec.structs.asdict(engine.stats)
            answers, taken = _timed(engine, tasks)
            after = msgspec.structs.asdict(engine.stats)
            free = [
                msgspec.structs.replace(task, schema=None, max_tokens=answer.completion_tokens)
                for task, answer in zip(tasks, answers, strict=True)
            ]
            _, taken_free = _timed(engine, free)
            engine.grammars.forcing = False
            one_by_one, taken_unforced = _timed(engine, tasks)
            engine.grammars.forcing = True
            tokens = sum(answer.completion_tokens for answer in answers)
            forced = sum(answer.forced_tokens for answer in answers)
            rows.append(
                {
                    "tokens": tokens,
                    "tokens_per_s": round(tokens / taken, 1),
                    "free_text_tokens_per_s": round(tokens / taken_free, 1),
                    "unforced_tokens_per_s": round(
                        sum(answer.completion_tokens for answer in one_by_one) / taken_unforced, 1
                    ),
                    "forced_share": round(forced / tokens, 3),
                    "tokens_per_step": round(tokens / (after["steps"] - before["steps"]), 2),
                    "mask_us_per_token": round((after["grammar_s"] - before["grammar_s"]) / tokens * 1e6, 1),
                    "mask_us_per_choice": round(
                        (after["grammar_s"] - before["grammar_s"]) / max(1, tokens - forced) * 1e6, 1
                    ),
                    "complete": sum(answer.finish_reason == "grammar" for answer in answers),
                }
            )
        by_count[str(count)] = _best(rows)
    return {"layouts": by_count}


def _best(rows: list[dict[str, float]]) -> dict[str, float]:
    """The fastest round, with the best round of each comparison."""
    others = {name: max(row[f"{name}_tokens_per_s"] for row in rows) for name in ("free_text", "unforced")}
    fastest = max(rows, key=lambda row: row["tokens_per_s"])
    return {
        **fastest,
        **{name: min(row[name] for row in rows) for name in fastest if name.startswith("mask_us")},
        **{f"{name}_tokens_per_s": speed for name, speed in others.items()},
        **{f"ratio_to_{name}": round(fastest["tokens_per_s"] / speed, 2) for name, speed in others.items()},
    }


def _asked(loaded: Loaded, prompts: list[list[int]], plan: EnginePlan) -> list[Task]:
    """Tasks for layouts: through the chat template, if the model has one."""
    schema = CONTENTS.schema("layout", None)
    spoken = [tuple(prompt) for prompt in prompts]
    if loaded.tokenizer.chat_template:
        text = str(
            loaded.tokenizer.apply_chat_template(
                [{"role": "user", "content": _WISH}],
                kind="layout",
                stage="structuring",
                add_generation_prompt=True,
                tokenize=False,
            )
        )
        spoken = [tuple(loaded.tokenizer.encode(text, add_special_tokens=False))] * len(prompts)
    return [
        Task(
            prompt=prompt,
            max_tokens=_LONGER * plan.tokens,
            temperature=0.8,
            seed=seed,
            schema=schema,
            timeout_s=PATIENCE_S,
        )
        for seed, prompt in enumerate(spoken)
    ]


def _timed(engine: Engine, tasks: list[Task]) -> tuple[list[EngineOutput], float]:
    began = time.perf_counter()
    answers = [future.result() for future in [engine.submit(task) for task in tasks]]
    return answers, time.perf_counter() - began


def _compiled(loaded: Loaded, rounds: int) -> dict[str, Any]:
    """Milliseconds until the first matcher of each kind, and before all of them for the vocabulary."""
    vocabulary: list[float] = []
    kinds: dict[str, list[float]] = {kind: [] for kind in MODELS}
    for _ in range(rounds):
        began = time.perf_counter()
        grammars = Grammars(loaded.tokenizer, loaded.vocabulary)
        vocabulary.append(time.perf_counter() - began)
        for kind, taken in kinds.items():
            schema = CONTENTS.schema(kind, None)
            began = time.perf_counter()
            grammars.matcher(schema)
            taken.append(time.perf_counter() - began)
    return {
        "vocabulary_ms": round(min(vocabulary) * 1000, 1),
        "compile_ms": {kind: round(min(taken) * 1000, 2) for kind, taken in kinds.items()},
    }
