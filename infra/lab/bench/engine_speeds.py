"""Tokens per second of several engines with the same weights, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from contracts.content.registry import CONTENTS
from infra.engine.engine import Engine
from infra.engine.task import Stats
from infra.lab.bench.gguf import Schema
from infra.lab.bench.report import columns
from infra.lab.bench.trial import Say
from infra.lab.bench.writers import BenchAnswer, Device, Others, Ours, timed

OURS: Final = "ours"
#: Requests at once.
AT: Final = (1, 4, 16)
#: Most tokens of a constrained answer for each of a plain one.
_LONGER: Final = 2
_SIMPLE: Final[Schema] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 40},
        "count": {"type": "integer", "minimum": 1, "maximum": 9},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 20}, "minItems": 2, "maxItems": 4},
        "open": {"type": "boolean"},
    },
    "required": ["name", "count", "tags", "open"],
    "additionalProperties": False,
}


class EnginePlan(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters of a measurement."""

    #: Most tokens of each plain answer.
    tokens: int
    rounds: int
    #: Requests at once, the most last.
    at: tuple[int, ...] = AT
    device: Device = "cpu"


class SpeedComparison:
    """Rounds that alternate between the engine and others; the best round of each counts.

    Args:
        name: of the model, for progress lines.
        engine: started.
        others: to compare it with.
        prompts: as many as there are requests at once.
        plan: what is measured.
        say: takes progress lines.
    """

    def __init__(
        self, name: str, engine: Engine, others: Others, prompts: list[list[int]], plan: EnginePlan, say: Say
    ) -> None:
        self._name = name
        self._engine = engine
        self._ours = Ours(engine)
        self._others = others
        self._prompts = prompts
        self._plan = plan
        self._say = say

    def plain(self) -> dict[str, Any]:
        """Speeds, ratios, tokens, equal texts and shares of the engine's time, for free text."""
        best, answers, shares = self._rounds((OURS, *self._others.names), self._plan.tokens, None, "free")
        return {
            **_speeds(best),
            "tokens": {
                who: {at: sum(one.tokens for one in written) for at, written in by_count.items()}
                for who, by_count in answers.items()
            },
            "same_text": {
                who: {at: _same(written, answers["generate"][at]) for at, written in by_count.items()}
                for who, by_count in answers.items()
                if who != "generate"
            },
            "time": shares,
        }

    def constrained(self) -> dict[str, Any]:
        """Speeds and ratios for answers that follow a schema, by schema; not every engine can."""
        able = (OURS, *(name for name in self._others.names if name in self._others.constrained))
        found: dict[str, Any] = {}
        for title, schema in {"simple": _SIMPLE, "layout": CONTENTS.schema("layout", None)}.items():
            best, _, _ = self._rounds(able, _LONGER * self._plan.tokens, schema, title)
            found[title] = _speeds(best)
        return found

    def _rounds(
        self, writers: Iterable[str], tokens: int, schema: Schema | None, title: str
    ) -> tuple[
        dict[str, dict[str, float]], dict[str, dict[str, list[BenchAnswer]]], dict[str, dict[str, float]]
    ]:
        writers = tuple(writers)
        best: dict[str, dict[str, float]] = {who: {} for who in writers}
        answers: dict[str, dict[str, list[BenchAnswer]]] = {who: {} for who in writers}
        shares: dict[str, dict[str, float]] = {}
        for who in writers:
            self._write(who, 1, 2, schema)
        for number in range(self._plan.rounds):
            for count in self._plan.at:
                at = str(count)
                for who in writers:
                    self._say(
                        f"{self._name}, {title}, round {number + 1} of {self._plan.rounds}, {count} at once: {who}"
                    )
                    before = msgspec.structs.asdict(self._engine.stats)
                    answers[who][at], taken = self._write(who, count, tokens, schema)
                    speed = sum(answer.tokens for answer in answers[who][at]) / taken
                    if speed > best[who].get(at, 0):
                        best[who][at] = speed
                        if who == OURS:
                            shares[at] = _shares(before, self._engine.stats, taken)
        return best, answers, shares

    def _write(
        self, who: str, count: int, tokens: int, schema: Schema | None
    ) -> tuple[list[BenchAnswer], float]:
        prompts = self._prompts[:count]
        if who == OURS:
            return timed(self._ours, prompts, tokens, schema)
        return self._others.write(who, prompts, tokens, schema)


def _speeds(best: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    return {
        "tokens_per_s": {
            who: {at: round(speed, 1) for at, speed in speeds.items()} for who, speeds in best.items()
        },
        "ratios": {
            who: {at: round(best[OURS][at] / speed, 2) for at, speed in speeds.items()}
            for who, speeds in best.items()
            if who != OURS
        },
    }


def _shares(before: Mapping[str, float], after: Stats, taken: float) -> dict[str, float]:
    """Where the wall time went; the rest is the engine's own Python."""
    parts = {
        part: (getattr(after, f"{part}_s") - before[f"{part}_s"]) / taken
        for part in ("forward", "sampling", "grammar")
    }
    return {part: round(share, 3) for part, share in {**parts, "rest": 1 - sum(parts.values())}.items()}


def _same(written: list[BenchAnswer], reference: list[BenchAnswer]) -> float:
    pairs = zip(written, reference, strict=True)
    return round(sum(mine.text == other.text for mine, other in pairs) / len(written), 3)


def table(figures: Mapping[str, Any]) -> str:
    """The speeds of each model side by side, each with the engine's ratio to it.

    Args:
        figures: what :func:`infra.lab.bench.engine.run` returns.
    """
    return "\n\n".join(
        f"{name}: {found['skipped']}" if "skipped" in found else f"{name}\n{_model(found)}"
        for name, found in figures["models"].items()
    )


def _model(found: Mapping[str, Any]) -> str:
    parts = {"free": found, **found["constrained"]}
    speeds = found["tokens_per_s"]
    heads = [(title, at) for title in parts for at in speeds[OURS]]
    rows = [("tokens/s (ratio of ours)", *(f"{title} @{at}" for title, at in heads))]
    rows += [
        (who, *(_cell(parts[title], who, at) for title, at in heads))
        for who, by_count in speeds.items()
        if not isinstance(by_count, str)
    ]
    absent = [f"{who} {why}" for who, why in speeds.items() if isinstance(why, str)]
    return "\n".join([columns(rows), *absent, *_bandwidth(found)])


def _bandwidth(found: Mapping[str, Any]) -> list[str]:
    if "share_of_bandwidth" not in found:
        return []
    read, share = found["weights_gb_per_token"], found["share_of_bandwidth"]
    whole = f"the {found['bandwidth_gb_per_s']:.0f} GB/s of {found['gpu']}"
    return [f"{OURS} @1 reads {read:.2f} GB of weights per token: {share:.0%} of {whole}"]


def _cell(part: Mapping[str, Any], who: str, at: str) -> str:
    if who not in part["tokens_per_s"]:
        return "-"
    speed = f"{part['tokens_per_s'][who][at]:.0f}"
    return speed if who == OURS else f"{speed} ({part['ratios'][who][at]:.2f})"
