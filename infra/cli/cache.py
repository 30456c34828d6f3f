"""`understudy cache`: entries, statistics and purges."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from contracts import timestamp
from infra.cli import console
from infra.cli.console import Json, Limit

if TYPE_CHECKING:
    from infra.nats.multiplexer import RequestMultiplexer
    from infra.stores.cache_listing import CacheFilter, ListedEntry

app = typer.Typer(no_args_is_help=True, help="Inspect and purge cached results.")

_Prefix = Annotated[
    str | None,
    typer.Option(
        "--prefix", help="Entries whose key starts with these parts, such as 'transition|gap_fill'."
    ),
]
_Node = Annotated[str | None, typer.Option("--node", help="Entries of the node with this id.")]
_Version = Annotated[
    int | None, typer.Option("--version", min=1, help="Entries of this version of the node.")
]


#: What each count means.
_COUNTED: Final = {
    "memory": "found in a process's memory",
    "shared": "found in the shared cache",
    "older": "found under an older key",
    "followed": "waited for another request, and shared its result",
    "led": "generated",
    "taken_over": "generated after another request had failed",
    "stored": "stored",
    "drifted": "differed from an earlier generation of the same",
}


@app.command("ls")
def ls(
    prefix: _Prefix = None,
    node: _Node = None,
    version: _Version = None,
    limit: Limit = None,
    json: Json = False,
) -> None:
    """List cached results, newest last."""

    async def work() -> int:
        found = await _found(_filter(None, prefix, node, version))
        most = limit if json or limit is not None else console.ROWS
        shown = found if most is None else found[-most:]
        if json:
            console.emit([_to_json(item) for item in shown])
        else:
            _table(shown)
            console.left_out(len(found) - len(shown))
        return console.DONE

    console.run(work())


@app.command("show")
def show(
    key: Annotated[str, typer.Argument(help="A key, or its readable form in `meta.cache_key`.")],
    json: Json = False,
) -> None:
    """Print entries with their content; exit status 1 if none match."""

    async def work() -> int:
        found = await _found(_filter(key, None, None, None))
        if not found:
            console.complain(f"no entry for {key!r}; `understudy cache ls` lists all")
            return console.FAILED
        for item in found:
            row = _to_json(item) | {"entry": item.entry}
            if json:
                console.emit(row)
            else:
                console.raw(row)
        return console.DONE

    console.run(work())


@app.command("stats")
def stats(json: Json = False) -> None:
    """Print the size of the cache and how often it was used."""

    async def work() -> int:
        from infra.stores import cache_listing

        async with _wire() as wire:
            found = await cache_listing.statistics(wire)
        if json:
            console.emit(found)
            return console.DONE
        rate = "-" if found.hit_rate is None else f"{found.hit_rate:.1%}"
        rows = {
            "entries": f"{found.entries:,}",
            "bytes": f"{found.size:,}",
            **{f"  {name}": f"{count:,}" for name, count in found.by_strategy.items()},
            **{_COUNTED.get(name, name): f"{count:,}" for name, count in found.counts.items()},
            "answered from the cache": rate,
        }
        _pairs(rows)
        return console.DONE

    console.run(work())


@app.command("purge")
def purge(
    key: Annotated[
        str | None, typer.Argument(help="A key, or its readable form in `meta.cache_key`.")
    ] = None,
    prefix: _Prefix = None,
    node: _Node = None,
    version: _Version = None,
    everything: Annotated[bool, typer.Option("--all", help="Every entry.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be deleted; delete nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Delete cached results; several options must all match."""
    wanted = _filter(key, prefix, node, version)
    if everything == any(each is not None for each in (key, prefix, node, version)):
        raise console.Usage("name what to delete: a key, --prefix, --node or --version; or use --all alone")

    async def work() -> int:
        from infra.stores import cache_listing

        async with _wire() as wire:
            found = [item.key async for item in cache_listing.items(wire, wanted)]
            if not dry_run:
                await cache_listing.purge_all(wire, found)
        if json:
            console.emit({"removed": 0 if dry_run else len(found), "keys": found})
        else:
            out = console.people()
            for one in found:
                out.print(one, markup=False, soft_wrap=True)
            console.note(f"{len(found)} entries {'would go' if dry_run else 'removed'}")
        return console.DONE

    console.run(work())


@asynccontextmanager
async def _wire() -> AsyncGenerator[RequestMultiplexer]:
    from understudy_client.connection import close

    from infra.nats.connection import dial
    from infra.nats.multiplexer import RequestMultiplexer

    client = await dial(console.settings(), name="understudy cache")
    wire = RequestMultiplexer()
    try:
        await wire.open(client)
        yield wire
    finally:
        await wire.close()
        await close(client)


async def _found(wanted: CacheFilter) -> list[ListedEntry]:
    from infra.stores import cache_listing

    async with _wire() as wire:
        return [item async for item in cache_listing.items(wire, wanted)]


def _filter(key: str | None, prefix: str | None, node: str | None, version: int | None) -> CacheFilter:
    from infra.stores.cache_listing import CacheFilter

    return CacheFilter(key=key, prefix=prefix, node=node, version=version)


def _to_json(item: ListedEntry) -> dict[str, Any]:
    entry = item.entry
    row: dict[str, Any] = {"key": item.key, "size": item.size}
    if entry is None:
        return row | {"readable": False}
    return row | {
        "cache_key": entry.cache_key,
        "node": entry.node,
        "request_id": entry.request_id,
        "provider": entry.provider,
        "model": entry.model,
        "created": timestamp.format_ms(entry.created_at_ms, "seconds"),
        "expires": timestamp.format_ms(entry.expires_at_ms, "seconds"),
    }


def _table(found: list[ListedEntry]) -> None:
    from infra.cli.show import aligned

    rows: list[tuple[str, ...]] = []
    for item in found:
        row = _to_json(item)
        rows.append(
            (
                row.get("cache_key") or item.key,
                row.get("request_id", "unreadable"),
                row.get("node") or "",
                f"{item.size:,}",
                row.get("expires", ""),
            )
        )
    console.listed(aligned(("cache key", "generated for", "node", "bytes", "expires"), rows))


def _pairs(rows: dict[str, str]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in rows.items():
        table.add_row(name, value)
    console.people().print(table)
