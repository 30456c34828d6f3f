"""Filter options of listings: the same words in every command.

A command gets them from :func:`accept`, as one argument ``wanted``.
"""

from __future__ import annotations

import inspect
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar, get_type_hints

import typer

from infra.cli import console

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from infra.inspect.filters import Filters

T = TypeVar("T")
#: The type of each option, by the field of :class:`infra.inspect.filters.Filters` that it sets.
_OPTIONS: Final[dict[str, Any]] = {
    "request_id": Annotated[
        str | None, typer.Option("--id", metavar="ID", help="Only this request id; * and ? are wildcards.")
    ],
    "kind": Annotated[str | None, typer.Option("--kind", help="Only this content kind.")],
    "status": Annotated[str | None, typer.Option("--status", help="Only this status.")],
    "origin": Annotated[str | None, typer.Option("--origin", help="Only this origin of the content.")],
    "code": Annotated[str | None, typer.Option("--code", help="Only this error code, such as GEN_TIMEOUT.")],
    "stage": Annotated[str | None, typer.Option("--stage", help="Only this stage.")],
    "provider": Annotated[str | None, typer.Option("--provider", help="Only this provider.")],
    "model": Annotated[str | None, typer.Option("--model", help="Only this model.")],
    "workspace": Annotated[str | None, typer.Option("--workspace", help="Only this workspace.")],
    "node": Annotated[str | None, typer.Option("--node", metavar="ID", help="Only requests with this node.")],
    "since": Annotated[
        str | None,
        typer.Option("--since", metavar="10m", help="Start: an age (30s, 10m, 2h, 1d) or a time."),
    ],
    "until": Annotated[str | None, typer.Option("--until", metavar="10m", help="End: an age or a time.")],
    "text": Annotated[
        str | None, typer.Option("--text", help="Only events that contain this text, in any case.")
    ],
}


def accept(*options: str) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Replace a command's parameter ``wanted`` by filter options; it gets the resulting filters.

    Args:
        options: fields of the filters, in the order of the help text.
    """

    def decorate(command: Callable[..., T]) -> Callable[..., T]:
        @wraps(command)
        def run(**given: Any) -> T:
            wanted = to_filters({name: given.pop(name) for name in options})
            return command(wanted=wanted, **given)

        # The class of ``wanted`` is imported only for type checkers.
        hints = get_type_hints(command, localns={"Filters": object}, include_extras=True)
        parameters: list[inspect.Parameter] = []
        for name, each in inspect.signature(command).parameters.items():
            if name == "wanted":
                parameters += [_parameter(option, None, _OPTIONS[option]) for option in options]
            else:
                parameters.append(_parameter(name, each.default, hints[name]))
        # Typer reads both.
        vars(run)["__signature__"] = inspect.Signature(parameters)
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        return run

    return decorate


def _parameter(name: str, default: Any, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def to_filters(given: dict[str, str | None]) -> Filters:
    """Make filters from options, by the name of the field that each one sets.

    Raises:
        Usage: an option cannot match anything; the text lists the allowed values.
    """
    from contracts import result
    from contracts.errors import ErrorCode
    from contracts.kinds import KINDS
    from contracts.pipeline import STAGES
    from infra.inspect.filters import PATTERN, Filters
    from infra.inspect.timeline import PENDING, RUNNING

    request_id = given.get("request_id")
    if request_id is not None and PATTERN.fullmatch(request_id) is None:
        raise console.Usage(f"--id {request_id!r} is no request id, nor a pattern of ids such as w-*")
    for name, allowed in (
        ("kind", KINDS),
        ("status", (PENDING, RUNNING, *result.Status)),
        ("origin", result.Origin),
        ("code", ErrorCode),
        ("stage", STAGES),
    ):
        _one_of(f"--{name}", given.get(name), allowed)
    since_ms, until_ms = (console.since_ms(given.get(name)) for name in ("since", "until"))
    plain = {name: value for name, value in given.items() if name not in ("since", "until")}
    return Filters(**plain, since_ms=since_ms, until_ms=until_ms)


def _one_of(option: str, value: str | None, allowed: Iterable[str]) -> None:
    if value is not None and value not in set(allowed):
        raise console.Usage(f"{option} {value!r} is unknown; use one of {', '.join(allowed)}")
