"""`understudy samples`, `topology` and `doctor`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli import console
from infra.cli.console import Json

if TYPE_CHECKING:
    from nats.aio.client import Client

    from infra.nats.topology_diff import Difference
    from infra.security.secured import Made
    from infra.settings.settings import Settings

samples = typer.Typer(no_args_is_help=True, help="Golden samples: answers for when generation fails.")
topology = typer.Typer(no_args_is_help=True, help="Streams, buckets and consumers on the broker.")


@samples.callback()
def _group() -> None:
    """Golden samples: answers for when generation fails."""  # a group of one command stays a group


@samples.command("check")
def samples_check(
    folder: Annotated[Path | None, typer.Argument(help="Folder; default: the configured folder.")] = None,
    json: Json = False,
) -> None:
    """Check every golden sample against its kind."""
    from infra.stores import samples as store

    folders = (folder,) if folder else console.settings().sample_folders
    for where in folders:
        if not where.is_dir():
            raise console.Usage(f"{where} is not a folder; give the one with the sample_*.json files")
    rows = [_plain(row) for where in folders for row in store.check(where)]
    ok = bool(rows) and all(row.get("ok") for row in rows)
    if json:
        console.emit(rows)
    else:
        _print_samples(rows, folders[0])
    console.end(console.DONE if ok else console.FAILED)


@topology.command("apply")
def topology_apply(
    force: Annotated[
        bool, typer.Option("--force", help="Also shrink retention and revert an operator's settings.")
    ] = False,
    json: Json = False,
) -> None:
    """Create and update streams, buckets and consumers; print each change."""

    async def work() -> int:
        from infra.nats import topology as module

        changes = await _with_broker(partial(module.apply, force=force))
        _print_changes(changes, json=json)
        return (
            console.FAILED if any(_is_drift(each) and not each.applied for each in changes) else console.DONE
        )

    console.run(work())


@topology.command("secure")
def topology_secure(
    folder: Annotated[
        Path, typer.Argument(help="Folder for keys and configuration; made if it is not there.")
    ],
    client: Annotated[
        list[str] | None,
        typer.Option(
            "--client", metavar="NAME", help="A client with a key and an account of its own; repeatable."
        ),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option("--group", metavar="STAGE,…", help="Stages that one process hosts; repeatable."),
    ] = None,
    rotate: Annotated[
        list[str] | None,
        typer.Option("--rotate", metavar="ROLE", help="Make another key for a role; repeatable."),
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="The server's certificate, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key, PEM.")] = None,
    tls_ca: Annotated[
        Path | None, typer.Option(help="Who signs the certificates that clients must then have, PEM.")
    ] = None,
    json: Json = False,
) -> None:
    """Write a key for each role and the server's accounts; again: keys stay, what is missing is added."""
    from infra.app import process_plan
    from infra.security import secured
    from infra.security.server_file import Tls
    from infra.settings.settings import stage_names

    if (tls_cert is None) != (tls_key is None) or (tls_ca is not None and tls_cert is None):
        raise console.Usage("TLS needs both --tls-cert and --tls-key; --tls-ca comes beside them")
    groups = [each.stages for each in process_plan.plan()]
    groups += (stage_names(tuple(text.split(","))) for text in group or ())
    made = secured.write(
        folder.absolute(),
        groups=groups,
        clients=client or (),
        rotate=rotate or (),
        tls=None
        if tls_cert is None or tls_key is None
        else Tls(cert=tls_cert.absolute(), key=tls_key.absolute(), ca=tls_ca and tls_ca.absolute()),
    )
    if json:
        files = {role: str(key.file) for role, key in made.keys.items()}
        fresh = [role for role, key in made.keys.items() if key.fresh]
        console.emit({"config": str(made.config), "keys": files, "fresh": fresh, "clients": made.clients})
        return
    _print_secured(made)


