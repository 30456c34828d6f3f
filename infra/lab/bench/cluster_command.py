"""`understudy bench cluster` and `upgrade`."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Annotated, Any, Final, Literal

import msgspec
import typer


def cluster(
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="kills|away|frozen|cut-node|cut-stages", help="A fault; repeatable. Default: all."
        ),
    ] = None,
    rate: Annotated[float, typer.Option(min=1, help="Requests per second.")] = 20,
    deadline_ms: Annotated[
        int, typer.Option("--deadline-ms", min=1, help="Deadline of every request, ms.")
    ] = 3000,
    sync: Annotated[
        Literal["always", "2m"], typer.Option(metavar="always|2m", help="When writes reach the disk.")
    ] = "always",
    *,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON to standard output.")] = False,
) -> None:
    """A cluster of three loses leaders, a server, the network; exit status 1 if a request is lost, doubled or late."""
    from infra.lab.bench import cluster as measured  # noqa: PLC0415 - only what is asked for

    chosen: Any = tuple(dict.fromkeys(fault or measured.FAULTS))
    unknown = [each for each in chosen if each not in measured.FAULTS]
    if unknown:
        raise typer.BadParameter(
            f"{unknown[0]!r} is none of {', '.join(measured.FAULTS)}", param_hint="--fault"
        )
    plan = measured.ClusterPlan(faults=chosen, rate=rate, deadline_ms=deadline_ms, sync=sync)
    found = measured.run_here(plan, say=_say)
    if json_:
        sys.stdout.write(json.dumps({**msgspec.to_builtins(found), "passed": found.passed}) + "\n")
    else:
        sys.stdout.write(measured.table(found))
    if not found.passed:
        raise typer.Exit(1)


def upgrade(
    from_: Annotated[
        str,
        typer.Option(
            "--from", metavar="REVISION", help="The earlier version: a tag or commit of this clone."
        ),
    ],
    rate: Annotated[float, typer.Option(min=1, help="Requests per second.")] = 15,
    pace: Annotated[float, typer.Option(min=1, help="Seconds from one replacement to the next.")] = 10,
    *,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON to standard output.")] = False,
) -> None:
    """Stages of an earlier version are replaced under load, one by one, and back; exit status 1 if a request suffers."""
    from infra.lab.bench import upgrade as measured  # noqa: PLC0415 - only what is asked for

    try:
        found = asyncio.run(measured.run(from_, rate=rate, pace_s=pace, say=_say))
    except measured.NoVersion as error:
        _say(f"error: {error}")
        raise typer.Exit(1) from None
    figures = {**msgspec.to_builtins(found), "passed": found.passed}
    sys.stdout.write(json.dumps(figures, indent=None if json_ else 2) + "\n")
    if not found.passed:
        raise typer.Exit(1)


COMMANDS: Final = (cluster, upgrade)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
