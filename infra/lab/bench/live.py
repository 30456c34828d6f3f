"""Check of results: live content is valid, and everything else gives its reason.

Random requests over every built-in kind, and some with a schema of their own, go through the whole
pipeline; then the log is read, and each result is judged anew.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec
from understudy_client import NoResult

from contracts import events as ev
from contracts import pipeline
from contracts.content.registry import CONTENTS, CUSTOM, MODELS
from contracts.errors import ErrorCode, UnderstudyError
from contracts.result import Origin, RepairLevel
from infra.app.pipeline_client import PipelineClient
from infra.app.supervisor import Supervisor
from infra.lab.bench import schemas as schema_source
from infra.lab.bench.outcomes import percentile
from infra.lab.bench.trial import Say
from infra.lab.house_model import evaluate
from infra.lab.house_model.clues import Fact, What
from infra.lab.house_model.evaluate import Share
from infra.lab.house_model.generate import example
from infra.nats import log as event_log
from infra.settings import narrative as narrative_settings
from infra.settings import settings as settings_module
from infra.settings.settings import Settings
from infra.stores.assets import Assets

#: A model of the house model's kind that was never trained, made for the run.
RANDOM: Final = "random"
#: Long, so that a loaded machine is not taken for a failure; a call's time-out opens the breaker as well.
_DEADLINE_MS: Final = 3_600_000
_CALL_S: Final = 1_200
#: Share of the wishes whose names are drawn from words that the house model was never trained on.
_UNSEEN: Final = 0.7
_FIRST: Final = "live-first"
#: Without training every token is as likely as the end; longer prose says no more.
_UNTRAINED_PROSE: Final = 60
#: Seconds within which a result that was heard must stand in the log.
_STORED_S: Final = 10.0
#: Faults and reasons that are shown, and characters of a reason.
_SHOWN: Final = 20
_REASON: Final = 200


class RandomRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One random request."""

    request_id: str
    kind: str
    prompt: str
    seed: int
    schema: dict[str, Any] | None = None
    #: What the wish names, so far as content can show it.
    facts: tuple[Fact, ...] = ()

    @property
    def fields(self) -> dict[str, Any]:
        """The request's body without its prompt."""
        return {"seed": self.seed, "deadline_ms": _DEADLINE_MS, "schema": self.schema}


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """A result, and its content from the event or the object store."""

    result: ev.Result
    content: Any


class LiveReport(msgspec.Struct, frozen=True, kw_only=True):
    """Outcome of a run."""

    model: str
    requests: int
    wall_s: float
    #: How requests ended, by kind and status.
    statuses: dict[str, dict[str, int]]
    #: Percent of the requests that ended live: of the built-in kinds, of ``custom``, and of each.
    live_percent: dict[str, float]
    live: int
    #: Valid ones among the live ones, from 0 to 1; ``None`` where nothing is live.
    live_valid_share: float | None
    #: What is wrong with results: a live one that is not valid, one that does not say why it is not live.
    faults: tuple[str, ...]
    missing: int
    duplicates: int
    #: Results that are not live, by error code.
    codes: dict[str, int]
    #: Their reasons, the most frequent ones.
    reasons: dict[str, int]
    #: Live documents by their receipt's level, and those that took a second asking or a repair.
    levels: dict[str, int]
    reasked: int
    repaired: int
    #: Percent of what the wishes name that stands in the live content, for the built-in kinds. Every
    #: requested element has a field to stand in; a detail may have none: a layout does not tell its place.
    kept_percent: dict[str, float]
    seconds_p50: float
    seconds_p95: float
    tokens_per_s: float

    @property
    def passed(self) -> bool:
        """Whether each request has one result, live ones are valid, and others have reason and code."""
        return not (self.faults or self.missing or self.duplicates)


def asked(requests: int, schemas: int, *, seed: int) -> list[RandomRequest]:
    """Random requests: the built-in kinds in turn, and ``custom`` ones among them.

    Args:
        requests: of the built-in kinds; each is a wish in a style of the house model's.
        schemas: with a schema of their own, no two alike.
        seed: of all of it.
    """
    rng = random.Random(f"live:{seed}")  # noqa: S311 - what to ask, no secret
    kinds = [*(list(MODELS)[index % len(MODELS)] for index in range(requests)), *[CUSTOM] * schemas]
    made: list[RandomRequest] = []
    for index, kind in enumerate(kinds):
        wish = example(evaluate.SEED + 1 + seed, index, unseen=rng.random() < _UNSEEN, kind=kind)
        made.append(
            RandomRequest(
                request_id=f"live-{index}",
                kind=kind,
                prompt=wish.wish,
                seed=rng.randrange(2**31),
                schema=schema_source.draw(rng) if kind == CUSTOM else None,
                facts=tuple(fact for fact in wish.facts if fact.what in {What.ELEMENT, What.DETAIL}),
            )
        )
    rng.shuffle(made)
    return made


