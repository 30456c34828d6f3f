"""Filter options of commands: the same words everywhere.

A command gets them from :func:`accept`, as one argument ``wanted``.
"""

from __future__ import annotations

import inspect
import time
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar, get_type_hints

import typer

from infra.cli import console

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from infra.inspect.request_filter import RequestFilter

T = TypeVar("T")


def _option(word: str, text: str, metavar: str = "TEXT") -> Any:
    return Annotated[str | None, typer.Option(f"--{word}", metavar=metavar, help=text)]


#: The options, by word of :data:`infra.inspect.request_filter.WORDS`.
_OPTIONS: Final[dict[str, Any]] = {
    "id": _option("id", "Only this request id; * and ? are wildcards.", "ID"),
    "kind": _option("kind", "Only this content kind; several are separated by commas.", "KIND"),
    "status": _option("status", "Only this status; several are separated by commas.", "STATUS"),
    "origin": _option(
        "origin", "Only this origin of the content; several are separated by commas.", "ORIGIN"
    ),
    "code": _option(
        "code", "Only this error code, such as GEN_TIMEOUT; several are separated by commas.", "CODE"
    ),
    "stage": _option("stage", "Only this stage; several are separated by commas.", "STAGE"),
    "provider": _option("provider", "Only this provider."),
    "model": _option("model", "Only this model."),
    "prompt-version": _option("prompt-version", "Only this prompt version, such as layout@1."),
    "workspace": _option("workspace", "Only this workspace."),
    "node": _option("node", "Only requests with this node; without a node, with this template.", "ID"),
    "since": _option("since", "Start: an age (30s, 10m, 2h, 1d) or a time.", "10m"),
    "until": _option("until", "End: an age or a time.", "10m"),
    "text": _option("text", "Only what contains this text; upper and lower case are equal."),
}


_SHADOWS: Final[Any] = Annotated[
    bool,
    typer.Option("--shadows", help="Also shadows: reruns for comparison, whose ids begin with sh-."),
]


def accept(
    *, without: Mapping[str, str] | None = None, shadows: bool = False
) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Replace a command's parameter ``wanted`` by the filter options; it gets the resulting filter.

    Args:
        without: words that have no meaning for the command, and why; they are refused with that reason.
        shadows: shadows always match; otherwise only with ``--shadows``.
    """
    meaningless = without or {}

    def decorate(command: Callable[..., T]) -> Callable[..., T]:
        @wraps(command)
        def run(**given: Any) -> T:
            values: dict[str, str | None] = {word: given.pop(_name(word)) for word in _OPTIONS}
            shown = shadows or given.pop("shadows")
            return command(wanted=parse(values, without=meaningless, shadows=shown), **given)

        # The class of ``wanted`` is imported only for type checkers.
        hints = get_type_hints(command, localns={"RequestFilter": object}, include_extras=True)
        parameters: list[inspect.Parameter] = []
        for name, each in inspect.signature(command).parameters.items():
            if name == "wanted":
                parameters += [
                    _parameter(_name(word), None, _hidden(word) if word in meaningless else option)
                    for word, option in _OPTIONS.items()
                ]
                if not shadows:
                    parameters.append(_parameter("shadows", default=False, annotation=_SHADOWS))
            else:
                parameters.append(_parameter(name, each.default, hints[name]))
        # Typer reads both.
        vars(run)["__signature__"] = inspect.Signature(parameters)
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        if meaningless:
            run.__doc__ = f"{inspect.getdoc(command)}\n\n{_say_missing(meaningless)}"
        return run

    return decorate


def parse(
    given: Mapping[str, str | None], *, without: Mapping[str, str] | None = None, shadows: bool = False
) -> RequestFilter:
    """Make a filter from options, by word.

    Args:
        given: the values; ``None``: not given.
        without: words that have no meaning, and why.
        shadows: shadows match too.

    Raises:
        Usage: an option cannot match anything; the text names it.
    """
    import msgspec

    from infra.inspect.request_filter import FilterError, parse_filter

    for word, reason in (without or {}).items():
        if given.get(word) is not None:
            raise console.Usage(f"--{word} has no meaning here: {reason}")
    try:
        found = parse_filter(given, now_ms=round(time.time() * 1000))
        return msgspec.structs.replace(found, shadows=shadows)
    except FilterError as error:
        raise console.Usage(str(error)) from None


def _name(word: str) -> str:
    return word.replace("-", "_")


def _hidden(word: str) -> Any:
    return Annotated[str | None, typer.Option(f"--{word}", hidden=True)]


def _say_missing(without: Mapping[str, str]) -> str:
    *others, last = (f"--{word}" for word in without)
    named = f"{', '.join(others)} and {last} have" if others else f"{last} has"
    reasons = list(dict.fromkeys(without.values()))
    return f"{named} no meaning here: {'; '.join(reasons)}."


def _parameter(name: str, default: Any, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
