"""`understudy bench cluster`."""

from __future__ import annotations

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


COMMANDS: Final = (cluster,)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
