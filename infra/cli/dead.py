"""`understudy dead`: dead letters, listed, shown, replayed and deleted."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from infra.cli import console, filters
from infra.cli import replay as replays
from infra.cli.console import Json, Limit

if TYPE_CHECKING:
    from infra.app.pipeline_client import PipelineClient
    from infra.inspect.dead_letters import Letter
    from infra.inspect.letter_listing import LetterGroup
    from infra.inspect.request_filter import RequestFilter

app = typer.Typer(no_args_is_help=True, help="Dead letters: messages that no stage could use.")

_Letters = Annotated[
    list[int] | None, typer.Argument(metavar="LETTER", help="Letters by sequence number in DEAD.")
]
_MEANINGLESS: Final[dict[str, str]] = dict.fromkeys(
    ("status", "origin"), "only results have it; `understudy audit ls` lists them"
)
# A letter is an operator's matter and no statistic, whoever published the request.
_accept = filters.accept(without=_MEANINGLESS, shadows=True)
_Most = Annotated[int | None, typer.Option("--limit", min=1, help="Most letters, oldest first.")]


@app.command("ls")
@_accept
def ls(
    wanted: RequestFilter,
    limit: Limit = None,
    groups: Annotated[
        bool, typer.Option("--groups", help="Count them by stage, code and field, the largest group first.")
    ] = False,
    json: Json = False,
) -> None:
    """List dead letters, oldest first."""

    async def work() -> int:
        from infra.inspect import dead_letters, letter_listing

        async with _client() as client:
            if groups:
                _print_groups(await letter_listing.count_groups(client.wire, wanted), json=json)
                return console.DONE
            coming = dead_letters.find(client.wire, wanted)
            if json and limit is None:
                with console.JsonArray() as array:
                    async for letter in coming:
                        array.add(letter_listing.to_json(letter))
                return console.DONE
            found: deque[Letter] = deque(maxlen=limit or console.ROWS)
            skipped = 0
            async for letter in coming:
                skipped += len(found) == found.maxlen
                found.append(letter)
        if json:
            console.emit([letter_listing.to_json(letter) for letter in found])
            return console.DONE
        from infra.cli.show import letter_lines

        if not found:
            console.people().print("no dead letters" if wanted.empty else "no dead letters match")
            return console.DONE
        console.listed(letter_lines(list(found)))
        console.left_out(skipped)
        return console.DONE

    console.run(work())


@app.command("show")
@_accept
def show(
    wanted: RequestFilter,
    names: _Letters = None,
    limit: _Most = None,
    json: Json = False,
) -> None:
    """Show dead letters in full: reason, origin, headers, payload."""
    _require_some(names, wanted, verb="show")

    async def work() -> int:
        shown = 0
        async with _client() as client:
            async for letter in _take(client, names, wanted, limit):
                shown += 1
                if json:
                    from infra.inspect.letter_listing import to_full_json

                    console.emit(to_full_json(letter))
                else:
                    from infra.cli import show as looks

                    looks.letter(console.people(), letter)
        if not shown:
            console.complain("no dead letters match")
        return console.DONE if shown else console.FAILED

    console.run(work())


@app.command("replay")
@filters.accept(without=_MEANINGLESS)
def replay(
    wanted: RequestFilter,
    names: _Letters = None,
    limit: _Most = None,
    every: Annotated[
        bool, typer.Option("--all", help="Every letter; required if no filter is given.")
    ] = False,
    patch: replays.Patch = None,
    assignments: replays.Set = None,
    from_: replays.From = None,
    rate: replays.Rate = None,
    budget: replays.Budget = None,
    again: Annotated[bool, typer.Option("--again", help="Also letters that were replayed before.")] = False,
    plan: replays.Plan = None,
    dry_run: replays.DryRun = False,
    json: Json = False,
) -> None:
    """Publish letters again as a replay job, each as a new request rp-LETTER-N; each letter once, unless --again."""
    _require_some(names, wanted, every=every or dry_run, verb="replay")
    options = replays.parse_options(
        patch=patch, assignments=assignments, from_stage=from_, reuse=False, again=again
    )
    limits = replays.parse_limits(rate, budget)
    from infra.cli import dead_replay

    replays.with_desk(
        lambda desk: dead_replay.carry_out(
            desk,
            wanted,
            names or (),
            options,
            limits,
            limit=limit,
            plan=plan,
            dry_run=dry_run,
            json=json,
        )
    )


@app.command("drop")
@_accept
def drop(
    wanted: RequestFilter,
    names: _Letters = None,
    limit: _Most = None,
    every: Annotated[
        bool, typer.Option("--all", help="Every letter; required if no filter is given.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be deleted; delete nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    json: Json = False,
) -> None:
    """Delete dead letters permanently."""
    _require_some(names, wanted, every=every or dry_run, verb="drop")

    async def work() -> int:
        from infra.inspect import dead_letters

        async with _client() as client:
            found = [(each.sequence, each.reason) async for each in _take(client, names, wanted, limit)]
            if not found:
                console.note("no dead letters match")
                return console.FAILED
            if not yes and not dry_run and not await asyncio.to_thread(_confirmed, len(found)):
                console.note("nothing was dropped")
                return console.FAILED
            for sequence, reason in found:
                if not dry_run:
                    await dead_letters.drop(client.wire, sequence)
                outcome = "would_drop" if dry_run else "dropped"
                if json:
                    console.emit({"letter": sequence, "outcome": outcome})
                else:
                    from contracts.printable import printable

                    verb = "would drop" if dry_run else "dropped"
                    console.people().print(
                        f"{verb} {sequence}: {printable(reason)}", soft_wrap=True, markup=False
                    )
        return console.DONE

    console.run(work())


def _print_groups(found: Sequence[LetterGroup], *, json: bool) -> None:
    if json:
        console.emit(found)
        return
    from infra.cli.show import letter_group_lines

    if found:
        console.listed(letter_group_lines(found))
    else:
        console.people().print("no dead letters match")


def _client() -> PipelineClient:
    return console.connect(console.settings())


def _require_some(names: list[int] | None, wanted: RequestFilter, *, verb: str, every: bool = False) -> None:
    if not names and wanted.empty and not every:
        whole = "" if verb == "show" else "; --all means every one"
        raise console.Usage(
            f"say which letters to {verb}: LETTER, or a filter such as --id, --stage, --code or --since{whole}"
        )


async def _take(
    client: PipelineClient, names: list[int] | None, wanted: RequestFilter, limit: int | None
) -> AsyncIterator[Letter]:
    from infra.inspect import dead_letters

    taken = 0
    async for each in dead_letters.find(client.wire, wanted, sequences=names or ()):
        if limit is not None and taken >= limit:
            return
        taken += 1
        yield each


def _confirmed(number: int) -> bool:
    return typer.confirm(f"Delete {number} letter{'s' if number > 1 else ''} permanently?", err=True)
