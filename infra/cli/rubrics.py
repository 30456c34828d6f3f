"""`understudy rubrics`: list and check."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli import console
from infra.cli.console import Json

if TYPE_CHECKING:
    from infra.stores.rubrics import CheckedRubric

app = typer.Typer(no_args_is_help=True, help="Rubrics: criteria by which a model judges documents.")


@app.command("ls")
def ls(json: Json = False) -> None:
    """List the rubrics that ship and the configured one, with their criteria."""
    rows = _checked(None)
    if json:
        console.emit([_row(each) for each in rows])
        return
    from rich.text import Text

    from infra.cli.show import aligned

    cells = [
        (
            Text(each.name, style="bold"),
            ", ".join(one.name for one in each.rubric.criteria),
            each.rubric.says or "",
        )
        for each in rows
        if each.rubric is not None
    ]
    console.listed(aligned(("rubric", "criteria", "says"), cells))
    unusable = [each.name for each in rows if not each.ok]
    if unusable:
        console.note(f"cannot be used: {', '.join(unusable)}; `understudy rubrics check` says why")


@app.command("check")
def check(
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="PATH", help="A file or a folder; default: those that ship, and the configured one."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Check rubric files; exit status 1 if one cannot be used."""
    rows = _checked(path)
    if json:
        console.emit([_row(each) for each in rows])
    else:
        _print(rows)
    console.end(console.DONE if all(each.ok for each in rows) else console.FAILED)


def _checked(path: Path | None) -> list[CheckedRubric]:
    from infra.settings import shipped
    from infra.stores import rubrics

    # Criteria may be for kinds of extensions, which the settings bring.
    wanted = console.settings().narrative.evaluation.rubric
    if path is not None:
        if not path.exists():
            raise console.Usage(f"{path} does not exist; give the file of a rubric, or a folder of them")
        return rubrics.check(path)
    own = rubrics.path_of(wanted)
    rows = rubrics.check(shipped.RUBRICS)
    return rows if own.parent == shipped.RUBRICS and own.is_file() else [*rubrics.check(own), *rows]


def _row(checked: CheckedRubric) -> dict[str, Any]:
    rubric = checked.rubric
    return {
        "name": checked.name,
        "file": checked.file,
        "ok": checked.ok,
        "error": checked.error or None,
        "hash": None if rubric is None else rubric.hash,
        "rubric": None if rubric is None else rubric.model_dump(mode="json", exclude={"name"}),
    }


def _print(rows: list[CheckedRubric]) -> None:
    from infra.cli.show import checked_files

    console.listed(checked_files("rubric", rows))
