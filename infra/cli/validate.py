"""`understudy validate`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from infra.cli import console
from infra.cli.console import Json

if TYPE_CHECKING:
    from collections.abc import Callable

    from contracts.nodes.validation import Facts, Finding, Report
    from infra.authoring.node_files import Source, TextPosition
    from infra.stores.templates import TemplateStore


class OutputFormat(StrEnum):
    """How findings are printed."""

    PEOPLE = "people"
    JSON = "json"
    SARIF = "sarif"


def validate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON or YAML; - for standard input.")],
    form: Annotated[
        OutputFormat, typer.Option("--format", metavar="FORMAT", help="people, json, or sarif (for editors).")
    ] = OutputFormat.PEOPLE,
    json: Json = False,
) -> None:
    """Check a node or a list of nodes: errors, warnings and suggestions; exit status 1 on errors."""
    from infra.authoring import node_files

    try:
        source = node_files.read(read_text(file), language_of(file))
    except node_files.UnparsableFile as error:
        report, source = error.report, node_files.Source(nodes=(), places={"": error.place})
    else:
        templates = load_templates()
        report = node_files.examine(source, facts_of(templates), templates)
    if form is OutputFormat.SARIF and not json:
        from infra.authoring.sarif import sarif

        console.emit(sarif(report, uri=_uri(file), place=source.place))
    else:
        print_report(report, file, source, json=json or form is OutputFormat.JSON)
    console.end(console.DONE if report.ok else console.FAILED)


def print_report(report: Report, file: Path, source: Source, *, json: bool) -> None:
    """Print what was found in a file."""
    if json:
        from infra.app.node_check import report_to_json

        console.emit(report_to_json(report))
    else:
        _print(report, _name(file), len(source.nodes), source.place)


def read_text(file: Path) -> str:
    """The text of the file.

    Raises:
        Usage: it cannot be read, or is not text.
    """
    from infra.authoring.node_files import MAX_SIZE

    try:
        if str(file) == "-":
            body = sys.stdin.buffer.read(MAX_SIZE + 1)
        else:
            with file.open("rb") as opened:
                body = opened.read(MAX_SIZE + 1)
    except OSError as error:
        raise console.Usage(f"{file} cannot be read: {error.strerror}; give a readable file") from None
    if len(body) > MAX_SIZE:
        raise console.Usage(f"{_name(file)} has more than {MAX_SIZE} bytes; split it")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        read = body[: error.start]
        line, column = read.count(b"\n") + 1, error.start - (read.rfind(b"\n") + 1) + 1
        raise console.Usage(
            f"{_name(file)} is not UTF-8 at line {line}, column {column} (in bytes); save it as UTF-8"
        ) from None


def _name(file: Path) -> str:
    return "standard input" if str(file) == "-" else str(file)


def _uri(file: Path) -> str:
    """The path as given if it is below the working directory, so that it is valid on other machines."""
    from urllib.parse import quote

    if str(file) == "-":
        return "stdin"
    return file.absolute().as_uri() if file.is_absolute() else quote(file.as_posix())


def language_of(file: Path) -> Literal["json", "yaml"] | None:
    """The language that a file's name says; ``None``: its text shows it."""
    match file.suffix.lower():
        case ".json":
            return "json"
        case ".yaml" | ".yml":
            return "yaml"
        case _:
            return None


def load_templates() -> TemplateStore:
    """The template library; templates that cannot be used are left out."""
    from infra.app import node_check

    return node_check.load_templates(console.settings())


def facts_of(templates: TemplateStore, *, kind: str | None = None) -> Facts:
    """Facts that are known on this machine; as :func:`infra.app.node_check.facts_of`."""
    from infra.app import node_check

    return node_check.facts_of(console.settings(), templates, kind=kind)


def _print(report: Report, name: str, count: int, place: Callable[[str], TextPosition]) -> None:
    from rich.text import Text

    out = console.people()
    for each in report.findings:
        out.print(_line(each, name, place(each.path)), soft_wrap=True)
    parts = [
        _count(len(report.errors), "error"),
        _count(len(report.warnings), "warning"),
        _count(len(report.suggestions), "suggestion"),
    ]
    told = f"{name}: {_count(count, 'node')}, {', '.join(parts)}"
    out.print(Text(told, style="green" if report.ok else "bold red"), soft_wrap=True)


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _line(finding: Finding, name: str, place: TextPosition) -> Any:
    from rich.text import Text

    styles = {"error": "bold red", "warning": "yellow", "suggestion": "cyan"}
    text = Text.assemble(
        (f"{name}:{place.line}:{place.column} ", "dim"),
        (f"{finding.severity} {finding.code}", styles[finding.severity]),
        f" {finding.path}{': ' if finding.path else ''}{finding.message}",
    )
    return text.append(f" → {finding.suggestion}", style="bold")
