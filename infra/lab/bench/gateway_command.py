"""`understudy bench gateway` and `gateway-kills`."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
import typer


def gateway(
    requests: Annotated[int, typer.Option(min=100, help="Size of a burst.")] = 1000,
    in_flight: Annotated[int, typer.Option(min=1, max=1000, help="Requests at once.")] = 200,
    rounds: Annotated[int, typer.Option(min=1, help="Pairs of bursts in each part; medians count.")] = 9,
    sync: Annotated[
        Literal["always", "2m"], typer.Option(metavar="always|2m", help="When writes reach the disk.")
    ] = "always",
    *,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON to standard output.")] = False,
) -> None:
    """What the gateway adds to latency, throughput and CPU, beside NATS clients; exit status 1 if it is too much."""
    from infra.lab.bench import gateway as measured  # noqa: PLC0415 - only what is asked for

    figures = asyncio.run(
        measured.run(requests=requests, in_flight=in_flight, rounds=rounds, sync_interval=sync, say=_say)
    )
    sys.stdout.write(json.dumps(figures) + "\n" if json_ else measured.table(figures))
    if not figures["passed"]:
        raise typer.Exit(1)


def gateway_kills(
    seconds: Annotated[float, typer.Option(min=1, help="Seconds of load and kills.")] = 300,
    rate: Annotated[float, typer.Option(min=1, help="Requests per second.")] = 20,
    seed: Annotated[int, typer.Option(help="Random seed of targets, times and paths.")] = 1,
    *,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON to standard output.")] = False,
) -> None:
    """One result per accepted request while gateway, stages and broker are killed; exit status 1 otherwise."""
    from infra.lab.bench import gateway_kills as measured  # noqa: PLC0415 - only what is asked for

    with tempfile.TemporaryDirectory(prefix="understudy-bench-") as folder:
        found = asyncio.run(
            measured.run(
                Path(folder), seconds=seconds, rate=rate, users=100, pause_s=(2, 6), seed=seed, say=_say
            )
        )
    figures = {**msgspec.to_builtins(found), "passed": found.passed}
    sys.stdout.write(json.dumps(figures, indent=None if json_ else 2) + "\n")
    if not found.passed:
        raise typer.Exit(1)


COMMANDS: Final = (gateway, gateway_kills)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
