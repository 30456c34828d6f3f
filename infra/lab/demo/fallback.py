"""Demo of the fallback: without a model, and when a model fails."""

from __future__ import annotations

import asyncio
import inspect
import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.syntax import Syntax
from rich.text import Text

from contracts import events as ev
from contracts import pipeline, subjects, timestamp
from contracts.content.registry import Registry
from contracts.errors import ErrorCode, UnderstudyError
from contracts.result import SCRIPTED, Origin, Status
from infra.app.pipeline_client import PipelineClient, checked
from infra.cli import show, show_timeline
from infra.inspect import dead_letters, timeline
from infra.inspect import tail as tailing
from infra.inspect.dead_letters import Letter
from infra.inspect.record import ending
from infra.inspect.request_filter import RequestFilter
from infra.lab.demo.scene import (
    PATIENCE_S,
    DemoStage,
    ShowSettings,
    ask,
    books,
    free_port,
    pipeline_of,
    stored,
)
from infra.nats import log, ordered
from infra.nats.submissions import Submission
from infra.replay import publishing
from infra.settings.narrative import Narrative, Providers
from infra.settings.settings import Broker, Settings

#: Seconds between two looks for a letter.
_LOOK_S: Final = 0.1
_CUSTOM_SCHEMA: Final = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "price": {"type": "integer", "minimum": 1}},
    "required": ["name", "price"],
}
#: One request per kind.
REQUESTS: Final[dict[str, dict[str, Any]]] = {
    "layout": {"prompt": "a forest with three coins"},
    "plot": {"prompt": "a lighthouse keeper who stops answering"},
    "scene": {"prompt": "two strangers on a rooftop at dawn"},
    "dialogue": {"prompt": "two guards who disagree about a door"},
    "transition": {"prompt": "from a kiss to a chase"},
    "custom": {"prompt": "one thing that a shop sells", "schema": _CUSTOM_SCHEMA},
}
REFUSED: Final = "demo-refused"
TORN: Final = "demo-torn"
WRITTEN: Final = "demo-written"
_SCRIPT: Final = {
    "rules": [
        {"match": {"request_id": REFUSED}, "do": "refuse"},
        {"match": {"request_id": TORN, "stage": "structuring"}, "do": "answer", "text": "no document at all"},
    ]
}
#: Kinds that are drawn: a level, a curve, and a way from one mood to another.
_DRAWN: Final = frozenset({"layout", "plot", "transition"})
#: Columns of a terminal below which the tail leaves out stage and kind.
_NARROW: Final = 120


async def play(stage: DemoStage, home: Path) -> None:
    """Play golden samples, a failure, a dead letter with its replay, and the totals."""
    async with pipeline_of(stage, _without_model(home)) as client:
        await _golden(stage, client)
    async with pipeline_of(stage, make_settings(home)) as client:
        await _failure(stage, client)
        await _dead_letter(stage, client)
        await books(stage, client, make_settings(home), "4  The totals")


async def _golden(stage: DemoStage, client: PipelineClient) -> None:
    stage.scene("1  Without a model: one request per kind")
    stage.say("A client needs nothing but nats-py. This function runs once for each kind, all at once:\n")
    stage.out.print(Syntax(inspect.getsource(ask), "python", background_color="default"))
    url = client.connection.connected_url
    address = f"nats://{url.netloc}" if url is not None else ""
    answers = await asyncio.gather(*(ask(address, kind, _id(kind), body) for kind, body in REQUESTS.items()))
    await stored(client, *map(_id, REQUESTS))
    stage.say("[dim]$ understudy tail --no-follow[/]")
    columns = show.Columns(narrow=stage.out.width < _NARROW)
    async for line in tailing.past(client.wire, tailing.resolve("gen.>", None)):
        if line.event != "timer":
            stage.line(columns.text(line))
    stage.say("\nThe results, as the client got them:\n")
    results = [msgspec.convert(answer, ev.Result) for answer in answers]
    rows = [
        (
            Text(result.kind, style="bold"),
            Text(result.status, style=show.status_style(result.status)),
            result.origin,
            result.stand_in.name if result.stand_in else "",
        )
        for result in results
    ]
    for text in show.aligned(("kind", "status", "origin", "stand-in"), rows):
        stage.line(text)
    first = results[0]
    stage.say(f"\nThe reason that the first one gives: [italic]{first.reason}[/]\n")
    stage.say("\nWhat stood in, drawn ([dim]understudy result ID --picture -[/]):\n")
    for result in results:
        if result.kind in _DRAWN:
            stage.line(
                Text(f"{result.kind}: {result.stand_in.name if result.stand_in else ''}", style="bold")
            )
            stage.draw(result.kind, result.content)
            stage.say("")
    builtin = [result for result in results if result.kind != "custom"]
    (custom,) = [result for result in results if result.kind == "custom"]
    stage.claim(
        "every built-in kind is answered by a golden sample that says so, with its reason and its name",
        all(
            (result.status, result.origin) == (Status.CACHED_FALLBACK, Origin.GOLDEN_SAMPLE)
            and result.reason
            and result.stand_in
            for result in builtin
        ),
    )
    stage.claim(
        "a custom schema has no sample: its placeholder fits the schema and is not called a sample",
        (custom.status, custom.origin) == (Status.PLACEHOLDER, Origin.PLACEHOLDER),
    )
    contents = Registry()
    stage.claim(
        "every content fits the model of its kind",
        not any(
            contents.faults(each.kind, each.content, _CUSTOM_SCHEMA if each.kind == "custom" else None)
            for each in results
        ),
    )
    again = await ask(address, "layout", _id("layout-again"), REQUESTS["layout"])
    stage.claim(
        "the same request under another id gets the same fallback",
        again["stand_in"] == msgspec.to_builtins(first.stand_in),
    )


