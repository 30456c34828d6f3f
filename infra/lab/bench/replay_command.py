"""`understudy bench replay`."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Annotated, Literal

import typer


def replay(
    letters: Annotated[int, typer.Option(min=1, help="Dead letters, each of another request.")] = 10_000,
    rate: Annotated[float, typer.Option(min=1, help="Requests per second of the second job.")] = 200,
    rated: Annotated[
        int, typer.Option(min=1, help="Requests of that job, at most as many as letters.")
    ] = 2_000,
    sync: Annotated[
        Literal["always", "2m", "both"],
        typer.Option(metavar="always|2m|both", help="When writes reach the disk."),
    ] = "both",
    *,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON to standard output.")] = False,
) -> None:
    """Time to plan dead letters, requests per second without and with a rate; exit status 1 below the targets."""
    from infra.lab.bench import replay as measured  # noqa: PLC0415 - only what is asked for

    syncs = ("2m", "always") if sync == "both" else (sync,)
    figures = asyncio.run(measured.run(letters=letters, rate=rate, rated=rated, syncs=syncs, say=_say))
    if json_:
        sys.stdout.write(json.dumps(figures) + "\n")
    if not figures["passed"]:
        raise typer.Exit(1)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
