"""`understudy bench proof`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer


def proof(
    sections: Annotated[
        list[str] | None, typer.Argument(metavar="[SECTION]...", help="Sections; all by default.")
    ] = None,
    requests: Annotated[int, typer.Option(min=100, help="Least requests of each fault campaign.")] = 52_000,
    faults: Annotated[int, typer.Option(min=0, help="Faults of each campaign.")] = 210,
    rate: Annotated[float, typer.Option(min=1, help="Requests per second on one node.")] = 65,
    cluster_rate: Annotated[float, typer.Option(min=1, help="Requests per second on three nodes.")] = 40,
    events: Annotated[
        int, typer.Option(min=2_000, help="Most stored events of section `scale`.")
    ] = 1_000_000,
    seed: Annotated[int, typer.Option(help="Random seed of targets and times.")] = 1,
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False, metavar="FILE", help="JSON file that gets the figures, section by section."
        ),
    ] = None,
) -> None:
    """Faults against lost, doubled, unlabelled and late results, and what the pipeline costs; exit status 1 if a bar is missed.

    The figures of docs/benchmarks.md: `understudy bench proof --output docs/benchmarks.json`, about an hour and a half.
    """
    from infra.lab.bench.proof import sections as parts  # noqa: PLC0415 - only what is asked for

    chosen = sections or list(parts.SECTIONS)
    unknown = [name for name in chosen if name not in parts.SECTIONS]
    if unknown:
        raise typer.BadParameter(
            f"{', '.join(unknown)} is unknown; there are {', '.join(parts.SECTIONS)}", param_hint="SECTION"
        )
    points = sorted({1_000, *(each for each in (100_000,) if each < events), events})
    amounts = parts.Amounts(
        requests=requests,
        faults=faults,
        rate=rate,
        cluster_rate=cluster_rate,
        events=tuple(points),
        seed=seed,
    )
    missed: list[str] = []
    for name in chosen:
        found = asyncio.run(parts.measure(name, amounts, say=_say))
        if not found.passed:
            missed.append(name)
        if output is None:
            sys.stdout.write(f"{msgspec.json.encode({name: found}).decode()}\n")
        else:
            _merge(output, name, found)
    if missed:
        _say(f"missed: {', '.join(missed)}")
        raise typer.Exit(1)


def _merge(output: Path, name: str, found: object) -> None:
    had = msgspec.json.decode(output.read_bytes()) if output.is_file() else {}
    text = msgspec.json.format(msgspec.json.encode({**had, name: found}, order="sorted"))
    output.write_bytes(text + b"\n")


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
