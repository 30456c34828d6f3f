"""`understudy warm`."""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli import console
from infra.cli.console import Json

if TYPE_CHECKING:
    from infra.app.warmup import Order, Summary, Warmed
    from infra.authoring.workload import WorkloadItem


def warm(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Requests in JSON, YAML or JSON lines, or a scenario; - for standard input.",
        ),
    ],
    playthrough: Annotated[
        str | None, typer.Option("--playthrough", metavar="ID", help="Playthrough of all requests.")
    ] = None,
    player: Annotated[
        str | None, typer.Option("--player", metavar="ID", help="Player of all requests.")
    ] = None,
    in_flight: Annotated[int, typer.Option("--in-flight", min=1, help="Number of concurrent requests.")] = 4,
    deadline_ms: Annotated[
        int,
        typer.Option(
            "--deadline-ms",
            min=1,
            max=86_400_000,
            help="Deadline of each request in ms, in place of its own.",
        ),
    ] = 300_000,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Also request what an earlier run already has.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print each request as a JSON line; publish nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Generate all requests in a file ahead of time; exit status 1 unless a model generated all of them.

    Run it again to resume: it requests only what is missing or was answered by a fallback.
    """
    from infra.authoring.workload import played

    wanted = [played(each, player=player, playthrough=playthrough) for each in _read_items(file)]
    orders = _orders(file, wanted, deadline_ms)
    if dry_run:
        for each, said in zip(orders, wanted, strict=True):
            console.emit(
                {"name": each.name, "kind": each.kind, "request_id": each.request_id(1), "body": said.body}
            )
        return
    settings = console.settings()

    async def work() -> int:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        from infra.app.warmup import warm as warming

        err = console.errors()
        columns = (TextColumn("warming"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        # Without a terminal there is no progress bar.
        bar = Progress(*columns, console=err, transient=True, disable=not err.is_terminal)
        total, numbers = len({each.stem for each in orders}), count(1)
        task = bar.add_task("", total=total)

        def tell(ended: Warmed) -> None:
            bar.advance(task)
            err.print(f"{next(numbers)}/{total} {_line(ended)}", soft_wrap=True, markup=False)

        async with console.connect(settings, waits=True) as client:
            with bar:
                summary = await warming(client, orders, in_flight=in_flight, fresh=fresh, tell=tell)
        _show(summary, json=json)
        return console.DONE if summary.all_warm else console.FAILED

    console.run(work())


def _read_items(file: Path) -> tuple[WorkloadItem, ...]:
    from infra.authoring import workload

    language = {".json": "json", ".yaml": "yaml", ".yml": "yaml"}.get(file.suffix.lower())
    try:
        body = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        return workload.read(
            body.decode("utf-8"),
            language,  # pyright: ignore[reportArgumentType] - one of the two words, or none
        )
    except OSError as error:
        raise console.Usage(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise console.Usage(f"{file} is not UTF-8: byte {error.start} cannot be read") from None
    except workload.WorkloadError as error:
        raise console.Usage(f"{file}: {error}") from None


def _orders(file: Path, wanted: list[WorkloadItem], deadline_ms: int) -> list[Order]:
    import msgspec

    from contracts.request import RequestError
    from infra.app import warmup
    from infra.cli import bodies
    from infra.stores import templates

    library = templates.load(console.settings().templates_dir, strict=False)
    made: list[Order] = []
    for each in wanted:
        try:
            kind = bodies.kind(each.kind, msgspec.json.encode(each.body))
            made.append(warmup.order(each, kind, templates=library, deadline_ms=deadline_ms))
        except (RequestError, console.Usage) as error:
            raise console.Usage(f"{file}: {each.name}: {error}") from None
    return made


def _line(ended: Warmed) -> str:
    from infra.inspect.record import ending

    if ended.found:
        how = f"there already, {ended.origin}"
    elif ended.status is None:
        how = "no result"
    else:
        how = f"{ending(ended.status, ended.origin)}, {ended.seconds:.1f} s"
    why = "" if ended.warm or ended.reason is None else f": {ended.reason}"
    return f"{ended.name}: {how}{why}"


def _show(summary: Summary, *, json: bool) -> None:
    if json:
        import msgspec

        console.emit({"ok": summary.all_warm, **msgspec.to_builtins(summary)})
        return
    out = console.people()
    counted = {
        "live": summary.live,
        "cache": summary.cache,
        "scripted": summary.scripted,
        "fallback": summary.fallback,
        "failed": summary.failed,
    }
    told = ", ".join(f"{number} {name}" for name, number in counted.items() if number or name != "scripted")
    found = f"; {summary.found} were there already" if summary.found else ""
    out.print(f"{len(summary.requests)} requests: {told}{found}", soft_wrap=True)
    unkept = [each.name for each in summary.requests if not each.kept]
    if unkept:
        out.print(
            f"no cache keeps {len(unkept)} of them ({unkept[0]}{', …' if unkept[1:] else ''}): they need a node with "
            "the strategy once, or another but always and the id that it shares by",
            style="yellow",
            soft_wrap=True,
        )
    if not summary.all_warm:
        out.print("run it again to request what no model has generated", soft_wrap=True)
