"""Options of the commands that take a request's body: `request` and `preview`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Kind = Annotated[
    str | None,
    typer.Option(
        "--kind",
        help="Content kind; default: the node's or template's, plot for a request with scenes, else layout.",
    ),
]
Template = Annotated[str | None, typer.Option("--template", metavar="ID", help="Template to start from.")]
Rules = Annotated[Path | None, typer.Option("--rules", metavar="FILE", help="File with rules for the node.")]
Context = Annotated[
    Path | None,
    typer.Option("--context", metavar="FILE", help="JSON file: the player, and the choices that rules test."),
]
