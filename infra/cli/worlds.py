"""`understudy worlds`: list and check."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli import console
from infra.cli.console import Json

if TYPE_CHECKING:
    from infra.stores.worlds import CheckedWorld

app = typer.Typer(no_args_is_help=True, help="Worlds: highest rating, relationships and intimacy of content.")


@app.command("ls")
def ls(json: Json = False) -> None:
    """List all worlds: highest rating, tiers of relationship and levels of intimacy."""
    rows = _checked(None)
    if json:
        console.emit([_row(each) for each in rows])
        return
    from rich.text import Text

    from infra.cli.show import aligned

    usable = [(each.name, each.world) for each in rows if each.world is not None]
    cells = [
        (
            Text(name, style="bold"),
            str(world.max_rating),
            str(len(world.tiers)),
            str(len(world.levels)),
            world.says or "",
        )
        for name, world in usable
    ]
    console.listed(aligned(("world", "max rating", "tiers", "levels", "says"), cells))
    unusable = [each.name for each in rows if not each.ok]
    if unusable:
        console.note(f"cannot be used: {', '.join(unusable)}; `understudy worlds check` says why")


@app.command("check")
def check(
    path: Annotated[
        Path | None,
        typer.Argument(metavar="PATH", help="A file or a folder; default: the configured folder."),
    ] = None,
    json: Json = False,
) -> None:
    """Check world files; exit status 1 if one cannot be used."""
    rows = _checked(path)
    if json:
        console.emit([_row(each) for each in rows])
    else:
        _print(rows)
    console.end(console.DONE if all(each.ok for each in rows) else console.FAILED)


def _checked(path: Path | None) -> list[CheckedWorld]:
    from infra.stores import worlds

    where = path or console.settings().worlds_dir
    if not where.exists():
        raise console.Usage(f"{where} does not exist; give the folder of the worlds, or one of its files")
    return worlds.check(where)


def _row(checked: CheckedWorld) -> dict[str, Any]:
    world = checked.world
    return {
        "name": checked.name,
        "file": checked.file,
        "ok": checked.ok,
        "error": checked.error or None,
        "world": None if world is None else world.model_dump(mode="json", exclude={"name"}),
    }


def _print(rows: list[CheckedWorld]) -> None:
    from infra.cli.show import checked_files

    console.listed(checked_files("world", rows))
