"""`understudy bench telemetry`."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Annotated

import typer


def telemetry(
    requests: Annotated[int, typer.Option(min=100, help="Size of a burst.")] = 1200,
    starts: Annotated[int, typer.Option(min=1, help="Starts of each pipeline.")] = 5,
    rounds: Annotated[
        int, typer.Option(min=1, help="Bursts for each mode and start, in turn; medians count.")
    ] = 3,
    *,
    detail: Annotated[
        bool, typer.Option("--detail", help="Also measure metrics alone, and every trace.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON to standard output.")] = False,
) -> None:
    """Throughput and CPU with telemetry by default settings, scraped and traced, beside none; exit status 1 below 0.95."""
    from infra.lab.bench import telemetry as measured  # noqa: PLC0415 - only what is asked for

    figures = asyncio.run(
        measured.run(requests=requests, starts=starts, rounds=rounds, detail=detail, say=_say)
    )
    sys.stdout.write(json.dumps(figures) + "\n" if json_ else measured.table(figures))
    if not figures["passed"]:
        raise typer.Exit(1)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
