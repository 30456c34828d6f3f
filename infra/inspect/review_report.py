"""Report of reviews: mean scores, shares of good results and won pairs, by what the results were made with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any, Final

import msgspec
from sqlalchemy import Engine, and_, select

from contracts.result import SCRIPTED
from contracts.reviews import GOOD
from infra.inspect import experiment_math as math
from infra.inspect.experiment_math import Interval, UnitResults
from infra.inspect.filter_conditions import build_conditions
from infra.inspect.request_filter import RequestFilter
from infra.inspect.review_agreement import Key, ReviewerAgreement, measure_agreement, measure_judge
from infra.inspect.review_contents import read_judged, read_rating
from infra.inspect.review_grouping import ReviewGrouping
from infra.stores.database import GENERATIONS, reading
from infra.stores.review_tables import REVIEWS
from infra.stores.reviews import SCORED, StoredReview, to_review

#: Results that each group needs before one is called better.
LEAST_RESULTS: Final = 20
#: Probability that groups that do not differ are called different, over all comparisons of a report.
ERROR: Final = 0.05
#: Scores that a report reads, the latest ones.
MOST_SCORES: Final = 50_000
#: Of results that name nothing.
NONE: Final = "none"


class ScoredResult(msgspec.Struct, frozen=True, kw_only=True):
    """One score, and what its result was made with."""

    review: StoredReview
    groups: Mapping[ReviewGrouping, str]
    judged: float | None
    #: Rating that held for the request.
    rating: str = "sfw"
    #: ``provider/model``; ``None``: a test double.
    writer: str | None = None


class ReviewedGroup(msgspec.Struct, frozen=True, kw_only=True):
    """The scores of one prompt version, model, node, kind or arm."""

    name: str
    results: int
    scores: int
    mean: float
    #: Share of scores of at least :data:`contracts.reviews.GOOD`, with its interval of 95 %.
    good: Interval
    #: Pairs against other groups.
    won: int
    lost: int
    tied: int
    #: Tags, the most frequent first.
    tags: tuple[tuple[str, int], ...]


class ReviewReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the reviews say."""

    by: str
    scores: int
    results: int
    reviewers: int
    #: Scores that were given once more after the writer had been shown.
    revealed: int
    #: There are more scores; these are the latest.
    cut: bool
    #: Results that each group needs before one is called better.
    least: int
    groups: tuple[ReviewedGroup, ...]
    #: The group whose results are good more often than those of every other.
    winner: str | None
    sentence: str
    agreement: ReviewerAgreement
    judge: ReviewerAgreement


class _Result(msgspec.Struct):
    meta: dict[str, Any] = {}


class _End(msgspec.Struct):
    result: _Result


class _Record(msgspec.Struct):
    """Of a record only what a report needs."""

    end: _End | None = None


_decode: Final = msgspec.json.Decoder(_Record).decode


def read_report(engine: Engine, by: ReviewGrouping, where: RequestFilter) -> ReviewReport:
    """Read all scores of results that match.

    Args:
        engine: the audit's database.
        by: what the results are grouped by.
        where: which results.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    return make_report(read_scores(engine, where), by)


def read_scores(engine: Engine, where: RequestFilter) -> list[ScoredResult]:
    """The latest scores of results that match, the oldest first; of shadows too.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    row, review = GENERATIONS.c, REVIEWS.c
    joined = and_(row.request_id == review.request_id, row.life_ms == review.life_ms)
    with reading(engine) as connection:
        shown = msgspec.structs.replace(where, shadows=True)
        conditions = build_conditions(shown, dialect=connection.dialect.name)
        query = (
            select(REVIEWS, row.prompt_version, row.model, row.node_id, row.record)
            .join(GENERATIONS, joined)
            .where(review.state == SCORED, *conditions)
            .order_by(review.ended_ms.desc(), review.number.desc())
            .limit(MOST_SCORES)
        )
        found = [_scored(dict(each)) for each in connection.execute(query).mappings()]
    return found[::-1]


def _scored(row: dict[str, Any]) -> ScoredResult:
    version, model, node = row.pop("prompt_version"), row.pop("model"), row.pop("node_id")
    end = _decode(row.pop("record")).end
    meta = end.result.meta if end else {}
    arm: dict[str, Any] = meta.get("experiment") or {}
    review = to_review(row)
    groups = {
        ReviewGrouping.PROMPT_VERSION: version or NONE,
        ReviewGrouping.MODEL: model or NONE,
        ReviewGrouping.NODE: node or NONE,
        ReviewGrouping.KIND: review.kind,
        ReviewGrouping.ARM: f"{arm['name']}/{arm['arm']}" if arm else NONE,
    }
    provider = meta.get("provider")
    return ScoredResult(
        review=review,
        groups=groups,
        judged=read_judged(meta),
        rating=read_rating(meta),
        writer=None if provider in (SCRIPTED, None) else f"{provider}/{model}",
    )


