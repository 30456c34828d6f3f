"""Can the pipeline start with the files that people wrote?

The same look for `up` before anything runs, for `doctor`, and in part for each process of stages.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from contracts.errors import Misconfigured
from infra.stores import prompts, samples, templates, word_lists, worlds

if TYPE_CHECKING:
    from infra.settings.settings import Settings


class StartCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What is there of one part."""

    part: str
    #: What was found, or what is wrong and what to do.
    detail: str
    ok: bool


def check(settings: Settings) -> None:
    """Look at everything that can be known before a request comes.

    Raises:
        Misconfigured: naming every part that cannot be used, its file and the fix.
    """
    wrong = [f"{each.part}: {each.detail}" for each in look(settings) if not each.ok]
    if wrong:
        raise Misconfigured("; ".join(wrong))


def look(settings: Settings) -> tuple[StartCheck, ...]:
    """Every part, the broken ones included."""
    parts: dict[str, Callable[[], str]] = {
        "golden samples": lambda: _samples(settings),
        "templates": lambda: _named(templates.load(settings.templates_dir).ids(), settings.templates_dir),
        "worlds": lambda: _named(worlds.load(settings.worlds_dir).names(), settings.worlds_dir),
        "rating words": lambda: _words(settings.rating_words),
        "prompts": lambda: ", ".join(prompts.load().families()),
    }
    return tuple(_found(part, read) for part, read in parts.items())


def _found(part: str, read: Callable[[], str]) -> StartCheck:
    try:
        return StartCheck(part=part, detail=read(), ok=True)
    except Misconfigured as error:
        return StartCheck(part=part, detail=str(error), ok=False)


def _samples(settings: Settings) -> str:
    store = samples.load(settings.samples_dir)
    return f"{sum(len(store.of_kind(kind)) for kind in samples.MODELS)} in {settings.samples_dir}"


def _words(path: Path) -> str:
    word_lists.load(path)
    return str(path)


def _named(names: tuple[str, ...], where: Path) -> str:
    return f"{', '.join(names) or 'none'} in {where}"
