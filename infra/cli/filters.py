"""Which words does a command line have for "only these"?  The same in every listing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli import console

if TYPE_CHECKING:
    from collections.abc import Iterable

    from infra.inspect.filters import Filters

Id = Annotated[
    str | None, typer.Option("--id", metavar="ID", help="Only this request id; * and ? are wildcards.")
]
Kind = Annotated[str | None, typer.Option("--kind", help="Only this content kind.")]
Status = Annotated[str | None, typer.Option("--status", help="Only this status.")]
Origin = Annotated[str | None, typer.Option("--origin", help="Only this origin of the content.")]
Code = Annotated[str | None, typer.Option("--code", help="Only this error code, such as GEN_TIMEOUT.")]
Stage = Annotated[str | None, typer.Option("--stage", help="Only this stage.")]
Provider = Annotated[str | None, typer.Option("--provider", help="Only this provider.")]
Model = Annotated[str | None, typer.Option("--model", help="Only this model.")]
Workspace = Annotated[str | None, typer.Option("--workspace", help="Only this workspace.")]
Node = Annotated[str | None, typer.Option("--node", metavar="ID", help="Only requests with this node.")]
Since = Annotated[
    str | None,
    typer.Option(
        "--since", metavar="10m", help="From that long ago on (30s, 10m, 2h, 1d), or from a time on."
    ),
]
Until = Annotated[
    str | None, typer.Option("--until", metavar="10m", help="Up to that long ago, or up to a time.")
]
Containing = Annotated[str | None, typer.Option("--text", help="Only what contains this text, in any case.")]


def sieve(
    *,
    request_id: str | None = None,
    kind: str | None = None,
    status: str | None = None,
    origin: str | None = None,
    code: str | None = None,
    stage: str | None = None,
    provider: str | None = None,
    model: str | None = None,
    workspace: str | None = None,
    node: str | None = None,
    since: str | None = None,
    until: str | None = None,
    text: str | None = None,
) -> Filters:
    """What the options mean.

    Raises:
        Usage: one of them cannot match anything; the text says what it may be.
    """
    from contracts import result
    from contracts.errors import ErrorCode
    from contracts.kinds import KINDS
    from contracts.pipeline import STAGES
    from infra.inspect.filters import PATTERN, Filters
    from infra.inspect.timeline import PENDING, RUNNING

    if request_id is not None and PATTERN.fullmatch(request_id) is None:
        raise console.Usage(f"--id {request_id!r} is no request id, nor a pattern of ids such as w-*")
    _one_of("--kind", kind, KINDS)
    _one_of("--status", status, (PENDING, RUNNING, *result.Status))
    _one_of("--origin", origin, result.Origin)
    _one_of("--code", code, ErrorCode)
    _one_of("--stage", stage, STAGES)
    return Filters(
        request_id=request_id,
        kind=kind,
        status=status,
        origin=origin,
        code=code,
        stage=stage,
        provider=provider,
        model=model,
        workspace=workspace,
        node=node,
        since_ms=console.since_ms(since),
        until_ms=console.since_ms(until),
        text=text,
    )


def _one_of(option: str, value: str | None, allowed: Iterable[str]) -> None:
    if value is not None and value not in set(allowed):
        raise console.Usage(f"{option} {value!r} is unknown; use one of {', '.join(allowed)}")
