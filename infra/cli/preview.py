"""`understudy preview`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli import body_options, console
from infra.cli.console import Json

if TYPE_CHECKING:
    from rich.text import Text

    from infra.app.preview import Preview, PreviewedStandIn
    from infra.authoring.preview_files import PreviewFile


def preview(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="NODE|BODY",
            help="File with a node or a request's body, JSON or YAML; - for standard input.",
        ),
    ],
    prompt: Annotated[
        str | None, typer.Option("--prompt", help="Prompt of the request; a node has none.")
    ] = None,
    kind: body_options.Kind = None,
    template: body_options.Template = None,
    rules: body_options.Rules = None,
    context: body_options.Context = None,
    json: Json = False,
) -> None:
    """Show what would become of a request: merged node, prompt, seed, cache key and stand-in; publishes nothing.

    Works without a broker.  A node that cannot be used gets the errors of `validate`; the exit status is 1 then.
    """
    import asyncio

    from contracts.request import RequestError
    from infra.app import preview as module
    from infra.authoring import node_files, preview_files
    from infra.cli import bodies
    from infra.cli.validate import language_of, print_report, read_text

    try:
        source = node_files.read(read_text(file), language_of(file))
    except node_files.UnparsableFile as error:
        unread = node_files.Source(nodes=(), places={"": error.place})
        print_report(error.report, file, unread, json=json)
        console.end(console.FAILED)
        return
    if len(source.nodes) != 1:
        raise console.Usage(f"{file} holds {len(source.nodes)} nodes; a preview is of one")
    found = preview_files.read(source, prompt=prompt)
    body = bodies.complete(found.body, bodies.BodyOptions(template=template, rules=rules, context=context))
    kind = bodies.kind(kind, body)
    try:
        shown = asyncio.run(module.preview(console.settings(), kind, body, now_ms=int(time.time() * 1000)))
    except RequestError:
        if not _print_faults(found, file, kind, json=json):
            raise
        console.end(console.FAILED)
        return
    rejected = shown.verdict == "rejected"
    if not (rejected and _print_faults(found, file, kind, json=json)):
        if json:
            console.emit(shown)
        else:
            _print(shown)
            if found.bare and prompt is None and not rejected:
                console.note("the prompt is a placeholder: with --prompt TEXT, prompt and stand-in are exact")
    console.end(console.FAILED if rejected else console.DONE)


def _print_faults(found: PreviewFile, file: Path, kind: str, *, json: bool) -> bool:
    """Print the errors of the node as `validate` does; whether it has any."""
    from infra.authoring import preview_files
    from infra.cli.validate import facts_of, load_templates, print_report

    templates = load_templates()
    report = preview_files.examine(found, facts_of(templates, kind=kind), templates)
    if not report.ok:
        print_report(report, file, found.source, json=json)
    return not report.ok


def _print(shown: Preview) -> None:
    from rich.text import Text

    out = console.people()
    head, style = {
        "model": (f"a model writes it: {', then '.join(shown.providers)}", "bold green"),
        "stand_in": ("no model is called", "bold yellow"),
        "rejected": ("rejected", "bold red"),
    }[shown.verdict]
    out.print(Text.assemble((f"{shown.kind}: ", "bold"), (head, style)), soft_wrap=True)
    # The reason of a stand-in repeats it.
    if shown.error is not None and shown.stand_in is None:
        console.listed([Text(f"{shown.error.code} in {shown.error.stage}: {shown.error.message}")])
    if shown.node:
        out.print()
        console.listed(_node(shown))
    if shown.prompt is not None:
        out.print()
        out.print(
            Text.assemble(
                ("prompt ", "bold"), f"{shown.prompt_version} (SHA-256 {(shown.prompt_hash or '')[:12]}…)"
            ),
            soft_wrap=True,
        )
        console.listed([Text(line) for line in shown.prompt.rstrip("\n").split("\n")])
    if shown.stand_in is not None:
        out.print()
        console.listed(_facts(shown))
        out.print()
        console.listed(_stand_in(shown.stand_in, called=shown.verdict == "model"))
    for warning in shown.warnings:
        console.note(f"warning: {warning}")


def _node(shown: Preview) -> list[Text]:
    from rich.text import Text

    from infra.cli.show import aligned
    from infra.cli.show_timeline import value

    rows = [
        (
            Text(each.field, style="bold"),
            Text("; ".join(each.set_by), style="dim" if each.set_by == ("defaults",) else "cyan"),
            value(each.value),
        )
        for each in shown.node
    ]
    return aligned(("field", "set by", "value"), rows)


def _facts(shown: Preview) -> list[Text]:
    from rich.text import Text

    from infra.cli.show import aligned

    rating, params = shown.rating, shown.params
    lowered = f" (lowered from {rating.requested})" if rating.clamped else ""
    rows: list[tuple[str, Any]] = []
    if shown.seed is not None:
        each = ", another one for each request" if shown.seed_source == "timestamp" else ""
        rows.append(("seed", f"{shown.seed} (from {shown.seed_source}{each})"))
        rows.append(("cache key", shown.cache_key or "none: nothing is cached"))
    if shown.key is not None:
        rows.append(("in bucket", f"{shown.key}, for {(shown.ttl_s or 0) // 86_400} days"))
    rows.append(("rating", f"{rating.effective}{lowered}"))
    if params is not None:
        rows.append(
            (
                "sampling",
                f"temperature {params.temperature:g}, top_p {params.top_p:g}, {params.max_tokens} tokens at most",
            )
        )
    rows.append(("deadline", f"{(shown.deadline_ms or 0) / 1000:g} s"))
    return aligned(None, [(Text(name, style="bold"), said) for name, said in rows])


def _stand_in(found: PreviewedStandIn, *, called: bool) -> list[Text]:
    from rich.text import Text

    from infra.cli.show import aligned, status_style
    from infra.inspect.record import ending

    rows: list[tuple[str, Any]] = [
        (
            "if the model fails" if called else "answer",
            Text(ending(found.status, found.origin), style=status_style(found.status)),
        )
    ]
    if found.name is not None:
        rows.append(("content", f"{found.name} (SHA-256 {(found.hash or '')[:12]}…)"))
    rows.append(("reason", found.reason))
    if found.candidates:
        tags = ", ".join(found.shared_tags)
        why = f"rated {found.rating}" + (f", shares the tags {tags}" if tags else "")
        others = len(found.candidates) - 1
        rows.append(
            (
                "why this one",
                f"{why}; {others} other{'s fit' if others != 1 else ' fits'} equally well" if others else why,
            )
        )
    return aligned(None, [(Text(name, style="bold"), said) for name, said in rows])
