"""`understudy config`: the effective settings."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli import console
from infra.cli.console import Json

if TYPE_CHECKING:
    from rich.text import Text

    from infra.settings.effective import EffectiveSetting

app = typer.Typer(no_args_is_help=True, help="Settings of this process.")


@app.callback()
def _group() -> None:
    """Settings of this process."""  # a group of one command stays a group


@app.command("show")
def show(
    part: Annotated[
        str | None,
        typer.Argument(
            metavar="SETTING", help="A setting or a part of them, such as broker or narrative.openai."
        ),
    ] = None,
    changed: Annotated[
        bool, typer.Option("--changed", help="Leave out settings with their default.")
    ] = False,
    json: Json = False,
) -> None:
    """Print each effective setting and its origin: default, config.yaml or environment; secrets are hidden."""
    from infra.settings import effective

    settings = console.settings()
    rows = effective.list_settings(settings, environment=os.environ, part=part, changed=changed)
    if json:
        console.emit(rows)
        return
    console.listed(_lines(rows))
    file = settings.of_file.path
    console.note(f"file: {file.absolute()}" if file else "file: none (config.yaml is not in this folder)")
    if not rows:
        console.note("every setting has its default")


def _lines(rows: tuple[EffectiveSetting, ...]) -> list[Text]:
    """One block for each part; the value comes last because it may be long."""
    from itertools import groupby

    from rich.text import Text

    from infra.cli.show import aligned

    lines: list[Text] = []
    # Settings outside of a part come first: between parts they look like a part's own.
    ordered = sorted(rows, key=lambda row: "." in row.setting)
    for part, group in groupby(ordered, key=lambda row: row.setting.rpartition(".")[0]):
        if part:
            lines.append(Text(part, style="bold"))
        margin = "  " if part else ""
        cells = [
            (margin + row.setting.rpartition(".")[2], _origin(row), Text(_value(row.value))) for row in group
        ]
        lines += aligned(None, cells)
    return lines


def _origin(row: EffectiveSetting) -> Text:
    from rich.text import Text

    match row.origin:
        case "default":
            return Text("default", style="dim")
        case "environment":
            return Text(row.place, style="cyan")
        case "file":
            return Text(row.place, style="cyan")
        case "program":
            return Text("program", style="cyan")


def _value(value: Any) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) and value else console.json_text(value)
