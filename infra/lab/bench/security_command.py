"""`understudy bench security`."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Annotated

import typer


def security(
    requests: Annotated[int, typer.Option(min=100, help="Size of a burst.")] = 1200,
    starts: Annotated[int, typer.Option(min=1, help="Starts of each pipeline.")] = 4,
    rounds: Annotated[
        int, typer.Option(min=1, help="Bursts for each mode and start, in turn; medians count.")
    ] = 4,
    *,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON to standard output.")] = False,
) -> None:
    """Throughput and CPU on a broker that asks who connects, beside an open one; exit status 1 below 0.97."""
    from infra.lab.bench import security as measured  # noqa: PLC0415 - only what is asked for

    figures = asyncio.run(measured.run(requests=requests, starts=starts, rounds=rounds, say=_say))
    sys.stdout.write(json.dumps(figures) + "\n" if json_ else measured.table(figures))
    if not figures["passed"]:
        raise typer.Exit(1)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
