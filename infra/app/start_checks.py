"""Checks before a start: users' files, and installed extensions.

`up` runs them first, `doctor` lists them, and each process of stages loads the files that it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from contracts.errors import Misconfigured
from contracts.helper_tasks import ENHANCEMENT, EVALUATION
from contracts.kinds import KINDS
from infra.app import experiment_plans
from infra.app.enhancement import enhancer_limits
from infra.extensions.entry_points import Extension, ExtensionError
from infra.providers import table
from infra.providers.names import helper_chains
from infra.stores import experiments, prompts, rubrics, samples, templates, word_lists, worlds

if TYPE_CHECKING:
    from infra.settings.settings import Settings

_EXTENSION: Final = "extension: "


class StartCheck(msgspec.Struct, frozen=True, kw_only=True):
    """Result of one check."""

    part: str
    #: What was found; or what is wrong, and what to do.
    detail: str
    ok: bool


def check(settings: Settings) -> None:
    """Check all parts.

    Raises:
        Misconfigured: a part cannot be used; names every one, its file and the fix.
    """
    wrong = [
        # An extension's error begins with its name.
        each.detail if each.part.startswith(_EXTENSION) else f"{each.part}: {each.detail}"
        for each in look(settings)
        if not each.ok
    ]
    if wrong:
        raise Misconfigured("; ".join(wrong))


def look(settings: Settings) -> tuple[StartCheck, ...]:
    """Results of all checks."""
    problems = dict(settings.extensions.problems) | table.extension_problems(settings)
    parts: dict[str, Callable[[], str]] = {
        "golden samples": lambda: _samples(settings),
        "templates": lambda: _named(templates.load(settings.templates_dir).ids(), settings.templates_dir),
        "worlds": lambda: _named(worlds.load(settings.worlds_dir).names(), settings.worlds_dir),
        "experiments": lambda: _experiments(settings),
        "rating words": lambda: _words(settings.rating_words),
        "prompts": lambda: _prompts(settings),
    }
    helping = dict(helper_chains(settings))
    if EVALUATION in helping:
        parts["rubric"] = lambda: _rubric(settings)
    if ENHANCEMENT in helping:
        parts["enhancement"] = lambda: f"of the {enhancer_limits(settings).of}"
    parts |= {
        f"{_EXTENSION}{each.title}": partial(_extension, each, problems) for each in settings.extensions.found
    }
    return tuple(_found(part, read) for part, read in parts.items())


def _found(part: str, read: Callable[[], str]) -> StartCheck:
    try:
        return StartCheck(part=part, detail=read(), ok=True)
    except Misconfigured as error:
        return StartCheck(part=part, detail=str(error), ok=False)


def _extension(extension: Extension, problems: Mapping[Extension, str]) -> str:
    if extension in problems:
        raise ExtensionError(problems[extension])
    return extension.source


def _prompts(settings: Settings) -> str:
    store = prompts.load(*settings.prompt_folders)
    for kind in KINDS:
        if not any(each.kind == kind and each.released for each in store.versions(kind)):
            raise prompts.PromptError(
                f"kind {kind!r} has no released version of a family {kind!r}; add {kind}/1.md to a folder of "
                "prompt families, docs/prompts.md"
            )
    return ", ".join(store.families())


def _samples(settings: Settings) -> str:
    store = samples.load(*settings.sample_folders)
    return (
        f"{sum(len(store.of_kind(kind)) for kind in samples.MODELS)} in "
        f"{', '.join(map(str, settings.sample_folders))}"
    )


def _experiments(settings: Settings) -> str:
    plans = experiments.load(settings.experiments_dir)
    for each in plans:
        experiment_plans.prepare(settings, each)
    return _named(tuple(each.name for each in plans), settings.experiments_dir)


def _rubric(settings: Settings) -> str:
    rubric = rubrics.load(settings.narrative.evaluation.rubric)
    return f"{rubric.name}: {', '.join(each.name for each in rubric.criteria)}"


def _words(path: Path) -> str:
    word_lists.load(path)
    return str(path)


def _named(names: tuple[str, ...], where: Path) -> str:
    return f"{', '.join(names) or 'none'} in {where}"
