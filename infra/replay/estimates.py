"""Estimate of what a replay costs: from the recorded usage of like requests, and how far earlier estimates were off."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import ColumnElement, Select, Subquery, and_, func, literal, or_, select, true, union_all

from contracts.result import Status
from contracts.scenes import MAX_BEATS, scene_id
from infra.stores.database import GENERATION_LOGS

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Row

    from contracts.lineage import StartStage
    from infra.replay.plans import PlannedItem

#: Latest successful requests of a kind that are looked at.
SAMPLE: Final = 1_000
#: The ends of the band, and what is likely, as shares of the recorded requests in their order.
LOW: Final = 0.1
LIKELY: Final = 0.5
HIGH: Final = 0.9
#: Widens the band: the sum of many differs from the recorded requests by more than they do from each other.
_MARGIN: Final = 0.1
#: The kind whose requests may have scenes, and what those that have them are called: they take more.
PLOT: Final = "plot"
PLOT_WITH_SCENES: Final = "plot with scenes"


class UsageBand(msgspec.Struct, frozen=True, kw_only=True):
    """An amount that is expected: what is likely, and the band that it should be in."""

    low: float = 0.0
    likely: float = 0.0
    high: float = 0.0

    def __add__(self, other: UsageBand) -> UsageBand:
        return UsageBand(
            low=self.low + other.low, likely=self.likely + other.likely, high=self.high + other.high
        )

    def times(self, count: int) -> UsageBand:
        """The band of as many requests."""
        return UsageBand(low=self.low * count, likely=self.likely * count, high=self.high * count)


class KindUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What one request of a kind takes."""

    #: Recorded requests.
    sample: int
    tokens: UsageBand
    #: Money; ``None``: no recorded request has a cost.
    money: UsageBand | None
    #: Seconds from request to result.
    seconds: UsageBand = UsageBand()


class ReplayEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay is expected to take."""

    #: Requests that models write.
    generated: int = 0
    #: Those of kinds without recorded usage: not part of the amounts.
    unknown: int = 0
    #: Recorded requests that it is made from.
    sample: int = 0
    tokens: UsageBand = UsageBand()
    #: ``None``: no recorded request has a cost.
    money: UsageBand | None = None
    #: Seconds from request to result of one request of the slowest kind.
    seconds: UsageBand = UsageBand()
    #: The most tokens that the calls of one request may take.
    most_tokens: int = 0
    #: By kind, what one request takes; plots with scenes are a kind of their own.
    kinds: dict[str, KindUsage] = {}


class _Body(msgspec.Struct, frozen=True):
    scenes: bool = False


def find_usage_kind(item: PlannedItem) -> str:
    """The kind whose recorded usage says what a request takes: that of a plot with scenes is another one."""
    if item.origin.kind != PLOT or b'"scenes"' not in item.body:
        return item.origin.kind
    # Accepted already: today's contracts can read it.
    return PLOT_WITH_SCENES if msgspec.json.decode(item.body, type=_Body).scenes else PLOT


def read_usage(connection: Connection, kinds: Iterable[str]) -> dict[str, KindUsage]:
    """What requests of some kinds have taken, by kind; a kind without recorded usage has no entry.

    Args:
        connection: to the database.
        kinds: content kinds, or :data:`PLOT_WITH_SCENES`.
    """
    found: dict[str, KindUsage] = {}
    for kind in sorted(set(kinds)):
        rows = connection.execute(_select_scenes() if kind == PLOT_WITH_SCENES else _select(kind)).all()
        if rows:
            found[kind] = _summarize(rows)
    return found


def list_suffixes() -> Subquery:
    """What follows a plot's id in those of its scenes, one row for each beat that a plot may have."""
    beats = (select(literal(scene_id("", beat)).label("suffix")) for beat in range(1, MAX_BEATS + 1))
    return union_all(*beats).subquery()


def _select(kind: str) -> Select[Any, Any, Any, Any]:
    """The latest successful requests of a kind: id, tokens, cost, milliseconds."""
    logs = GENERATION_LOGS.c
    stages = (logs.structuring_ms, logs.validate_repair_ms)
    # Those that started later say less than the whole; rows of earlier releases know the work of no stage.
    whole = or_(logs.freeform_gen_ms.is_not(None), and_(*(each.is_(None) for each in stages)))
    return (
        select(
            logs.request_id,
            _add_tokens(logs.prompt_tokens, logs.completion_tokens).label("tokens"),
            logs.cost,
            logs.latency_ms,
        )
        .where(logs.kind == kind, logs.status == str(Status.SUCCESS), logs.completion_tokens.is_not(None))
        .where(logs.shadow.is_(None), whole)
        .order_by(logs.ended_at_ms.desc())
        .limit(SAMPLE)
    )


