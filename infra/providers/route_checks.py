"""Checks of routes: whether each provider that the settings name can be asked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from contracts import pipeline
from infra.extensions.entry_points import ExtensionError
from infra.providers import table
from infra.providers.names import chains, helper_chains
from infra.settings.settings import SettingsError

if TYPE_CHECKING:
    from infra.settings.settings import Settings

_VARIABLE: Final = "UNDERSTUDY_NARRATIVE__"


def check(settings: Settings, stages: Collection[str] = pipeline.STAGES) -> tuple[str, ...]:
    """What is wrong with the providers that the settings name, one sentence each, with the fix.

    A name that no provider has is a mistake also while models are off; what a provider lacks is not.
    Whether a server answers, and whether a model can be loaded, is not known before it is tried.

    Args:
        settings: this process's settings.
        stages: those of this process, whose providers are looked at.
    """
    return tuple(dict.fromkeys(_mistakes(settings, stages)))


def require(settings: Settings, stages: Collection[str] = pipeline.STAGES) -> None:
    """Refuse settings whose providers cannot be asked.

    Raises:
        SettingsError: naming each setting, its value and what is allowed.
    """
    mistakes = check(settings, stages)
    if mistakes:
        raise SettingsError("; ".join(mistakes))


def problem(settings: Settings, name: str) -> str | None:
    """Why a provider cannot be asked; ``None`` where it can."""
    try:
        return table.spec_of(settings, name).problem(settings, name)
    except KeyError:
        return f"no such provider; known are {', '.join(table.known(settings))}"
    except ExtensionError as error:
        return str(error)


def helper_problem(settings: Settings, name: str) -> str | None:
    """Why a provider can neither judge nor rewrite; ``None`` where it can."""
    return problem(settings, name) or table.spec_of(settings, name).helper_problem(settings, name)


def _mistakes(settings: Settings, stages: Collection[str]) -> Iterator[str]:
    narrative = settings.narrative
    for name in table.BUILT_IN:
        if name in narrative.servers:
            yield (
                f"setting {_VARIABLE}SERVERS names a server {name!r}, which is a built-in provider; "
                "choose another name"
            )
    kinds = tuple(kind for kind, _ in chains(settings))
    for kind in narrative.defaults.kinds:
        if kind not in kinds:
            yield f"setting {_VARIABLE}DEFAULTS__KINDS names {kind!r}, which is no content kind; known are {', '.join(kinds)}"
    if pipeline.EXPENSIVE & set(stages):
        yield from _route_mistakes(settings, chains(settings), problem)
    tasks = pipeline.helpers(stages)
    helping = ((task, names) for task, names in helper_chains(settings) if task in tasks)
    yield from _route_mistakes(settings, helping, helper_problem)


def _route_mistakes(
    settings: Settings,
    routes: Iterable[tuple[str, tuple[str, ...]]],
    problem_of: Callable[[Settings, str], str | None],
) -> Iterator[str]:
    known = table.known(settings)
    named: dict[str, list[str]] = {}
    for kind, names in routes:
        for name in names:
            named.setdefault(name, []).append(kind.upper())
    for name, (first, *others) in named.items():
        also = f" (and {', '.join(others)})" if others else ""
        where = f"setting {_VARIABLE}PROVIDERS__{first}{also}"
        if name not in known:
            near = get_close_matches(name, known, n=1)
            yield (
                f"{where} is {name!r}: no such provider"
                f"{f', did you mean {near[0]!r}?' if near else ''}; known are {', '.join(known)}"
            )
        elif settings.use_local_model and (why := problem_of(settings, name)):
            yield f"{where} is {name!r}: {why}"
