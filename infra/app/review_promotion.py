"""Promotion: a reviewed result becomes a golden sample, which stands in when generation fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Final

import msgspec
from pydantic import ValidationError

from contracts.errors import UnderstudyError
from contracts.result import SCRIPTED, Origin
from contracts.reviews import PERSONAL
from infra.inspect.review_contents import ReviewedResult, find_content
from infra.settings import shipped
from infra.stores import reviews, sample_files, samples, word_lists
from infra.stores.samples import PromotedFrom, Sidecar

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from infra.settings.review import ReviewSettings
    from infra.settings.settings import Settings
    from infra.stores.reviews import StoredReview

#: Stages read the samples when they start.
NEXT: Final = "it stands in once the stage fallback is started again"
#: Shortest id of a person that is looked for in a content.
_SHORTEST: Final = 3
_HASH_DIGITS: Final = 12


class PromotionRefused(UnderstudyError):  # noqa: N818 - names what is done with it
    """A result that must not become a golden sample; the text has every reason."""


class ScoreSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The scores of one content."""

    mean: float
    lowest: int
    reviewers: int
    tags: tuple[str, ...]


class PromotedResult(msgspec.Struct, frozen=True, kw_only=True):
    """A golden sample that was made from a result."""

    request_id: str
    #: File name.
    name: str
    #: Folder of the file and its sidecar.
    folder: str
    kind: str
    rating: str
    tags: tuple[str, ...]
    #: SHA-256 of the content.
    hash: str
    mean_score: float
    reviewers: int
    #: What is to be done so that it stands in.
    next: str = NEXT


def summarise(scores: Sequence[StoredReview]) -> ScoreSummary | None:
    """The scores of one content; ``None``: there are none."""
    given = [each.score for each in scores if each.score is not None]
    if not given:
        return None
    return ScoreSummary(
        mean=fmean(given),
        lowest=min(given),
        reviewers=len({each.reviewer for each in scores}),
        tags=tuple(tag for tag, _ in Counter(tag for each in scores for tag in each.tags).most_common()),
    )


def find_faults(summary: ScoreSummary | None, limits: ReviewSettings) -> list[str]:
    """Why scores are not good enough for a golden sample, and what would be; empty: they are."""
    if summary is None:
        return [
            f"nobody has scored it; it needs scores of {limits.promote_min_reviews} (review.promote_min_reviews)"
        ]
    found: list[str] = []
    if summary.reviewers < limits.promote_min_reviews:
        found.append(
            f"it has scores of {summary.reviewers} and needs those of {limits.promote_min_reviews} "
            "(review.promote_min_reviews)"
        )
    if summary.mean < limits.promote_min_score:
        found.append(
            f"its mean score is {summary.mean:.2f}; it needs {limits.promote_min_score:g} (review.promote_min_score)"
        )
    if summary.lowest < limits.promote_lowest_score:
        found.append(
            f"a reviewer gave it {summary.lowest}; nobody may have given less than {limits.promote_lowest_score} "
            "(review.promote_lowest_score)"
        )
    if PERSONAL in summary.tags:
        found.append(f"a reviewer marked it {PERSONAL}: it names a person or has a secret")
    return found


def promote(
    engine: Engine,
    settings: Settings,
    request_id: str,
    *,
    name: str | None = None,
    tags: Sequence[str] = (),
    folder: Path | None = None,
    dry_run: bool = False,
) -> PromotedResult:
    """Write a reviewed result as a golden sample, with its sidecar; it must pass ``samples check``.

    Args:
        engine: the audit's database.
        settings: this process's settings.
        request_id: the request; of several with this id the latest.
        name: of the sample, without ``sample_``; by default its kind and digits of its hash.
        tags: what it is found by, beside the tags of its request.
        folder: where it is written; by default the folder of the settings.
        dry_run: check everything; write nothing.

    Raises:
        PromotionRefused: it must not stand in; every reason is named.
        SampleRefused: it does not pass the check, or cannot be written.
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    where = folder or settings.samples_dir
    found = find_content(engine, request_id)
    if found is None:
        raise PromotionRefused(
            f"{request_id} cannot become a golden sample: the audit has no content of a model for it. Stand-ins, "
            "placeholders, results without content, results above 64 KiB, and all results where audit.store_prompts is "
            "off have none"
        )
    summary = summarise(reviews.list_scores(engine, found.content_hash))
    faults = [*find_faults(summary, settings.review), *_find_content_faults(found, settings, where)]
    if faults or summary is None:
        raise PromotionRefused(f"{request_id} cannot become a golden sample: {'; '.join(faults)}")
    sidecar = _make_sidecar(found, summary, tags)
    try:
        checked = sample_files.add_sample(
            where,
            name or f"{found.kind}_{found.content_hash[:_HASH_DIGITS]}",
            found.kind,
            found.content,
            sidecar,
            dry_run=dry_run,
        )
    except sample_files.SampleRefused as error:
        raise PromotionRefused(f"{request_id} cannot become a golden sample: {error}") from None
    return PromotedResult(
        request_id=request_id,
        name=checked.file,
        folder=str(where),
        kind=found.kind,
        rating=str(sidecar.rating),
        tags=checked.tags,
        hash=found.content_hash,
        mean_score=sidecar.promoted_from.mean_score if sidecar.promoted_from else summary.mean,
        reviewers=summary.reviewers,
    )


def _make_sidecar(found: ReviewedResult, summary: ScoreSummary, tags: Sequence[str]) -> Sidecar:
    writer = f"{found.provider}/{found.model}"
    try:
        return Sidecar(
            tags=tuple(dict.fromkeys((*found.tags, *tags))),
            rating=found.rating,
            author=writer,
            promoted_from=PromotedFrom(
                request=found.request_id,
                generated_for=found.generated_for,
                writer=writer,
                mean_score=round(summary.mean, 2),
                reviewers=summary.reviewers,
            ),
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise PromotionRefused(f"{found.request_id}: {where}: {first['msg']}") from None


def _find_content_faults(found: ReviewedResult, settings: Settings, folder: Path) -> list[str]:
    faults: list[str] = []
    if found.origin == Origin.SCRIPTED or found.provider in (SCRIPTED, None):
        faults.append("the scripted provider wrote it, not a model: it is a test double")
    above = word_lists.load(settings.rating_words).above(found.content, found.rating)
    if above:
        faults.append(
            f"{above[0].path or 'its text'} has {above[0].what}, which needs the rating {above[0].needs}; the result is "
            f"{found.rating}"
        )
    text = msgspec.json.encode(found.content).decode()
    if any(len(each) >= _SHORTEST and each in text for each in found.persons):
        faults.append("its text has the id of its player or playthrough")
    if folder == shipped.SAMPLES and shipped.INSTALLED:
        faults.append(
            f"{folder} is the package's own folder, which the next release replaces: copy it, and set samples_dir to the "
            "copy"
        )
    elif not folder.is_dir():
        faults.append(f"{folder} is not a folder; make it, or name another one")
    else:
        faults += [
            f"{each.file} has the same content"
            for place in dict.fromkeys((folder, *settings.sample_folders))
            for each in (samples.check(place) if place.is_dir() else ())
            if each.hash == found.content_hash
        ]
    return faults
