"""Commands of `understudy bench` beside those of `cli`; here those of replay jobs, as a user goes through them."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Annotated, Any, Final

import typer

from infra.lab.bench import (
    cluster_command,
    gateway_command,
    replay_command,
    security_command,
    telemetry_command,
)
from infra.lab.bench.proof import command as proof_command

Json = Annotated[bool, typer.Option("--json", help="Print JSON to standard output.")]


def outage(
    requests: Annotated[int, typer.Option(min=20, help="Requests that fall back.")] = 500,
    rate: Annotated[float, typer.Option(min=1, help="Requests per second of the replay.")] = 20,
    *,
    json_: Json = False,
) -> None:
    """A model server goes away and returns; a replay job is killed, resumed, undone; exit status 1 if a count is wrong."""
    from infra.lab.bench import outage as scenario  # noqa: PLC0415 - only what is asked for

    _end(asyncio.run(scenario.run(requests=requests, rate=rate, say=_say)), as_json=json_)


def letters(
    count: Annotated[int, typer.Option("--letters", min=100, help="Dead letters.")] = 10_000,
    *,
    json_: Json = False,
) -> None:
    """A replay job of many letters is killed, paused, resumed, undone; exit status 1 if a count is wrong."""
    from infra.lab.bench import letters as scenario  # noqa: PLC0415 - only what is asked for

    _end(asyncio.run(scenario.run(letters=count, say=_say)), as_json=json_)


def dry_run(
    items: Annotated[int, typer.Option(min=40, help="Letters, and past requests.")] = 200,
    *,
    json_: Json = False,
) -> None:
    """What dry runs of replays say, and what then happens; exit status 1 if they differ."""
    from infra.lab.bench import dry_run as scenario  # noqa: PLC0415 - only what is asked for

    _end(asyncio.run(scenario.run(items=items, say=_say)), as_json=json_)


COMMANDS: Final = (
    telemetry_command.telemetry,
    security_command.security,
    replay_command.replay,
    outage,
    letters,
    dry_run,
    *gateway_command.COMMANDS,
    *cluster_command.COMMANDS,
    proof_command.proof,
)


def _end(figures: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(figures) + "\n")
    if not figures["passed"]:
        _say(f"wrong: {'; '.join(figures['failed'])}")
        raise typer.Exit(1)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
