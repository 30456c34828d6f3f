"""Gate of the demo's model: held-out wishes through the whole pipeline, one at a time, and what became of them."""

from __future__ import annotations

import re
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from contracts.result import Origin, Status
from infra.app.pipeline_client import PipelineClient, checked
from infra.lab.demo.scene import ShowSettings, free_port
from infra.lab.demo_model.examples import Example
from infra.lab.demo_model.expectations import is_met, texts
from infra.nats import log
from infra.settings.settings import Broker
from infra.stores.vocabulary import load_english
from stages.validate_repair.sense.texts import visible_texts
from stages.validate_repair.sense.words import count_words

if TYPE_CHECKING:
    from infra.settings.narrative import Gguf, Narrative

#: Seconds that a request may take before the fallback answers.
_DEADLINE_S: Final = 60.0
_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+")
#: Shortest text that counts as a sentence, characters.
_SENTENCE_LENGTH: Final = 20


class _Text(msgspec.Struct):
    text: str


class _Drafted(msgspec.Struct):
    draft: _Text


class GateOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one wish."""

    example: Example
    status: str
    origin: str
    reason: str | None
    content: dict[str, Any] | None
    draft: str
    seconds: float
    score: float | None

    @property
    def live(self) -> bool:
        """Whether the model's document is the result."""
        return self.status == Status.SUCCESS and self.origin == Origin.LIVE


class GateFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The gate's figures; shares are in percent."""

    wishes: int
    live: float
    #: Things that the wish names, without a number, in the right slot; and things with a number.
    named: float
    named_of: int
    counted: float
    counted_of: int
    #: Words of the live documents and drafts that exist.
    words: float
    words_of: int
    unknown: tuple[str, ...]
    #: The most frequent sentence, in percent of the texts.
    repeated: float
    repeated_text: str
    seconds_median: float
    seconds_most: float


async def run(examples: Sequence[Example], gguf: Gguf, narrative: Narrative) -> list[GateOutcome]:
    """Ask a pipeline for each wish, one after the other.

    Args:
        examples: the wishes.
        gguf: the model.
        narrative: routes, and how the stages ask.
    """
    from infra.app.supervisor import Supervisor  # noqa: PLC0415 - with the whole application

    found: list[GateOutcome] = []
    with tempfile.TemporaryDirectory(prefix="understudy-gate-") as home:
        settings = ShowSettings(
            data_dir=Path(home),
            broker=Broker(port=free_port()),
            use_local_model=True,
            gguf=gguf,
            narrative=narrative,
            log_level="error",
        )
        supervisor = Supervisor(settings)
        await supervisor.start()
        try:
            async with PipelineClient(supervisor.reached) as client:
                found = [await _ask(client, number, each) for number, each in enumerate(examples)]
        finally:
            await supervisor.stop()
    return found


async def _ask(client: PipelineClient, number: int, example: Example) -> GateOutcome:
    began = time.monotonic()
    body: dict[str, Any] = {
        "prompt": example.wish,
        "deadline_ms": int(_DEADLINE_S * 1000),
        "seed": 1000 + number,
    }
    if example.schema is not None:
        body["schema"] = example.schema
    ident = f"gate-{number}"
    result = checked(
        await client.ask(
            example.kind, request_id=ident, body=msgspec.json.encode(body), timeout_s=_DEADLINE_S + 5
        )
    )
    drafts = [
        msgspec.json.decode(entry.body, type=_Drafted).draft.text
        for entry in await log.of_request(client.wire, ident)
        if entry.subject.startswith("gen.drafted.")
    ]
    return GateOutcome(
        example=example,
        status=str(result.status),
        origin=str(result.origin),
        reason=result.reason,
        content=result.content,
        draft=drafts[-1] if drafts else "",
        seconds=round(time.monotonic() - began, 2),
        score=result.meta.quality_score,
    )


def measure(outcomes: Sequence[GateOutcome]) -> GateFigures:
    """Count what the gate asks for.

    Args:
        outcomes: of all wishes; those that are not live have nothing right.
    """
    named, counted = list[bool](), list[bool]()
    words = 0
    unknown: list[str] = []
    sentences: Counter[str] = Counter()
    live = [each for each in outcomes if each.live]
    vocabulary = load_english()
    for each in outcomes:
        for expected in each.example.expect:
            right = (
                each.live and each.content is not None and is_met(expected, each.example.kind, each.content)
            )
            (named if expected.count is None else counted).append(right)
    for each in live:
        for one in count_words(visible_texts(each.content), wish=each.example.wish, vocabulary=vocabulary):
            words += one.words
            unknown += one.unknown
        parts = (part for text in texts(each.content) for part in _SENTENCE.split(text))
        sentences.update({part for part in parts if len(part) >= _SENTENCE_LENGTH})
    ((most, times),) = sentences.most_common(1) or [("", 0)]
    seconds = sorted(each.seconds for each in outcomes)
    return GateFigures(
        wishes=len(outcomes),
        live=_percent(len(live), len(outcomes)),
        named=_percent(sum(named), len(named)),
        named_of=len(named),
        counted=_percent(sum(counted), len(counted)),
        counted_of=len(counted),
        words=_percent(words - len(unknown), words),
        words_of=words,
        unknown=tuple(dict.fromkeys(unknown)),
        repeated=_percent(times, len(live)),
        repeated_text=most,
        seconds_median=seconds[len(seconds) // 2],
        seconds_most=seconds[-1],
    )


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 1) if whole else 0.0