def make_report(scored: Sequence[ScoredResult], by: ReviewGrouping) -> ReviewReport:
    """The report of some scores.

    Args:
        scored: the scores; of one reviewer at most one for each result.
        by: what the results are grouped by.
    """
    groups: dict[str, list[ScoredResult]] = defaultdict(list)
    for each in scored:
        groups[each.groups[by]].append(each)
    pairs = _count_pairs(scored, by)
    found = tuple(
        sorted(
            (_group(name, members, pairs) for name, members in groups.items()),
            key=lambda each: (-each.mean, each.name),
        )
    )
    rates = {name: _units(members) for name, members in groups.items()}
    winner = _find_winner(rates)
    triples = [(each.review.reviewer, _key(each), each.review.score or 0) for each in scored]
    judged = {_key(each): each.judged for each in scored if each.judged is not None}
    return ReviewReport(
        by=by,
        scores=len(scored),
        results=len({_key(each) for each in scored}),
        reviewers=len({each.review.reviewer for each in scored}),
        revealed=sum(each.review.revealed for each in scored),
        cut=len(scored) >= MOST_SCORES,
        least=LEAST_RESULTS,
        groups=found,
        winner=winner,
        sentence=_say(found, by, winner),
        agreement=measure_agreement(triples),
        judge=measure_judge(triples, judged),
    )


def _key(each: ScoredResult) -> Key:
    return each.review.request_id, each.review.life_ms


def _units(members: Iterable[ScoredResult]) -> dict[str, UnitResults]:
    """Scores of one result resemble each other: the result is the unit."""
    units: dict[str, UnitResults] = defaultdict(UnitResults)
    for each in members:
        unit = units["{} {}".format(*_key(each))]
        unit.results += 1
        unit.successes += (each.review.score or 0) >= GOOD
    return units


def _group(name: str, members: Sequence[ScoredResult], pairs: Mapping[str, list[int]]) -> ReviewedGroup:
    units = _units(members)
    tags: dict[str, int] = defaultdict(int)
    for each in members:
        for tag in each.review.tags:
            tags[tag] += 1
    won, lost, tied = pairs.get(name, [0, 0, 0])
    return ReviewedGroup(
        name=name,
        results=len(units),
        scores=len(members),
        mean=fmean(each.review.score or 0 for each in members),
        good=math.measure_rate(units, ERROR),
        won=won,
        lost=lost,
        tied=tied,
        tags=tuple(sorted(tags.items(), key=lambda each: (-each[1], each[0]))),
    )


def _count_pairs(scored: Sequence[ScoredResult], by: ReviewGrouping) -> dict[str, list[int]]:
    """Pairs won, lost and tied against other groups, by group."""
    items: dict[tuple[str, str], list[ScoredResult]] = defaultdict(list)
    for each in scored:
        if each.review.paired:
            items[each.review.reviewer, each.review.item].append(each)
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for sides in items.values():
        # One side may be purged, or not match the filter.
        if len(sides) != 2 or sides[0].groups[by] == sides[1].groups[by]:  # noqa: PLR2004 - two sides
            continue
        for own, other in (sides, sides[::-1]):
            difference = (own.review.score or 0) - (other.review.score or 0)
            counts[own.groups[by]][0 if difference > 0 else 1 if difference < 0 else 2] += 1
    return counts


def _find_winner(rates: Mapping[str, Mapping[str, UnitResults]]) -> str | None:
    """The group that is good more often than every other with enough results; Bonferroni over all pairs."""
    enough = {name: units for name, units in rates.items() if len(units) >= LEAST_RESULTS}
    comparisons = len(enough) * (len(enough) - 1) // 2
    if not comparisons:
        return None
    measured = {name: math.measure_rate(units, ERROR / comparisons) for name, units in enough.items()}

    def beats(one: str, other: str) -> bool:
        return math.compare_rates(measured[one], measured[other]).low > 0

    return next(
        (name for name in enough if all(beats(name, other) for other in enough if other != name)), None
    )


def _say(groups: Sequence[ReviewedGroup], by: ReviewGrouping, winner: str | None) -> str:
    what = by.replace("_", " ")
    if not groups:
        return "Nothing is reviewed yet."
    if len(groups) == 1:
        return f"All results are of one {what}, so there is nothing to compare."
    few = [each for each in groups if each.results < LEAST_RESULTS]
    if winner is not None:
        also = f" Too few results for a verdict: {', '.join(each.name for each in few)}." if few else ""
        return f"{winner} is good more often than every other {what} with at least {LEAST_RESULTS} results.{also}"
    if len(groups) - len(few) < 2:  # noqa: PLR2004 - a comparison has two
        told = ", ".join(f"{each.name} {each.results:,}" for each in few)
        return f"Too few results for a verdict: {told} of {LEAST_RESULTS}."
    return f"No {what} is good more often than every other."