def faults(one: RandomRequest, given: Given) -> tuple[str, ...]:
    """The faults of a result: invalid live content, or a missing reason or code."""
    result = given.result
    named = f"{one.request_id} ({one.kind}, {result.status})"
    if result.origin is Origin.LIVE:
        return tuple(f"{named}: {fault}" for fault in CONTENTS.faults(one.kind, given.content, one.schema))
    told = {"reason": result.reason, "error code": result.error and result.error.code}
    return tuple(f"{named}: has no {name}" for name, value in told.items() if not value)


def words(content: Any) -> str:
    """Every text and number of a document, one per line; tags and ids also as words of their own."""
    lines = "\n".join(str(value) for _, value in evaluate.leaves(content))
    match content:
        case {"mood_from": before, "mood_to": after}:
            # Two fields hold what a wish says in one piece.
            lines += f"\nfrom {before} to {after}"
        case _:
            pass
    return f"{lines}\n{lines.replace('_', ' ')}"


def judged(
    requests: Sequence[RandomRequest],
    answers: Mapping[str, Sequence[Given]],
    *,
    unreadable: Sequence[str] = (),
    model: str,
    seconds: Sequence[float],
    wall_s: float,
) -> LiveReport:
    """Evaluate every result of a run.

    Args:
        requests: what was asked.
        answers: all results by request.
        unreadable: what is wrong with results that could not be read.
        model: which model it was.
        seconds: from publish to result, of those that came in time.
        wall_s: seconds from the first publish to the last result.
    """
    statuses: dict[str, Counter[str]] = defaultdict(Counter)
    share: dict[str, Share] = defaultdict(Share)
    kept: dict[str, Share] = defaultdict(Share)
    codes: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    found = list(unreadable)
    live: list[ev.Result] = []
    invalid = tokens = 0
    for one in requests:
        for given in answers.get(one.request_id, ()):
            result = given.result
            is_live = result.origin is Origin.LIVE
            wrong = faults(one, given)
            found += wrong
            statuses[one.kind][result.status] += 1
            for row in (one.kind, CUSTOM if one.kind == CUSTOM else "built-in"):
                share[row].count(right=is_live)
            tokens += result.meta.cost.tokens.completion or 0
            if not is_live:
                codes[result.error.code if result.error else "none"] += 1
                reasons[(result.reason or "none")[:_REASON]] += 1
                continue
            live.append(result)
            invalid += bool(wrong)
            for fact in one.facts if one.kind != CUSTOM else ():
                right = evaluate.says(words(given.content), fact)
                kept[fact.what].count(right=right)
                kept[f"{one.kind} / {fact.what}"].count(right=right)
    receipts = [result.meta.receipt for result in live if result.meta.receipt is not None]
    times = sorted(seconds) or [0.0]
    return LiveReport(
        model=model,
        requests=len(requests),
        wall_s=round(wall_s, 1),
        statuses={kind: dict(counts) for kind, counts in sorted(statuses.items())},
        live_percent={row: each.percent for row, each in sorted(share.items())},
        live=len(live),
        live_valid_share=1 - invalid / len(live) if live else None,
        faults=tuple(found[:_SHOWN]),
        missing=sum(not answers.get(one.request_id) for one in requests),
        duplicates=sum(max(0, len(answers.get(one.request_id, ())) - 1) for one in requests),
        codes=dict(codes),
        reasons=dict(reasons.most_common(_SHOWN)),
        levels=dict(Counter(receipt.level for receipt in receipts)),
        reasked=sum(receipt.reasks > 0 for receipt in receipts),
        repaired=sum(receipt.level is RepairLevel.REPAIRED or bool(receipt.changes) for receipt in receipts),
        kept_percent={row: each.percent for row, each in sorted(kept.items())},
        seconds_p50=round(percentile(times, 0.5), 2),
        seconds_p95=round(percentile(times, 0.95), 2),
        tokens_per_s=round(tokens / wall_s, 1) if wall_s else 0.0,
    )


async def run(*, model: str, requests: int, schemas: int, in_flight: int, seed: int, say: Say) -> LiveReport:
    """Send random requests to a new pipeline, and evaluate every result.

    Args:
        model: ``house``, a folder, a hub id, or :data:`RANDOM`.
        requests: of the built-in kinds.
        schemas: with a schema of their own, beside those.
        in_flight: unanswered requests at any time.
        seed: of what is asked, and of an untrained model.
        say: told what is being done.

    Raises:
        UnderstudyError: the model cannot be loaded, or the pipeline does not start.
    """
    wanted = asked(requests, schemas, seed=seed)
    with tempfile.TemporaryDirectory(prefix="understudy-bench-") as folder:
        path = str(_untrained(Path(folder) / "untrained", seed)) if model == RANDOM else model
        settings = _settings(Path(folder), path, prose=_UNTRAINED_PROSE if model == RANDOM else None)
        async with Supervisor(settings) as supervisor, PipelineClient(supervisor.reached) as client:
            say("first answer, while the model loads")
            name = await _first(client)
            say(f"{len(wanted)} requests to {name}, {in_flight} at a time")
            began = time.monotonic()
            seconds = await _ask(client, wanted, in_flight, say)
            wall_s = time.monotonic() - began
            answers, unreadable = await _results(client, heard=len(seconds))
    return judged(wanted, answers, unreadable=unreadable, model=name, seconds=seconds, wall_s=wall_s)