def _print_secured(made: Made) -> None:
    out = console.people()
    for role, key in made.keys.items():
        what = "client" if role in made.clients else "role"
        out.print(
            f"{'new ' if key.fresh else 'kept'} {what} {role}: {key.file}", soft_wrap=True, markup=False
        )
    out.print(f"configuration: {made.config}", soft_wrap=True, markup=False)
    if any(key.fresh for key in made.keys.values()):
        out.print(
            "let the server read it: nats-server --signal reload, or start it with this file", soft_wrap=True
        )


@topology.command("check")
def topology_check(json: Json = False) -> None:
    """Print differences between the broker and the configuration; exit status 1 if there are any."""

    async def work() -> int:
        from infra.nats import topology as module

        changes = await _with_broker(module.check)
        _print_changes(changes, json=json)
        return console.FAILED if any(_is_drift(each) for each in changes) else console.DONE

    console.run(work())


def doctor(
    everything: Annotated[bool, typer.Option("--all", help="Also print the checks that pass.")] = False,
    ask: Annotated[
        bool,
        typer.Option("--ask", help="Also ask each provider of a route for a few tokens; loads local models."),
    ] = False,
    json: Json = False,
) -> None:
    """Check the installation and its environment, problems first; exit status 1 if a check fails."""
    settings = console.settings()

    async def work() -> int:
        from infra.app import doctor as module

        rows = [_plain(row) for row in await module.examine(settings, ask=ask)]
        ok = all(row["ok"] for row in rows)
        if json:
            console.emit({"ok": ok, "checks": rows})
        else:
            _print_checks(rows, everything=everything)
        return console.DONE if ok else console.FAILED

    console.run(work())


def _print_checks(rows: list[dict[str, Any]], *, everything: bool) -> None:
    from rich.text import Text

    out = console.people()
    styles = {"error": "bold red", "warning": "yellow", "info": "cyan", "ok": "green"}
    shown = [row for row in rows if everything or not row["ok"]]
    for row in shown:
        head = (f"{row['severity']:<7}", styles[row["severity"]])
        console.listed((Text.assemble(head, "  ", (row["check"], "bold"), f": {row['detail']}"),))
        if row["fix"]:
            console.listed((Text(f"         → {row['fix']}"),))
    fine = len(rows) - len(shown)
    if fine:
        out.print(Text(f"{fine} checks are in order; --all lists them", style="green"), soft_wrap=True)


async def _with_broker(
    act: Callable[[Client, Settings], Awaitable[tuple[Difference, ...]]],
) -> tuple[Difference, ...]:
    from understudy_client.connection import close

    from contracts import roles
    from infra.nats.connection import dial

    settings: Settings = console.settings()
    nc = await dial(settings, name="understudy-topology", role=roles.PROVISIONER)
    try:
        return await act(nc, settings)
    finally:
        await close(nc)


def _is_drift(change: Difference) -> bool:
    return bool(change.drift)


def _print_changes(changes: tuple[Difference, ...], *, json: bool) -> None:
    if json:
        console.emit([_plain(change) for change in changes])
        return
    out = console.people()
    for change in changes:
        out.print(_describe(change), soft_wrap=True, markup=False)
    if not changes:
        out.print("[green]up to date[/]")


def _describe(change: Difference) -> str:
    """The text of a difference, or of its correction."""
    if not change.applied:
        return str(change)
    return f"{change.what} {change.name}: created" if not change.field else f"changed: {change}"


def _plain(row: Any) -> dict[str, Any]:
    import msgspec

    return msgspec.to_builtins(row)


def _print_samples(rows: list[dict[str, Any]], where: Path) -> None:
    from rich.text import Text

    from infra.cli.show import aligned

    if not rows:
        console.complain(f"no sample_*.json in {where}; the fallback needs golden samples")
        return
    lines = [
        (
            Text("ok", style="green") if row["ok"] else Text("wrong", style="bold red"),
            row["kind"] or "?",
            row["rating"] or "",
            row["file"],
            ", ".join(row["tags"]) if row["ok"] else Text(row["error"], style="red"),
        )
        for row in rows
    ]
    console.listed(aligned(("", "kind", "rating", "file", "tags"), lines))
