"""`understudy audit`: records of finished requests, and their rebuild."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from infra.cli import audit_database, console, filters
from infra.cli.console import Json, Limit

if TYPE_CHECKING:
    from infra.inspect.request_filter import RequestFilter

app: Final = typer.Typer(no_args_is_help=True, help="Permanent record of every request.")


@app.command("ls")
@filters.accept()
def ls(
    wanted: RequestFilter,
    limit: Limit = None,
    json: Json = False,
) -> None:
    """List requests and their status, newest first.

    --stage is the stage that failed; --text is searched in prompts and error messages.
    """
    from infra.inspect import audit_listing, filter_conditions

    if wanted.text is not None and not console.settings().audit.store_prompts:
        console.note(
            f"{filter_conditions.NO_WORDS}: --text finds rows from before that alone; `understudy tail --text` and "
            "`understudy dead ls --text` search the event log"
        )
    if json:
        audit_database.read(lambda engine: _emit(audit_listing.iterate(engine, where=wanted, limit=limit)))
        return
    found = audit_database.read(
        lambda engine: audit_listing.ls(engine, where=wanted, limit=limit or console.ROWS)
    )
    _print_rows(found.rows)
    console.left_out(found.cut, at_least=found.cut >= audit_listing.MOST_COUNTED)


def _emit(rows: Iterable[dict[str, Any]]) -> None:
    with console.JsonArray() as array:
        for row in rows:
            array.add(row)


@app.command("show")
def show(
    request_id: Annotated[str, typer.Argument(metavar="ID", help="The request's id.")], json: Json = False
) -> None:
    """Show the latest request with an id: its record, its log row, and earlier requests with the id."""
    from infra.stores import audit

    row = audit_database.read(lambda engine: audit.show(engine, request_id))
    if row is None:
        console.complain(
            f"the audit has nothing about {request_id}: check the id; if it is new, `understudy why {request_id}` "
            "reads the event log itself"
        )
        raise typer.Exit(console.FAILED)
    if json:
        console.emit(row)
        return
    _print_one(row)
    if not console.settings().audit.store_prompts:
        from infra.inspect.filter_conditions import NO_WORDS

        console.note(
            f"{NO_WORDS}: `understudy why {request_id}` reads them from the event log while it has them"
        )


@app.command("rebuild")
def rebuild(json: Json = False) -> None:
    """Rebuild the tables from the event log; rows older than the log are kept."""
    settings = console.settings()

    async def work() -> int:
        import msgspec
        from sqlalchemy.exc import SQLAlchemyError

        from infra.stores import database
        from infra.stores.rebuild import rebuild as fold_again

        engine = database.engine_of(settings.database)
        status = console.errors().status("reading the log")

        def folded(events: int) -> None:
            status.update(f"{events:,} events folded")

        try:
            async with console.connect(settings, waits=True) as client:
                with status:
                    done = await fold_again(
                        client.wire,
                        engine,
                        store_prompts=settings.audit.store_prompts,
                        progress=folded,
                    )
        except SQLAlchemyError as error:
            raise audit_database.unreadable(settings, error) from None
        finally:
            engine.dispose()
        if json:
            console.emit(msgspec.to_builtins(done))
        else:
            console.people().print(
                f"{done.requests:,} requests from {done.events:,} events; {done.kept:,} older rows kept"
                + (f"; words of {done.redacted:,} requests replaced by hashes" if done.redacted else "")
            )
        return console.DONE

    console.run(work())


def _print_rows(rows: list[dict[str, Any]]) -> None:
    from rich.text import Text

    from infra.cli.show import aligned, milliseconds, moment, status_style

    if not rows:
        console.people().print("no requests match")
        return
    lines: list[tuple[Text | str, ...]] = []
    for row in rows:
        began, ended = row["requested_at_ms"], row["ended_at_ms"]
        lines.append(
            (
                moment(began) if began else "?",
                Text(row["request_id"], style="bold"),
                row["kind"],
                Text(row["status"], style=status_style(row["status"])),
                row["origin"] or "",
                milliseconds(ended - began) if began and ended else "",
                Text(row["error_code"] or "", style="red"),
            )
        )
    console.listed(aligned(("when", "request", "kind", "status", "origin", "took", "error"), lines))


def _print_one(row: dict[str, Any]) -> None:
    from rich.text import Text

    from infra.cli.show import aligned, document, moment

    out = console.people()
    facts = {
        name: value
        for name, value in row.items()
        if name not in ("record", "logs", "earlier") and value is not None
    }
    lines = [
        (Text(name, style="dim"), moment(value) if name.endswith("_at_ms") else str(value))
        for name, value in facts.items()
    ]
    for text in aligned(None, lines):
        out.print(text, soft_wrap=True)
    for other in row["earlier"]:
        began = other["requested_at_ms"]
        out.print(
            Text.assemble(
                ("also with this id  ", "dim"),
                f"{moment(began) if began else '?'}  {other['status']}  {other['origin'] or ''}",
            )
        )
    for log in row["logs"]:
        out.print(Text("generation_logs", style="bold"))
        out.print(document(log), soft_wrap=True)
