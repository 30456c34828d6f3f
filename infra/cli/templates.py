"""`understudy templates`: list, show and check."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli import console
from infra.cli.console import Json

if TYPE_CHECKING:
    from infra.stores.templates import CheckedTemplate

app = typer.Typer(no_args_is_help=True, help="Node templates: reusable configurations of nodes.")


@app.command("ls")
def ls(json: Json = False) -> None:
    """List all templates, with the error of each one that cannot be used."""
    rows = _checked()
    if json:
        console.emit([_row(each) for each in rows])
        return
    from rich.text import Text

    from infra.cli.show import aligned

    shown = [
        (
            Text(each.id, style="bold" if each.ok else "red"),
            *(str(value or "") for value in list(_summary(each).values())),
        )
        for each in rows
    ]
    console.listed(aligned(("template", "kind", "purpose", "mood", "strategy", "fallback", "version"), shown))
    unusable = [each.id for each in rows if not each.ok]
    if unusable:
        told = f"cannot be used: {', '.join(unusable)}; `understudy templates check` says why"
        console.errors().print(told, soft_wrap=True, markup=False)


@app.command("show")
def show(
    template: Annotated[str, typer.Argument(metavar="ID", help="The template's id.")], json: Json = False
) -> None:
    """Print one template, merged with the defaults."""
    from contracts.expansion import format_unknown_template
    from contracts.nodes import layers
    from contracts.nodes.node import Node
    from infra.stores import templates as store

    rows = {each.id: each for each in _checked()}
    found = rows.get(template)
    if found is None:
        known = store.TemplateStore({each: {} for each in rows})
        raise console.Usage(format_unknown_template(template, known))
    if found.template is None:
        console.complain(found.error)
        console.end(console.FAILED)
        return
    said = store.fields(found.template)
    merged = layers.merge_layers(
        {
            layers.DEFAULTS: layers.default_layer(said.get("generation_type")),
            layers.TEMPLATE: layers.template_layer(said),
        }
    )
    if json:
        node = Node.model_validate(merged.values) if found.ok else None
        whole = node.model_dump(mode="json", by_alias=True, exclude_none=True) if node else None
        console.emit(_row(found) | {"template": found.template, "node": whole})
        return
    from rich.text import Text

    from infra.cli.show import aligned
    from infra.cli.show_timeline import value

    lines = [
        (Text(path, style="bold"), value(_at(merged.values, path)), layer)
        for path, layer in merged.set_by.items()
    ]
    console.listed(aligned(("field", "value", "set by"), lines))
    _print([found])


@app.command("check")
def check(
    path: Annotated[
        Path | None,
        typer.Argument(metavar="PATH", help="A file or a folder; default: the configured folder."),
    ] = None,
    json: Json = False,
) -> None:
    """Check templates like nodes; exit status 1 if one cannot be used."""
    rows = _checked(path)
    ok = bool(rows) and all(each.ok for each in rows)
    if json:
        console.emit([_row(each) for each in rows])
    else:
        _print(rows, summary=True)
        if not rows:
            console.complain(f"no template in {path or console.settings().templates_dir}; add one")
    console.end(console.DONE if ok else console.FAILED)


def _checked(path: Path | None = None) -> list[CheckedTemplate]:
    from infra.stores import templates as store
    from infra.stores.samples import default_ids

    settings = console.settings()
    known = default_ids(settings.sample_folders)
    where = path or settings.templates_dir
    if where.is_dir():
        return store.check(where, default_contents=known)
    if not where.is_file():
        raise console.Usage(f"{where} is no file or folder; give the templates' folder, or one of its files")
    return [store.check_file(where, default_contents=known)]


def _summary(checked: CheckedTemplate) -> dict[str, Any]:
    from contracts.nodes import layers
    from infra.stores import templates as store

    said = store.fields(checked.template) if checked.template and checked.ok else {}
    kind = said.get("generation_type")
    style = said.get("style") or {}
    return {
        "kind": kind,
        "purpose": said.get("purpose") or (layers.default_layer(kind).get("purpose") if said else None),
        "mood": " → ".join(filter(None, (style.get("mood_from"), style.get("mood_to")))),
        "strategy": said.get("strategy"),
        "fallback": (said.get("fallback") or {}).get("mode")
        or (layers.COMMON["fallback"]["mode"] if said else None),
        "version": said.get("version", 1) if said else None,
    }


def _row(checked: CheckedTemplate) -> dict[str, Any]:
    return {
        "id": checked.id,
        "file": checked.file,
        "ok": checked.ok,
        **_summary(checked),
        "errors": checked.report.errors,
        "warnings": checked.report.warnings,
        "suggestions": checked.report.suggestions,
    }


def _at(values: Any, path: str) -> Any:
    for name in path.split("."):
        values = values[name]
    return values


def _print(rows: list[CheckedTemplate], *, summary: bool = False) -> None:
    from rich.text import Text

    out = console.people()
    for each in rows:
        found = list(zip(each.places, each.report.findings, strict=True))
        if summary:
            state = ("ok", "green") if each.ok else ("cannot be used", "bold red")
            out.print(Text.assemble((f"{each.file}: ", "bold"), state), soft_wrap=True)
        for place, one in found:
            out.print(Text(f"{each.file}:{place.line}:{place.column} {one.severity} {one}"), soft_wrap=True)
