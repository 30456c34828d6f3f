"""`understudy models`: configured models, and whether each content kind fits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli import console
from infra.cli.console import Json

if TYPE_CHECKING:
    from rich.text import Text

    from infra.app.model_checks import Calls, KindRow, ModelReport, ModelRow

app = typer.Typer(no_args_is_help=True, help="Models that the routes name.")

_STYLES = {"yes": "green", "tight": "yellow", "unknown": "cyan", "no": "bold red"}


@app.command("ls")
def ls(json: Json = False) -> None:
    """List the model of each provider that a route names: where it is, its size, licence, window and price."""
    report = _examine()
    if json:
        console.emit([_plain(row) for row in report.models])
        return
    from rich.text import Text

    from infra.cli.show import aligned

    rows = [
        (
            Text(row.provider, style="bold"),
            ", ".join(row.kinds),
            row.title or row.model or "no model",
            _size(row.size_bytes),
            row.licence or "-",
            "-" if row.window is None else f"{row.window:,}",
            _price(row),
            {None: "-", True: "yes", False: "no"}[row.loaded],
            row.place,
        )
        for row in report.models
    ]
    titles = ("provider", "kinds", "model", "size", "licence", "window", "price", "loaded", "place")
    console.listed(aligned(titles, rows))
    _note_disabled(report)


@app.command("check")
def check(
    call: Annotated[
        bool, typer.Option("--call", help="Also call each server once, to see whether it follows a schema.")
    ] = False,
    json: Json = False,
) -> None:
    """Check files, servers, and whether each kind fits; exit status 1 if no provider can write some kind."""
    report = _examine(call="servers" if call else "none")
    if json:
        console.emit(_plain(report))
    else:
        _print(report)
    console.end(console.DONE if report.ok else console.FAILED)


def _examine(*, call: Calls = "none") -> ModelReport:
    import asyncio

    from infra.app import model_checks

    settings = console.settings()
    return asyncio.run(model_checks.examine(settings, call=call))


def _print(report: ModelReport) -> None:
    from rich.text import Text

    from infra.cli.show import aligned

    lines: list[tuple[Any, ...]] = []
    for row in report.models:
        state = Text("ok", style="green") if row.ok else Text("wrong", style="bold red")
        said = "; ".join(filter(None, (row.detail, row.schemas and f"schemas: {row.schemas}")))
        lines.append((state, Text(row.provider, style="bold"), _advised(said or row.place, row.fix)))
    console.listed(aligned(("", "provider", "finding"), lines))
    console.people().print()
    console.listed(aligned(("fits", "kind", "provider", "finding"), [_kind(row) for row in report.kinds]))
    for kind in report.unserved:
        console.complain(f"no provider can write {kind}")
    _note_disabled(report)


def _kind(row: KindRow) -> tuple[Any, ...]:
    from rich.text import Text

    return (Text(row.fits, style=_STYLES[row.fits]), row.kind, row.provider, _advised(row.detail, row.fix))


def _advised(said: str, fix: str) -> Text:
    from rich.text import Text

    return Text.assemble(said, (f" → {fix}" if fix else "", "bold"))


def _note_disabled(report: ModelReport) -> None:
    if not report.enabled:
        console.note("model calls are turned off: golden samples answer; USE_LOCAL_MODEL=true turns them on")


def _size(size: int | None) -> str:
    return "-" if size is None else f"{size / 1e6:,.1f} MB" if size < 1e9 else f"{size / 1e9:,.1f} GB"  # noqa: PLR2004


def _price(row: ModelRow) -> str:
    if row.price_prompt is None or row.price_completion is None:
        return "-"
    if row.price_prompt == row.price_completion == 0:
        return "free"
    return f"{row.price_prompt:g} / {row.price_completion:g}"


def _plain(row: Any) -> Any:
    import msgspec

    return msgspec.to_builtins(row)