async def _failure(stage: DemoStage, client: PipelineClient) -> None:
    stage.scene("2  With a model that fails")
    stage.say(
        "The pipeline starts again on the same data, now with a provider: the scripted one, which is made for "
        "tests. Its results are labelled [bold]scripted[/], never live. It refuses one request.\n"
    )
    good = checked(await client.ask("scene", prompt="a ferry frozen in", request_id=WRITTEN))
    stage.claim(
        f"{WRITTEN}: {ending(good.status, good.origin)}, by {good.meta.provider}/{good.meta.model}",
        (good.status, good.origin, good.meta.provider) == (Status.SUCCESS, Origin.SCRIPTED, SCRIPTED),
    )
    bad = checked(await client.ask("scene", prompt="a storm on the pier", request_id=REFUSED))
    stage.claim(
        f"{REFUSED}: {ending(bad.status, bad.origin)}, error {bad.error.code if bad.error else None}",
        (bad.status, bad.origin) == (Status.FAIL_FALLBACK, Origin.GOLDEN_SAMPLE)
        and bad.error is not None
        and bad.error.code is ErrorCode.GEN_PROVIDER_UNAVAILABLE,
    )
    stage.say(f"\n[dim]$ understudy why {REFUSED}[/]")
    await stored(client, REFUSED)
    told = timeline.build(REFUSED, await log.of_request(client.wire, REFUSED))
    if told is not None:
        stage.out.print(show_timeline.render_timeline(told))
    stage.claim(
        "the timeline, built from the event log alone, has the same result and the failed attempt",
        told is not None
        and (told.status, told.reason, told.error) == (bad.status, bad.reason, bad.error)
        and any(attempt.code is ErrorCode.GEN_PROVIDER_UNAVAILABLE for attempt in told.attempts),
    )


async def _letters(client: PipelineClient, request_id: str) -> list[Letter]:
    """A request's letters; a letter is stored after the answer, which it must not keep back."""
    found: list[Letter] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            while not found:
                found = [
                    each
                    async for each in dead_letters.find(client.wire, RequestFilter(request_id=request_id))
                ]
                await asyncio.sleep(_LOOK_S)
    return found


async def _dead_letter(stage: DemoStage, client: PipelineClient) -> None:
    stage.scene("3  A dead letter, and its replay")
    stage.say(f"For {TORN} the provider never returns a document, not even when asked again.\n")
    torn = checked(await client.ask("dialogue", prompt="a quarrel over a map", request_id=TORN))
    stage.claim(
        f"{TORN}: {ending(torn.status, torn.origin)}, error {torn.error.code if torn.error else None}",
        (torn.status, torn.origin) == (Status.FAIL_FALLBACK, Origin.GOLDEN_SAMPLE),
    )
    stage.say("\n[dim]$ understudy dead ls[/]")
    found = await _letters(client, TORN)
    for text in show.letter_lines(found):
        stage.line(text)
    stage.claim("it left one dead letter", len(found) == 1)
    if len(found) != 1:
        return
    (letter,) = found
    stage.say(f"\n[dim]$ understudy dead show {letter.sequence}[/]")
    stage.out.print(show.letter_summary(letter))
    stage.say(f"\n[dim]$ understudy dead replay {letter.sequence}[/]")
    planned = await publishing.prepare(client.wire, letter)
    revised = asyncio.create_task(_revision(client, TORN, "dialogue"))
    now = timestamp.format_s(time.time())
    (applied,) = await publishing.publish(client.wire, [planned], time=now)
    result = checked(await client.wait(planned.request_id, timeout_s=PATIENCE_S))
    stage.claim(
        f"replayed as {planned.request_id}: {result.status} from {result.origin}",
        applied is Submission.STORED and result.status is Status.SUCCESS,
    )
    (twice,) = await publishing.publish(client.wire, [planned], time=now)
    stage.claim("the same replay a second time is refused by the broker", twice is Submission.PRESENT)
    revision = await revised
    stage.claim(
        f"gen.revised.dialogue.{TORN} delivers the new content to the subscribers of {TORN}",
        revision.revised_by == planned.request_id and revision.content_hash == result.content_hash,
    )


async def _revision(client: PipelineClient, request_id: str, kind: str) -> ev.Revised:
    """The first revision of a request, as a subscriber of the log sees it."""
    subject = subjects.gen("revised", kind, request_id)
    coming = ordered.follow(client.connection, pipeline.EVENTS, (subject,), start=1)
    async with asyncio.timeout(PATIENCE_S):
        async for entry in coming:
            return msgspec.json.decode(entry.body, type=ev.Revised)
    raise UnderstudyError(f"no {subject} came")


def _without_model(home: Path) -> Settings:
    return ShowSettings(data_dir=home, broker=Broker(port=free_port()), log_level="error")


def make_settings(home: Path) -> Settings:
    """The demo's settings: the scripted provider, which fails for one request."""
    script = home / "script.json"
    script.write_text(json.dumps(_SCRIPT))
    providers = Providers(**dict.fromkeys(Providers.model_fields, SCRIPTED))
    return ShowSettings(
        data_dir=home,
        broker=Broker(port=free_port()),
        use_local_model=True,
        script=script,
        narrative=Narrative(providers=providers),
        log_level="error",
    )


def _id(name: str) -> str:
    return f"demo-{name}"
