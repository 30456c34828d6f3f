"""Output of evaluation runs: their formats, and where they are written."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli import console

if TYPE_CHECKING:
    from infra.inspect.evaluation_comparison import RunComparison
    from infra.inspect.evaluation_scores import RunTotals
    from infra.stores.evaluations import StoredRun


class ReportFormat(StrEnum):
    """How a run is printed."""

    TEXT = "text"
    JSON = "json"
    PROMPTFOO = "promptfoo"
    JUNIT = "junit"


Format = Annotated[
    ReportFormat,
    typer.Option("--format", metavar="text|json|promptfoo|junit", help="How to print the report."),
]


def write_report(
    found: StoredRun, comparison: RunComparison | None, wanted: ReportFormat, output: Path | None = None
) -> None:
    """Print a run and its comparison, or write them to a file.

    Raises:
        Usage: the file cannot be written.
    """
    from infra.inspect import evaluation_export
    from infra.inspect.evaluation_scores import add_up

    totals = add_up(found.results, seed=f"{found.run.name} {found.run.run}")
    if wanted is ReportFormat.TEXT and output is None:
        from infra.cli.evaluation_table import render

        console.listed(render(found, totals, comparison))
        return
    match wanted:
        case ReportFormat.TEXT:
            from infra.cli.evaluation_table import render

            text = "\n".join(each.plain for each in render(found, totals, comparison))
        case ReportFormat.JSON:
            text = console.json_text(to_json(found, totals, comparison))
        case ReportFormat.PROMPTFOO:
            text = console.json_text(evaluation_export.to_promptfoo(found, totals, comparison))
        case ReportFormat.JUNIT:
            text = evaluation_export.to_junit(found, comparison)
    if output is None:
        console.people().print(text, markup=False, soft_wrap=True)
        return
    try:
        output.write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        raise console.Usage(f"--output {output} cannot be written: {error.strerror}") from None
    console.note(f"the report is in {output}")


def to_json(found: StoredRun, totals: RunTotals, comparison: RunComparison | None) -> dict[str, Any]:
    """The run as JSON values."""
    import msgspec

    return {
        "run": msgspec.to_builtins(found.run),
        "totals": msgspec.to_builtins(totals),
        "comparison": None
        if comparison is None
        else {
            **msgspec.to_builtins(comparison),
            "regressed": comparison.regressed,
            "improved": comparison.improved,
        },
        "results": [{**msgspec.structs.asdict(each), "tokens": each.tokens} for each in found.results],
    }
