"""`understudy bench`: its commands."""

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
from infra.lab.bench import scenario_commands
from infra.settings import settings as settings_module
from infra.telemetry import logging as telemetry_logging

app = typer.Typer(no_args_is_help=True)
for _command in scenario_commands.COMMANDS:
    app.command()(_command)
#: Random documents that grammar and validator are held against.
_AGREEING = 20_000

Json = Annotated[bool, typer.Option("--json", help="Print JSON to standard output.")]
Sync = Annotated[
    Literal["always", "2m", "both"],
    typer.Option(metavar="always|2m|both", help="When writes reach the disk."),
]
DeadlineMs = Annotated[int, typer.Option("--deadline-ms", min=1, help="Deadline of every request, ms.")]
Patience = Annotated[float, typer.Option(min=1, help="Longest wait for a result, seconds.")]


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


def _end(found: msgspec.Struct, *, passed: bool, text: str | None = None, as_json: bool) -> None:
    """Print a report, as text if it has one, and exit 1 if a claim does not hold."""
    if as_json or text is None:
        _show({**msgspec.to_builtins(found), "passed": passed}, as_json=as_json)
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
    requests: Annotated[int, typer.Option(min=100, help="Distinct requests per case.")] = 2000,
    *,
    json_: Json = False,
) -> None:
    """Context-build and prompt rendering of a request, beside a prompt compiled for each; no broker."""
    from infra.lab.bench import context as measured  # noqa: PLC0415 - only what is asked for

    _show(measured.run(settings_module.load(), requests=requests), as_json=json_)


@app.command()
def soak(
    requests: Annotated[int, typer.Option(min=1, help="Size of the burst.")] = 10_000,
    kills: Annotated[int, typer.Option(min=0, help="Number of random SIGKILLs.")] = 24,
    copies: Annotated[int, typer.Option(min=1, help="Processes per stage.")] = 2,
    seed: Annotated[int, typer.Option(help="Random seed for targets and times.")] = 1,
    *,
    json_: Json = False,
) -> None:
    """Exactly one result per request while stages and broker are killed; exit status 1 otherwise."""
    from infra.lab.bench import soak as measured  # noqa: PLC0415 - only what is asked for

    with tempfile.TemporaryDirectory(prefix="understudy-soak-") as folder:
        found = asyncio.run(
            measured.run(Path(folder), requests=requests, kills=kills, copies=copies, seed=seed, say=_say)
        )
    _end(found, passed=found.passed, as_json=json_)


@app.command()
def overload(  # noqa: PLR0913 - a parameter is an option
    sync: Sync = "both",
    model: Annotated[
        Literal["slow", "none", "both"],
        typer.Option(metavar="slow|none|both", help="A slow model, or none (USE_LOCAL_MODEL=false)."),
    ] = "both",
    capacity: Annotated[
        float, typer.Option(min=1, help="Requests per second that the slow model serves.")
    ] = 50,
    factors: Annotated[str, typer.Option(help="Request rates, as multiples of the capacity.")] = "1,2,4,8",
    seconds: Annotated[float, typer.Option(min=1, help="Seconds per rate.")] = 60,
    burst: Annotated[int, typer.Option(min=0, help="Requests sent at once, at the end.")] = 20_000,
    deadline_ms: DeadlineMs = 2000,
    *,
    poisson: Annotated[bool, typer.Option("--poisson", help="Random arrivals instead of even ones.")] = False,
    patience: Patience = 120,
    json_: Json = False,
) -> None:
    """Overload: each accepted request is answered within 2 s of its deadline; exit status 1 otherwise."""
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
    sync: Sync = "both",
    *,
    requests: Annotated[int, typer.Option(min=0, help="Requests due in the same second; 0: none.")] = 5_000,
    over: Annotated[float, typer.Option(min=1, help="Seconds over which these are published.")] = 50,
    fallbacks: Annotated[
        int, typer.Option(min=2, help="Copies of the fallback, for --kill and --freeze.")
    ] = 2,
    kill: Annotated[
        Literal["none", "one"], typer.Option(metavar="none|one", help="SIGKILL one fallback halfway.")
    ] = "none",
    freeze: Annotated[
        Literal["none", "one"], typer.Option(metavar="none|one", help="SIGSTOP one fallback halfway.")
    ] = "none",
    rate: Annotated[float, typer.Option(min=1, help="Further requests per second.")] = 10,
    seconds: Annotated[float, typer.Option(min=2, help="Seconds of further requests.")] = 24,
    broker_kills: Annotated[
        int, typer.Option(min=0, help="SIGKILLs of the broker, under 60 requests per second for 20 s.")
    ] = 0,
    deadline_ms: Annotated[
        int, typer.Option("--deadline-ms", min=1, help="Deadline of the further requests, ms.")
    ] = 2000,
    json_: Json = False,
) -> None:
    """Simultaneous deadlines, a killed or frozen fallback, a killed broker: all in time, none lost; else exit status 1."""
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
    copies: Annotated[int, typer.Option(min=1, help="Concurrent copies of each input.")] = 45,
    innocent: Annotated[int, typer.Option(min=1, help="Normal requests, 40 per second.")] = 200,
    deadline_ms: DeadlineMs = 2000,
    patience: Patience = 60,
    *,
    house: Annotated[
        bool,
        typer.Option("--house", help="Use the house model for kind `custom`, not the scripted provider."),
    ] = False,
    json_: Json = False,
) -> None:
    """Normal requests beside hostile ones: none is late or ends in an internal error; exit status 1 otherwise."""
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
    minutes: Annotated[float, typer.Option(min=0.1, help="Minutes.")] = 30,
    seed: Annotated[int, typer.Option(help="Random seed of the requests.")] = 1,
    *,
    json_: Json = False,
) -> None:
    """Memory of the local engine at full load, with cancelled and late requests; exit status 1 if it grows."""
    _need_model()
    from infra.lab.bench import steady as measured  # noqa: PLC0415 - needs the extra `local`
    from infra.lab.house_model.files import WEIGHTS  # noqa: PLC0415 - as above

    source = WEIGHTS if model == "house" else Path(model)
    found = measured.run(source=source, minutes=minutes, seed=seed, say=_say)
    _end(found, passed=found.passed, as_json=json_)


