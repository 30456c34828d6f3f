"""Which measurements can a person start?"""

from __future__ import annotations

import asyncio
import json
import math
import signal
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import msgspec
import typer

from infra.app import doctor
from infra.host import extras
from infra.settings import settings as settings_module
from infra.telemetry import logging as telemetry_logging

app = typer.Typer(no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON to standard output.")]


@app.callback()
def _prepare(context: typer.Context) -> None:
    """Measure pipeline and engine on this machine."""
    # SIGTERM ends a bench as Ctrl-C does: its processes and its folder go with it.
    before = signal.signal(signal.SIGTERM, _stop)
    context.call_on_close(lambda: signal.signal(signal.SIGTERM, before))
    # Figures go to standard output; everything else must not.
    telemetry_logging.configure(settings_module.load(log_level="error"))


def _stop(number: int, _: object) -> NoReturn:
    raise SystemExit(128 + number)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _need_model() -> None:
    absent = [name for name in doctor.MODEL_MODULES if find_spec(name) is None]
    if absent:
        _say(f"error: the local model needs {', '.join(absent)}: {extras.install_command('local')}")
        raise typer.Exit(1)


def _show(figures: dict[str, Any], *, as_json: bool) -> None:
    sys.stdout.write((json.dumps(figures) if as_json else json.dumps(figures, indent=2)) + "\n")


def _end(found: msgspec.Struct, *, passed: bool, text: str, as_json: bool) -> None:
    """Print what was found, for people or machines, and exit 1 if a claim does not hold."""
    if as_json:
        _show({**msgspec.to_builtins(found), "passed": passed}, as_json=True)
    else:
        sys.stdout.write(text)
    if not passed:
        raise typer.Exit(1)


@app.command()
def pipeline(
    requests: Annotated[int, typer.Option(min=100, help="Size of the burst.")] = 3000,
    rounds: Annotated[int, typer.Option(min=1, help="Alternating rounds; medians count.")] = 3,
    *,
    json_: Json = False,
) -> None:
    """Throughput, latency, CPU time and fallback time, beside a hand-written nats-py loop in the same run."""
    from infra.lab.bench import pipeline as measured  # noqa: PLC0415 - only what is asked for

    figures = asyncio.run(measured.run(requests=requests, rounds=rounds, say=_say))
    if json_:
        _show(figures, as_json=True)
    else:
        sys.stdout.write(measured.table(figures))


@app.command()
def context(
    requests: Annotated[int, typer.Option(min=100, help="Of each case, no two of them equal.")] = 2000,
    *,
    json_: Json = False,
) -> None:
    """Context-build and prompt rendering of a request, beside a prompt compiled for each; no broker."""
    from infra.lab.bench import context as measured  # noqa: PLC0415 - only what is asked for

    _show(measured.run(settings_module.load(), requests=requests), as_json=json_)


@app.command()
def soak(
    requests: Annotated[int, typer.Option(min=1, help="Size of the burst.")] = 10_000,
    kills: Annotated[int, typer.Option(min=0, help="SIGKILLs at random.")] = 24,
    copies: Annotated[int, typer.Option(min=1, help="Processes per stage.")] = 2,
    seed: Annotated[int, typer.Option(help="Of targets and moments.")] = 1,
    *,
    json_: Json = False,
) -> None:
    """One result each while every stage and the broker are being killed; exit 1 if not."""
    from infra.lab.bench import soak as measured  # noqa: PLC0415 - only what is asked for

    with tempfile.TemporaryDirectory(prefix="understudy-soak-") as folder:
        found = asyncio.run(
            measured.run(Path(folder), requests=requests, kills=kills, copies=copies, seed=seed, say=_say)
        )
    _show({**msgspec.to_builtins(found), "passed": found.passed}, as_json=json_)
    if not found.passed:
        raise typer.Exit(1)


@app.command()
def overload(  # noqa: PLR0913 - a parameter is an option
    sync: Annotated[
        Literal["always", "2m", "both"],
        typer.Option(metavar="always|2m|both", help="When writes reach the disk."),
    ] = "both",
    model: Annotated[
        Literal["slow", "none", "both"],
        typer.Option(metavar="slow|none|both", help="A slow one, or USE_LOCAL_MODEL=false."),
    ] = "both",
    capacity: Annotated[
        float, typer.Option(min=1, help="Requests per second that the slow model serves.")
    ] = 50,
    factors: Annotated[str, typer.Option(help="Rates, as multiples of what is served.")] = "1,2,4,8",
    seconds: Annotated[float, typer.Option(min=1, help="Of each rate.")] = 60,
    burst: Annotated[int, typer.Option(min=0, help="Requests at once, at the end.")] = 20_000,
    deadline_ms: Annotated[int, typer.Option("--deadline-ms", min=1, help="Of every request.")] = 2000,
    *,
    poisson: Annotated[bool, typer.Option("--poisson", help="Arrivals at random, not even ones.")] = False,
    patience: Annotated[float, typer.Option(min=1, help="Seconds until a result is given up.")] = 120,
    json_: Json = False,
) -> None:
    """More requests than can be served: each accepted one is answered by its deadline and 2 s; exit 1 if not."""
    from infra.lab.bench import overload as measured  # noqa: PLC0415 - only what is asked for

    try:
        multiples = tuple(float(one) for one in factors.split(","))
    except ValueError:
        multiples = ()
    if not multiples or not all(0 < one < math.inf for one in multiples):
        raise typer.BadParameter(f"{factors!r} is no list of numbers above 0", param_hint="--factors")
    wanted = measured.OverloadPlan(
        syncs=("always", "2m") if sync == "both" else (sync,),
        models=("slow", "none") if model == "both" else (model,),
        capacity=capacity,
        factors=multiples,
        seconds=seconds,
        burst=burst,
        deadline_ms=deadline_ms,
        poisson=poisson,
        patience_s=patience,
    )
    found = asyncio.run(measured.run(wanted, say=_say))
    _end(found, passed=found.passed, text=measured.table(found), as_json=json_)


@app.command()
def storm(  # noqa: PLR0913 - a parameter is an option
    sync: Annotated[
        Literal["always", "2m", "both"],
        typer.Option(metavar="always|2m|both", help="When writes reach the disk."),
    ] = "both",
    *,
    requests: Annotated[
        int, typer.Option(min=0, help="All due in the same second; 0: no such storm.")
    ] = 5_000,
    over: Annotated[float, typer.Option(min=1, help="Seconds over which those are asked.")] = 50,
    fallbacks: Annotated[
        int, typer.Option(min=2, help="Copies of the fallback, for --kill and --freeze.")
    ] = 2,
    kill: Annotated[
        Literal["none", "one"], typer.Option(metavar="none|one", help="SIGKILL one fallback at half time.")
    ] = "none",
    freeze: Annotated[
        Literal["none", "one"], typer.Option(metavar="none|one", help="SIGSTOP one fallback at half time.")
    ] = "none",
    rate: Annotated[float, typer.Option(min=1, help="Requests per second meanwhile.")] = 10,
    seconds: Annotated[float, typer.Option(min=2, help="How long they are asked.")] = 24,
    broker_kills: Annotated[
        int, typer.Option(min=0, help="SIGKILLs of the broker, under 60 requests per second for 20 s.")
    ] = 0,
    deadline_ms: Annotated[
        int, typer.Option("--deadline-ms", min=1, help="Of every request but those.")
    ] = 2000,
    json_: Json = False,
) -> None:
    """Deadlines at once, a fallback killed or frozen, a broker killed: all in time, none lost; exit 1 if not."""
    from infra.lab.bench import storm as measured  # noqa: PLC0415 - only what is asked for

    faults: list[measured.Fault] = []
    if kill == "one":
        faults.append("kill")
    if freeze == "one":
        faults.append("freeze")
    wanted = measured.StormPlan(
        syncs=("always", "2m") if sync == "both" else (sync,),
        requests=requests,
        over=over,
        faults=tuple(faults),
        fallbacks=fallbacks,
        rate=rate,
        seconds=seconds,
        broker_kills=broker_kills,
        deadline_ms=deadline_ms,
    )
    found = asyncio.run(measured.run(wanted, say=_say))
    _end(found, passed=found.passed, text=measured.table(found), as_json=json_)


@app.command()
def hostile(
    inputs: Annotated[str, typer.Option(help="Names, or `all`; `list` prints them.")] = "all",
    copies: Annotated[int, typer.Option(min=1, help="Of each input, at once.")] = 45,
    innocent: Annotated[int, typer.Option(min=1, help="Requests beside them, 40 per second.")] = 200,
    deadline_ms: Annotated[int, typer.Option("--deadline-ms", min=1, help="Of every request.")] = 2000,
    patience: Annotated[float, typer.Option(min=1, help="Seconds until a result is given up.")] = 60,
    *,
    house: Annotated[
        bool, typer.Option("--house", help="The house model writes kind `custom`, not the scripted provider.")
    ] = False,
    json_: Json = False,
) -> None:
    """Innocent requests beside hostile ones: none is late, and none ends as our own defect; exit 1 if not."""
    from infra.lab.bench import hostile as measured  # noqa: PLC0415 - only what is asked for
    from infra.lab.bench import hostile_inputs  # noqa: PLC0415 - as above

    if house:
        _need_model()
    names = hostile_inputs.names()
    if inputs == "list":
        sys.stdout.write("\n".join(names) + "\n")
        return
    chosen = names if inputs == "all" else tuple(name.strip() for name in inputs.split(","))
    unknown = [name for name in chosen if name not in names]
    if unknown:
        raise typer.BadParameter(f"{', '.join(unknown)} is unknown; `list` names all", param_hint="--inputs")
    wanted = measured.HostilePlan(
        inputs=chosen,
        copies=copies,
        innocent=innocent,
        deadline_ms=deadline_ms,
        writer="local" if house else "scripted",
        patience_s=patience,
    )
    found = asyncio.run(measured.run(wanted, say=_say))
    _end(found, passed=found.passed, text=measured.table(found), as_json=json_)


@app.command()
def memory(
    first: Annotated[int, typer.Option(min=100)] = 10_000,
    last: Annotated[int, typer.Option(min=200)] = 100_000,
    *,
    json_: Json = False,
) -> None:
    """Resident memory of each process at two points of a long run."""
    from infra.lab.bench import memory as measured  # noqa: PLC0415 - only what is asked for

    _show(asyncio.run(measured.run(first=first, last=last, say=_say)), as_json=json_)


@app.command()
def steady(
    model: Annotated[str, typer.Option(help="`house`, or a folder.")] = "house",
    minutes: Annotated[float, typer.Option(min=0.1, help="How long.")] = 30,
    seed: Annotated[int, typer.Option(help="Of what is asked.")] = 1,
    *,
    json_: Json = False,
) -> None:
    """Memory of the local engine at full load, some requests cancelled or overdue; exit 1 if it grows."""
    _need_model()
    from infra.lab.bench import steady as measured  # noqa: PLC0415 - needs the extra `local`
    from infra.lab.house_model.files import WEIGHTS  # noqa: PLC0415 - as above

    source = WEIGHTS if model == "house" else Path(model)
    found = measured.run(source=source, minutes=minutes, seed=seed, say=_say)
    _show({**msgspec.to_builtins(found), "passed": found.passed}, as_json=json_)
    if not found.passed:
        raise typer.Exit(1)


@app.command()
def live(
    model: Annotated[
        str, typer.Option(help="`house`, a folder, a hub id, or `random`: the house model, never trained.")
    ] = "house",
    requests: Annotated[int, typer.Option(min=1, help="Of the built-in kinds.")] = 500,
    schemas: Annotated[int, typer.Option(min=0, help="More requests, each with a schema of its own.")] = 50,
    in_flight: Annotated[int, typer.Option(min=1, help="Requests that are not answered yet.")] = 16,
    seed: Annotated[int, typer.Option(help="Of what is asked.")] = 1,
    *,
    json_: Json = False,
) -> None:
    """Random requests to a real model: what claims to be live is valid, the rest says why; exit 1 if not."""
    from infra.lab.bench import live as measured  # noqa: PLC0415 - needs the extra `local`

    found = asyncio.run(
        measured.run(
            model=model, requests=requests, schemas=schemas, in_flight=in_flight, seed=seed, say=_say
        )
    )
    _show({**msgspec.to_builtins(found), "passed": found.passed}, as_json=json_)
    if not found.passed:
        raise typer.Exit(1)


@app.command()
def engine(
    models: Annotated[str, typer.Option(help="Of house, 15m, 125m: the last two have random weights.")] = (
        "house,15m,125m"
    ),
    tokens: Annotated[int, typer.Option(min=2, max=128, help="Tokens of each answer.")] = 64,
    rounds: Annotated[int, typer.Option(min=1, help="Alternating rounds; the best counts.")] = 3,
    *,
    json_: Json = False,
) -> None:
    """Tokens per second of the local engine beside transformers and llama.cpp; grammars, memory."""
    _need_model()
    from infra.lab.bench import engine as measured  # noqa: PLC0415 - only what is asked for
    from infra.lab.bench.random_models import SIZES  # noqa: PLC0415 - as above

    wanted = [name.strip() for name in models.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in {measured.HOUSE, *SIZES}]
    if unknown or not wanted:
        raise typer.BadParameter(
            f"{', '.join(unknown) or 'nothing'} is unknown; there are {', '.join([measured.HOUSE, *SIZES])}",
            param_hint="--models",
        )
    _show(measured.run(models=wanted, tokens=tokens, rounds=rounds, say=_say), as_json=json_)