def _settings(folder: Path, model: str, *, prose: int | None) -> Settings:
    usual = narrative_settings.Defaults()
    longest = prose or usual.freeform.max_tokens
    defaults = {
        "freeform": usual.freeform.model_dump() | {"timeout": _CALL_S, "max_tokens": longest},
        "structuring": usual.structuring.model_dump() | {"timeout": _CALL_S},
    }
    return settings_module.load(
        data_dir=folder,
        nats_url=None,
        use_local_model=True,
        log_level="error",
        broker={"sync_interval": "2m"},
        local={"model": model},
        narrative={
            "providers": dict.fromkeys(narrative_settings.Providers.model_fields, "local"),
            "response_cache": {"enabled": False},
            "defaults": defaults,
        },
    )


def _untrained(folder: Path, seed: int) -> Path:
    """A model of the house model's size and tokenizer with random weights; its folder."""
    from transformers.utils import logging  # noqa: PLC0415 - beside its use

    from infra.lab.house_model import files, tokens  # noqa: PLC0415 - as above
    from infra.lab.house_model.decoder import decoder  # noqa: PLC0415 - as above

    logging.disable_progress_bar()
    texts = [text for index in range(300) for text in _texts(seed, index)]
    tokens.save_tokenizer(tokens.train_tokenizer(texts), folder)
    tokenizer = tokens.load_tokenizer(folder)
    files.export(decoder(tokenizer, seed=seed), tokenizer, folder)
    return folder


def _texts(seed: int, index: int) -> Iterator[str]:
    one = example(seed, index)
    yield from (one.wish, one.prose, one.json)


async def _first(client: PipelineClient) -> str:
    """Load the model, so that no request includes the load time; its name."""
    await client.submit("layout", "a forest", request_id=_FIRST, deadline_ms=_DEADLINE_MS)
    result = await client.wait(_FIRST, timeout_s=_DEADLINE_MS / 1000)
    if result.error is not None and result.error.code == ErrorCode.GEN_PROVIDER_UNAVAILABLE:
        raise UnderstudyError(f"the model cannot be called: {result.error.message}")
    return result.meta.model or (result.attempts[-1].model if result.attempts else "unknown")


async def _ask(
    client: PipelineClient, wanted: Sequence[RandomRequest], in_flight: int, say: Say
) -> list[float]:
    """Seconds from publish to result, of requests with a result in time."""
    waiting = iter(wanted)
    seconds: list[float] = []
    left = len(wanted)

    async def asking() -> None:
        nonlocal left
        for one in waiting:
            began = time.monotonic()
            await client.submit(one.kind, one.prompt, request_id=one.request_id, **one.fields)
            with suppress(NoResult):
                await client.wait(one.request_id, timeout_s=_DEADLINE_MS / 1000 + 15)
                seconds.append(time.monotonic() - began)
            left -= 1
            if left % 50 == 0:
                say(f"{left} requests are left")

    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(asking())
    return seconds


async def _results(client: PipelineClient, *, heard: int) -> tuple[dict[str, list[Given]], list[str]]:
    """Every result in the log: a client gets only the first one of each request."""
    give_up = time.monotonic() + _STORED_S
    while True:
        answers, unreadable = await _read(client)
        # Those who listen may have a message before the stream can show it.
        if len(answers) + len(unreadable) > heard or time.monotonic() > give_up:
            return answers, unreadable
        await asyncio.sleep(0.1)


async def _read(client: PipelineClient) -> tuple[dict[str, list[Given]], list[str]]:
    """Results by request, and the faults of undecodable ones."""
    answers: dict[str, list[Given]] = defaultdict(list)
    unreadable: list[str] = []
    assets = Assets(client.wire)
    async for entry in event_log.read(client.wire, pipeline.EVENTS, "gen.result.>"):
        try:
            result = msgspec.json.decode(entry.body, type=ev.Result)
        except msgspec.ValidationError as error:
            unreadable.append(f"{entry.subject}: {error}")
            continue
        content = result.content
        if result.content_ref is not None:
            content = msgspec.json.decode(await assets.get(result.content_ref))
        answers[result.request_id].append(Given(result=result, content=content))
    return answers, unreadable