@app.command()
def live(
    model: Annotated[
        str, typer.Option(help="`house`, a folder, a hub id, or `random`: the house model, never trained.")
    ] = "house",
    requests: Annotated[int, typer.Option(min=1, help="Requests of the built-in kinds.")] = 500,
    schemas: Annotated[int, typer.Option(min=0, help="Further requests, each with its own schema.")] = 50,
    in_flight: Annotated[int, typer.Option(min=1, help="Number of concurrent requests.")] = 16,
    seed: Annotated[int, typer.Option(help="Random seed of the requests.")] = 1,
    *,
    json_: Json = False,
) -> None:
    """Random requests to a real model: live content is valid, the rest has a reason; exit status 1 otherwise."""
    from infra.lab.bench import live as measured  # noqa: PLC0415 - needs the extra `local`

    found = asyncio.run(
        measured.run(
            model=model, requests=requests, schemas=schemas, in_flight=in_flight, seed=seed, say=_say
        )
    )
    _end(found, passed=found.passed, as_json=json_)


@app.command()
def engine(
    models: Annotated[
        str, typer.Option(help="Any of house, 15m, 125m and 7b (random weights), and folders of models.")
    ] = "house,15m,125m",
    tokens: Annotated[int, typer.Option(min=2, max=128, help="Tokens of each answer.")] = 64,
    rounds: Annotated[int, typer.Option(min=1, help="Alternating rounds; the best counts.")] = 3,
    *,
    device: Annotated[
        Literal["cpu", "cuda"],
        typer.Option(metavar="cpu|cuda", help="cuda: bfloat16, without llama.cpp, with the bandwidth used."),
    ] = "cpu",
    json_: Json = False,
) -> None:
    """Tokens per second of the local engine beside transformers and llama.cpp; with --json also memory, grammars."""
    _need_model()
    from torch import cuda  # noqa: PLC0415 - needs the extra `local`

    from infra.lab.bench import engine as measured  # noqa: PLC0415 - only what is asked for
    from infra.lab.bench.engine_speeds import table  # noqa: PLC0415 - as above
    from infra.lab.bench.random_models import SIZES  # noqa: PLC0415 - as above

    wanted = [name.strip() for name in models.split(",") if name.strip()]
    unknown = [
        name
        for name in wanted
        if name not in {measured.HOUSE, *SIZES} and not Path(name, "config.json").is_file()
    ]
    if unknown or not wanted:
        raise typer.BadParameter(
            f"{', '.join(unknown) or 'nothing'} is unknown; there are {', '.join([measured.HOUSE, *SIZES])}, "
            "and folders with a config.json",
            param_hint="--models",
        )
    if device == "cuda" and not cuda.is_available():
        raise typer.BadParameter("torch finds no GPU", param_hint="--device")
    figures = measured.run(models=wanted, tokens=tokens, rounds=rounds, say=_say, device=device)
    sys.stdout.write(f"{json.dumps(figures) if json_ else table(figures)}\n")


@app.command()
def schemas(
    wild: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, metavar="DIR", help="Folder of the schemas."),
    ] = None,
    only: Annotated[str, typer.Option(help="Projects, with commas between; default: all.")] = "",
    seconds: Annotated[float, typer.Option(min=0.1, help="CPU seconds for a verdict.")] = 2,
    documents: Annotated[
        int,
        typer.Option(
            min=0,
            help="Random documents of each accepted schema, held against it; without --wild of all, 20000 by default.",
        ),
    ] = 0,
    seed: Annotated[int, typer.Option(help="Random seed of the documents.")] = 1,
    *,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="All verdicts, as JSON.")] = None,
    json_: Json = False,
) -> None:
    """Coverage of JSON Schemas from public projects, with reasons; exit status 1 for a silent drop or a defect.

    Without --wild: grammar and validator on random documents of random schemas.
    """
    _need_model()
    if wild is None:
        from infra.lab.bench import agreement  # noqa: PLC0415 - needs the extra `local`

        agreed = agreement.run(documents or _AGREEING, seed=seed, say=_say)
        _end(agreed, passed=agreed.passed, text=agreement.table(agreed), as_json=json_)
        return
    from infra.lab.bench import wild as measured  # noqa: PLC0415 - needs the extra `local`

    listed = measured.read_list()
    chosen = {name.strip() for name in only.split(",") if name.strip()}
    unknown = chosen - {each.project for each in listed}
    if unknown:
        raise typer.BadParameter(f"{', '.join(sorted(unknown))} is unknown", param_hint="--only")
    found = measured.run(
        wild,
        listed=[each for each in listed if not chosen or each.project in chosen],
        cpu_s=seconds,
        documents=documents,
        seed=seed,
        say=_say,
    )
    if output is not None:
        output.write_bytes(msgspec.json.format(msgspec.json.encode(found)))
    _end(found, passed=found.passed, text=measured.table(found), as_json=json_)