def _select_scenes() -> Select[Any, Any, Any, Any]:
    """Those of the latest plots that have scenes, and what they took together with these."""
    plots, suffixes, logs = _select(PLOT).subquery(), list_suffixes(), GENERATION_LOGS.c
    of_scenes = _add_tokens(logs.prompt_tokens, logs.completion_tokens)
    return (
        select(
            plots.c.request_id,
            plots.c.tokens + func.sum(of_scenes),
            plots.c.cost + func.sum(func.coalesce(logs.cost, 0.0)),
            plots.c.latency_ms,
        )
        .select_from(plots.join(suffixes, true()))
        .join(GENERATION_LOGS, logs.request_id == plots.c.request_id + suffixes.c.suffix)
        .group_by(plots.c.request_id, plots.c.tokens, plots.c.cost, plots.c.latency_ms)
    )


def _add_tokens(prompt: ColumnElement[Any], completion: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.coalesce(prompt, 0) + func.coalesce(completion, 0)


def _summarize(rows: Sequence[Row[Any, Any, Any, Any]]) -> KindUsage:
    costs = [row[2] for row in rows if row[2] is not None]
    took = [row[3] / 1000 for row in rows if row[3] is not None]
    return KindUsage(
        sample=len(rows),
        tokens=make_band([row[1] for row in rows]),
        money=make_band(costs) if costs else None,
        seconds=make_band(took) if took else UsageBand(),
    )


def make_band(values: Sequence[float]) -> UsageBand:
    """The band of recorded amounts, with its margin."""
    ordered = sorted(values)
    low, likely, high = (_percentile(ordered, share) for share in (LOW, LIKELY, HIGH))
    return UsageBand(low=low * (1 - _MARGIN), likely=likely, high=high * (1 + _MARGIN))


def _percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that this share of all values does not exceed (nearest rank)."""
    return float(ordered[max(0, math.ceil(share * len(ordered)) - 1)])


def estimate(
    items: Sequence[PlannedItem], usage: Mapping[str, KindUsage], *, from_stage: StartStage | None = None
) -> ReplayEstimate:
    """What the requests that models write are expected to take.

    Recorded usage is of whole requests.  One that starts later takes no more than that, and may take nothing.

    Args:
        items: the items that models write.
        usage: what one request of each kind takes.
        from_stage: the first stage that works.
    """
    counts = Counter(find_usage_kind(each) for each in items)
    tokens, money, sample, unknown = UsageBand(), UsageBand(), 0, 0
    priced = False
    for kind, count in sorted(counts.items()):
        one = usage.get(kind)
        if one is None:
            unknown += count
            continue
        sample += one.sample
        tokens += one.tokens.times(count)
        if one.money is not None:
            priced, money = True, money + one.money.times(count)
    if from_stage is not None:
        # The recorded amounts do not tell the calls apart: they are the most that is likely.
        tokens, money = (UsageBand(likely=each.likely, high=each.high) for each in (tokens, money))
    if from_stage == "validate-repair":
        # Nothing, unless a document is asked for again.
        tokens, money = (UsageBand(high=each.high) for each in (tokens, money))
    return ReplayEstimate(
        generated=len(items),
        unknown=unknown,
        sample=sample,
        tokens=tokens,
        money=money if priced else None,
        seconds=max(
            (usage[kind].seconds for kind in counts if kind in usage),
            key=lambda each: each.high,
            default=UsageBand(),
        ),
        most_tokens=max((_find_most_tokens(each) for each in items), default=0),
        kinds=dict(usage),
    )


def _find_most_tokens(item: PlannedItem) -> int:
    # A scene's calls may take about as much as those of its plot.
    scenes = MAX_BEATS if find_usage_kind(item) == PLOT_WITH_SCENES else 0
    return item.max_tokens * (1 + scenes)


def find_high_tokens(estimate: ReplayEstimate) -> float:
    """Tokens that any one request may take: the top of the band of its kind, or all that its calls may."""
    unknown = [float(estimate.most_tokens)] if estimate.unknown or not estimate.kinds else []
    return max([each.tokens.high for each in estimate.kinds.values()] + unknown)


def find_past_error(pairs: Sequence[tuple[float, float]]) -> float | None:
    """How far what was likely was off on average, as a share of what came; ``None`` without earlier jobs.

    Args:
        pairs: likely and actual tokens of earlier jobs.
    """
    shares = [abs(likely - actual) / actual for likely, actual in pairs if actual]
    return sum(shares) / len(shares) if shares else None
