"""Gate of the demo's model: held-out wishes through the whole pipeline, one at a time, and what became of them."""

from __future__ import annotations

import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from contracts.result import Origin, Status
from infra.app.pipeline_client import PipelineClient, checked
from infra.lab.demo.scene import ShowSettings, free_port
from infra.lab.demo_model.examples import Example
from infra.lab.demo_model.expectations import Expectation, is_met, texts
from infra.settings.settings import Broker

if TYPE_CHECKING:
    from infra.settings.narrative import Gguf, Narrative

#: Seconds that a request may take before the fallback answers.
_DEADLINE_S: Final = 60.0
_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+")
#: Shortest text that counts as a sentence, characters.
_SENTENCE_LENGTH: Final = 20


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
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


async def run(examples: Sequence[Example], gguf: Gguf, narrative: Narrative) -> list[Outcome]:
    """Ask a pipeline for each wish, one after the other.

    Args:
        examples: the wishes.
        gguf: the model.
        narrative: routes, and how the stages ask.
    """
    from infra.app.supervisor import Supervisor  # noqa: PLC0415 - with the whole application

    found: list[Outcome] = []
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
            async with PipelineClient(supervisor.nats_url) as client:
                found = [await _ask(client, number, each) for number, each in enumerate(examples)]
        finally:
            await supervisor.stop()
    return found


async def _ask(client: PipelineClient, number: int, example: Example) -> Outcome:
    began = time.monotonic()
    drafts: list[str] = []
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
    return Outcome(
        example=example,
        status=str(result.status),
        origin=str(result.origin),
        reason=result.reason,
        content=result.content,
        draft=" ".join(drafts),
        seconds=round(time.monotonic() - began, 2),
        score=result.meta.quality_score,
    )


def measure(outcomes: Sequence[Outcome]) -> GateFigures:
    """Count what the gate asks for.

    Args:
        outcomes: of all wishes; those that are not live have nothing right.
    """
    named, counted = [], []
    words: list[tuple[str, bool]] = []
    sentences: Counter[str] = Counter()
    live = [each for each in outcomes if each.live]
    for each in outcomes:
        for expected in each.example.expect:
            right = (
                each.live and each.content is not None and is_met(expected, each.example.kind, each.content)
            )
            (counted if _is_counted(expected) else named).append(right)
    for each in live:
        own = set(_words(each.example.wish.lower()))
        said = list(texts(each.content))
        words += [(word, exists(word) or word in own) for text in said for word in _known_form(text)]
        sentences.update(
            {part for text in said for part in _SENTENCE.split(text) if len(part) >= _SENTENCE_LENGTH}
        )
    ((most, times),) = sentences.most_common(1) or [("", 0)]
    seconds = sorted(each.seconds for each in outcomes)
    return GateFigures(
        wishes=len(outcomes),
        live=_percent(len(live), len(outcomes)),
        named=_percent(sum(named), len(named)),
        named_of=len(named),
        counted=_percent(sum(counted), len(counted)),
        counted_of=len(counted),
        words=_percent(sum(known for _, known in words), len(words)),
        words_of=len(words),
        unknown=tuple(dict.fromkeys(word for word, known in words if not known)),
        repeated=_percent(times, len(live)),
        repeated_text=most,
        seconds_median=seconds[len(seconds) // 2],
        seconds_most=seconds[-1],
    )


def _is_counted(expected: Expectation) -> bool:
    return expected.count is not None


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+(?:['’][^\W\d_]+)?", text)


def _known_form(text: str) -> list[str]:
    """The words of a text in lower case, without names: what begins with a capital inside a sentence."""
    found: list[str] = []
    for match in re.finditer(r"[^\W\d_]+(?:['’][^\W\d_]+)?", text.replace("_", " ")):
        word = match[0]
        before = text[: match.start()].rstrip(" \"'“‘(")
        begins = not before or before[-1] in ".!?:;—-"
        if word[0].isupper() and not begins:
            continue
        found.append(word.lower())
    return found


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 1) if whole else 0.0
