"""`understudy seed`."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from infra.cli import console
from infra.cli.console import Json

if TYPE_CHECKING:
    from contracts.nodes.node import SeedSource, Strategy

Word = TypeVar("Word", bound=StrEnum)


def seed(
    strategy: Annotated[
        str | None,
        typer.Option(
            "--strategy",
            metavar="STRATEGY",
            help="once, per_playthrough, per_player or always: who shares the content.",
        ),
    ] = None,
    playthrough: Annotated[str | None, typer.Option("--playthrough", help="Id of the playthrough.")] = None,
    player: Annotated[str | None, typer.Option("--player", help="Id of the player.")] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--source",
            metavar="SOURCE",
            help="fixed, playthrough, player or timestamp; default: the strategy's.",
        ),
    ] = None,
    kind: Annotated[str, typer.Option("--kind", metavar="KIND", help="Content kind.")] = "transition",
    purpose: Annotated[
        str | None, typer.Option("--purpose", help="Purpose of the node; default for transitions: gap_fill.")
    ] = None,
    from_scene: Annotated[str, typer.Option("--from", help="Id of the scene before.")] = "",
    to_scene: Annotated[str, typer.Option("--to", help="Id of the scene after.")] = "",
    version: Annotated[int, typer.Option("--version", min=1, help="Version of the node.")] = 1,
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="BODY.json", help="File with a whole request; - for standard input."),
    ] = None,
    json: Json = False,
) -> None:
    """Print the seed and the cache key that a request would get; see docs/seeds.md and docs/cache.md.

    With --file, also print the key in the bucket, which depends on everything that shapes the content.
    """
    from contracts.kinds import KINDS
    from contracts.nodes.node import SeedSource, Strategy

    told: dict[str, Any]
    if kind not in KINDS:
        raise console.Usage(f"--kind {kind!r} is unknown; it is one of {', '.join(KINDS)}")
    if file is not None:
        told = _of_request(file, kind)
    elif strategy is None:
        raise console.Usage("give --strategy, or a whole request with --file")
    else:
        from contracts.nodes import layers
        from contracts.policy import seeds
        from contracts.policy.cache_key import CacheKeyParts

        chosen = _known(strategy, Strategy, "--strategy")
        origin = seeds.default_source(chosen) if source is None else _known(source, SeedSource, "--source")
        parts = CacheKeyParts(
            type=kind,
            purpose=purpose if purpose is not None else layers.OF_KIND.get(kind, {}).get("purpose", ""),
            from_scene=from_scene,
            to_scene=to_scene,
            strategy=chosen,
            owner=_owner(chosen, playthrough, player),
            version=version,
        )
        told = {
            "seed": seeds.derive(parts, origin, _origin(origin, playthrough, player)),
            "seed_source": str(origin),
            "cache_key": None if chosen is Strategy.ALWAYS else str(parts),
            "key": None,
        }
    if json:
        console.emit(told)
        return
    out = console.people()
    out.print(f"seed        {told['seed']} [dim](from {told['seed_source'] or 'the request'})[/]")
    out.print(f"cache key   {told['cache_key'] or '[dim]none: nothing is cached[/]'}", soft_wrap=True)
    if told["key"] is not None:
        out.print(f"in bucket   {told['key']}", soft_wrap=True)
    for line in told.get("warnings", ()):
        console.errors().print(line, soft_wrap=True, markup=False)


def _known(said: str, words: type[Word], option: str) -> Word:
    try:
        return words(said)
    except ValueError:
        raise console.Usage(f"{option} {said!r} is unknown; it is one of {', '.join(words)}") from None


def _owner(strategy: Strategy, playthrough: str | None, player: str | None) -> str:
    from contracts.nodes.node import Strategy

    match strategy:
        case Strategy.PER_PLAYTHROUGH:
            return _needed(playthrough, "--playthrough", f"strategy {strategy}")
        case Strategy.PER_PLAYER:
            return _needed(player, "--player", f"strategy {strategy}")
        case Strategy.ONCE | Strategy.ALWAYS:
            return ""


def _origin(source: SeedSource, playthrough: str | None, player: str | None) -> str:
    from contracts.nodes.node import SeedSource

    match source:
        case SeedSource.PLAYTHROUGH:
            return _needed(playthrough, "--playthrough", f"seed source {source}")
        case SeedSource.PLAYER:
            return _needed(player, "--player", f"seed source {source}")
        case SeedSource.TIMESTAMP:
            return f"{int(time.time() * 1000)} req-seed"
        case SeedSource.FIXED:
            return ""


def _needed(value: str | None, option: str, what: str) -> str:
    if not value:
        raise console.Usage(f"{what} needs {option}")
    return value


def _of_request(file: Path, kind: str) -> dict[str, Any]:
    import sys

    from contracts.outcome import Emit, Fail, Reject
    from infra.app import context_ports

    try:
        body = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise console.Usage(f"cannot read {file}: {error.strerror}") from None
    outcome = context_ports.dry_run(console.settings(), kind, body, now_ms=int(time.time() * 1000))
    match outcome:
        case Emit(events=events):
            built: Any = events[-1]
        case Fail(message=message) | Reject(message=message):
            raise console.Usage(message)
        case _:
            raise console.Usage("nothing would be generated for this request")
    brief = built.brief
    return {
        "seed": brief.freeform.seed,
        "seed_source": None,
        "cache_key": brief.cache_key,
        "key": brief.slot.key if brief.slot is not None else None,
        "warnings": built.trail.warnings,
    }
