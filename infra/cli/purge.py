"""`understudy purge`: one person's data removed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli import audit_database, console
from infra.cli.console import Json

if TYPE_CHECKING:
    from contracts.ownership import PurgeScope
    from infra.purge.purge import Purged


def purge(
    request_id: Annotated[
        str | None, typer.Option("--id", help="One request, with its replays, shadows and scenes.")
    ] = None,
    player: Annotated[
        str | None, typer.Option("--player", help="Every request with this player_context.player_id.")
    ] = None,
    workspace: Annotated[
        str | None,
        typer.Option("--workspace", help="Every request of this workspace, its designs and its tokens."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count what would be removed; remove nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    json: Json = False,
) -> None:
    """Remove a person's data from the log, buckets, caches and the database, permanently.

    Requests that still run are cancelled first. docs/privacy.md says what is removed, and what is not.
    """
    scope = _parse_scope(request_id, player, workspace)
    if json and not (yes or dry_run):
        raise console.Usage("--json asks nothing: add --yes to remove the data, or --dry-run to count it")

    async def work() -> int:
        if not dry_run:
            counted = await _run(scope, dry_run=True)
            if not counted.removed:
                _print(counted, json=json)
                return console.FAILED
            if not yes:
                _print(counted, json=False)
                if not await asyncio.to_thread(typer.confirm, "Remove all of this permanently?", err=True):
                    console.note("nothing was removed")
                    return console.FAILED
        done = await _run(scope, dry_run=dry_run)
        _print(done, json=json)
        return console.DONE if done.removed else console.FAILED

    console.run(work())


def _parse_scope(request_id: str | None, player: str | None, workspace: str | None) -> PurgeScope:
    from contracts.ownership import PurgeScope, ScopeKind

    given = {ScopeKind.ID: request_id, ScopeKind.PLAYER: player, ScopeKind.WORKSPACE: workspace}
    named = [(kind, value) for kind, value in given.items() if value is not None]
    if len(named) != 1 or not named[0][1]:
        raise console.Usage("name whose data to remove: one of --id, --player and --workspace")
    return PurgeScope(kind=named[0][0], value=named[0][1])


async def _run(scope: PurgeScope, *, dry_run: bool) -> Purged:
    from sqlalchemy.exc import SQLAlchemyError

    from infra.purge.purge import purge as remove

    settings = console.settings()
    try:
        engine = console.audit_engine(settings)
    except FileNotFoundError:
        engine = None
    try:
        async with console.connect(settings) as client:
            answers = settings.narrative.response_cache.directory
            return await remove(
                client.wire,
                engine,
                scope,
                answers=answers,
                samples=settings.sample_folders,
                dry_run=dry_run,
            )
    except SQLAlchemyError as error:
        raise audit_database.unreadable(settings, error) from None
    finally:
        if engine is not None:
            engine.dispose()


def _print(done: Purged, *, json: bool) -> None:
    if json:
        console.emit(_to_json(done))
        return
    if not done.removed:
        console.note(f"nothing is stored of {done.scope}")
        return
    from infra.cli.show import aligned

    head = ("store", "would remove" if done.dry_run else "removed")
    console.listed(aligned(head, [(store, f"{count:,}") for store, count in done.removed.items()]))
    verb = "would be removed" if done.dry_run else "removed"
    console.note(f"{done.requests:,} requests of {done.scope} {verb}")
    if done.running:
        console.note(
            f"{done.running:,} of them {'run and would be' if done.dry_run else 'ran and were'} cancelled"
        )
    if done.shared:
        console.note(
            f"{done.shared:,} equal requests of others were answered with content generated for these; they are kept"
        )
    if done.samples:
        console.note(
            f"golden samples that were made from these requests are kept: {', '.join(done.samples)}; look at them, and "
            "remove those that are about the person, each with its .toml"
        )
    if done.unread_samples:
        console.note(
            f"may name these requests, but cannot be read: {', '.join(done.unread_samples)}; "
            "`understudy samples check` says why"
        )
    if done.not_erased:
        console.note(
            f"deleted, but still in the broker's files until it rewrites them: {', '.join(done.not_erased)}; "
            "they were made by an earlier release (docs/privacy.md)"
        )


def _to_json(done: Purged) -> dict[str, Any]:
    import msgspec

    found: dict[str, Any] = msgspec.to_builtins(done)
    return found
