"""Candidates: reviewed results that should become golden samples, and golden samples that reviewers find bad."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Final

import msgspec

from infra.app.review_promotion import find_faults, summarise
from infra.inspect.request_filter import RequestFilter
from infra.inspect.review_report import read_scores
from infra.stores import samples

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Engine

    from infra.inspect.review_report import ScoredResult
    from infra.settings.settings import Settings
    from infra.stores.samples import CheckedSample

#: Candidates that are listed.
MOST: Final = 50


class PromotionCandidate(msgspec.Struct, frozen=True, kw_only=True):
    """A reviewed result that is good enough."""

    request_id: str
    kind: str
    rating: str
    #: Golden samples of that kind and rating.
    samples: int
    mean_score: float
    reviewers: int
    #: What wrote it, as ``provider/model``.
    writer: str


class DoubtfulSample(msgspec.Struct, frozen=True, kw_only=True):
    """A golden sample whose content would not be promoted by its scores of today."""

    name: str
    kind: str
    #: The request that it was promoted from; ``None``: it is hand-made.
    request_id: str | None
    mean_score: float
    reviewers: int
    #: Why.
    reason: str


class ReviewCandidates(msgspec.Struct, frozen=True, kw_only=True):
    """What reviews say about the choice of golden samples."""

    #: Where samples are fewest first, then the best ones first.
    candidates: tuple[PromotionCandidate, ...]
    doubtful: tuple[DoubtfulSample, ...]


def find_candidates(engine: Engine, settings: Settings, where: RequestFilter) -> ReviewCandidates:
    """Find what to promote, and which samples to look at again.

    Args:
        engine: the audit's database.
        settings: this process's settings.
        where: which results.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    contents: dict[str, list[ScoredResult]] = defaultdict(list)
    for each in read_scores(engine, where):
        contents[each.review.content_hash].append(each)
    present = [
        each
        for folder in settings.sample_folders
        if folder.is_dir()
        for each in samples.check(folder)
        if each.ok and each.hash is not None and not each.file.startswith(samples.DEFAULTS)
    ]
    return ReviewCandidates(
        candidates=_find_good(contents, present, settings),
        doubtful=_find_doubtful(contents, present, settings),
    )


def _find_good(
    contents: dict[str, list[ScoredResult]], present: Sequence[CheckedSample], settings: Settings
) -> tuple[PromotionCandidate, ...]:
    counts = Counter((each.kind, each.rating) for each in present)
    hashes = {each.hash for each in present}
    found: list[PromotionCandidate] = []
    for digest, scored in contents.items():
        summary = summarise([each.review for each in scored])
        last = scored[-1]
        if (
            digest in hashes
            or last.writer is None
            or summary is None
            or find_faults(summary, settings.review)
        ):
            continue
        found.append(
            PromotionCandidate(
                request_id=last.review.request_id,
                kind=last.review.kind,
                rating=last.rating,
                samples=counts[last.review.kind, last.rating],
                mean_score=round(summary.mean, 2),
                reviewers=summary.reviewers,
                writer=last.writer,
            )
        )
    found.sort(key=lambda each: (each.samples, -each.mean_score, -each.reviewers, each.request_id))
    return tuple(found[:MOST])


def _find_doubtful(
    contents: dict[str, list[ScoredResult]], present: Sequence[CheckedSample], settings: Settings
) -> tuple[DoubtfulSample, ...]:
    promoted, _ = samples.find_promoted(*settings.sample_folders)
    sources = {each.name: each.source.request for each in promoted}
    found: list[DoubtfulSample] = []
    for each in present:
        summary = summarise([one.review for one in contents.get(each.hash or "", ())])
        faults = [] if summary is None else find_faults(summary, settings.review)
        if summary is None or not faults:
            continue
        found.append(
            DoubtfulSample(
                name=each.file,
                kind=each.kind or "",
                request_id=sources.get(each.file),
                mean_score=round(summary.mean, 2),
                reviewers=summary.reviewers,
                reason="; ".join(faults),
            )
        )
    return tuple(sorted(found, key=lambda each: (each.mean_score, each.name)))
