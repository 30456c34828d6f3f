"""Review for every door of the pipeline: the next item, its scores, their undo, and what is shown after them."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any, Final

import msgspec

from contracts.policy import fingerprint
from contracts.reviews import MAX_REVIEWER, ReviewMode
from infra.inspect.review_contents import find_content
from infra.inspect.review_queue import name_item, pick_next, put_on_sides
from infra.stores import reviews
from infra.stores.reviews import OPEN, SCORED, ReviewRefused, ReviewTarget, StoredReview

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from contracts.reviews import ReviewScore
    from infra.inspect.request_filter import RequestFilter
    from infra.inspect.review_contents import ReviewedResult


def read_user_name() -> str:
    """This machine's user, who reviews where nobody is named."""
    try:
        return getpass.getuser()[:MAX_REVIEWER]
    except (OSError, KeyError):
        # A container's user without a name.
        return "local"


class ReviewedContent(msgspec.Struct, frozen=True, kw_only=True):
    """What a reviewer sees of a result; nothing of what wrote it, and no id that leads there."""

    #: What the request asks for; ``None``: the audit does not keep it.
    wish: str | None
    content: Any


class ReviewItem(msgspec.Struct, frozen=True, kw_only=True):
    """What a reviewer scores at once."""

    item: str
    mode: ReviewMode
    kind: str
    #: One, or left and right.
    sides: tuple[ReviewedContent, ...]
    #: What wrote it has been shown: an earlier score was undone.
    revealed: bool


class ReviewQueue(msgspec.Struct, frozen=True, kw_only=True):
    """The next item, and how much there is."""

    #: ``None``: nothing is left that matches.
    item: ReviewItem | None
    reviewer: str
    #: Results that wait for this reviewer, of the newest that match.
    waiting: int
    #: Results passed over because the audit does not have their content.
    gone: int
    #: Items that this reviewer has scored.
    scored: int


class RevealedSide(msgspec.Struct, frozen=True, kw_only=True):
    """What a scored content was."""

    request_id: str
    score: int | None
    tags: tuple[str, ...]
    note: str | None
    origin: str | None = None
    provider: str | None = None
    model: str | None = None
    prompt_version: str | None = None
    node: str | None = None
    #: ``name/arm`` of its experiment.
    arm: str | None = None
    #: Money; ``None``: not known.
    cost: float | None = None
    #: Mean of the scores of others, and how many they are.
    others_mean: float | None = None
    others: int = 0
    #: Score of an automatic judge; ``None``: it has judged nothing.
    judged: float | None = None


class ReviewOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """An item that is scored or skipped; only scored ones are revealed."""

    item: str
    state: str
    #: ``left``, ``right`` or ``tie``; ``None``: it is no pair.
    preferred: str | None
    sides: tuple[RevealedSide, ...]


class ReviewDesk:
    """Review of one reviewer; every method blocks.

    Args:
        engine: the audit's database, with its tables.
        reviewer: who reviews.
        workspace: the only one whose results count; ``None``: all.
    """

    def __init__(self, engine: Engine, reviewer: str, *, workspace: str | None = None) -> None:
        self._engine = engine
        self._reviewer = reviewer
        self._workspace = workspace

    def next(
        self, where: RequestFilter, mode: ReviewMode, *, seed: str | None = None, now_ms: int
    ) -> ReviewQueue:
        """The item that is open for this filter, else the next one of the queue, which is opened.

        Args:
            where: which results.
            mode: alone or in pairs.
            seed: draws the order; ``None``: newest first.
            now_ms: milliseconds since the epoch.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database cannot be read or changed.
        """
        asked = fingerprint.digest([msgspec.to_builtins(where), mode, seed])
        seen = reviews.find_seen(self._engine, self._reviewer)
        picked = pick_next(self._engine, where, mode, seen, seed=seed)
        item = self._show(reviews.find_open(self._engine, self._reviewer, asked))
        if item is None and picked.results:
            name = name_item(self._reviewer, picked.results)
            found = put_on_sides(name, picked.results)
            targets = [_target(each) for each in found]
            reviews.open_item(self._engine, self._reviewer, asked, name, targets, now_ms=now_ms)
            item = _show(name, found, revealed=False)
        return ReviewQueue(
            item=item,
            reviewer=self._reviewer,
            waiting=picked.waiting,
            gone=picked.gone,
            scored=seen.scored,
        )

    def find_side(self, item: str, side: int) -> ReviewedResult:
        """The content on one side of an item of this reviewer.

        Raises:
            ReviewUnknown: there is no such item or side, or its content is gone.
            sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
        """
        rows = reviews.find_item(self._engine, self._reviewer, item, workspace=self._workspace)
        found = self._content(rows[side]) if side < len(rows) else None
        if found is None:
            raise reviews.ReviewUnknown(f"item {item} has no content on side {side}")
        return found

    def decide(
        self, item: str, scores: Sequence[ReviewScore] | None, *, keeps_words: bool, now_ms: int
    ) -> ReviewOutcome:
        """Score an item or skip it, and show what it was; the same once more changes nothing.

        Args:
            item: its name.
            scores: one for each side; ``None``: it is skipped.
            keeps_words: whether notes are kept (``audit.store_prompts``).
            now_ms: milliseconds since the epoch.

        Raises:
            ReviewUnknown: the reviewer has no such item.
            ReviewRefused: more scores or fewer than sides, or a note where none is kept.
            ReviewConflict: it is decided already, otherwise.
            sqlalchemy.exc.SQLAlchemyError: the database cannot be changed.
        """
        if not keeps_words and any(each.note for each in scores or ()):
            raise ReviewRefused(
                "a note may quote what people or models wrote, which is not kept (audit.store_prompts is off); leave it "
                "out, and use tags"
            )
        rows = reviews.decide(
            self._engine, self._reviewer, item, scores, workspace=self._workspace, now_ms=now_ms
        )
        revealed = rows[0].state == SCORED
        sides = tuple(self._reveal(each) for each in rows) if revealed else ()
        return ReviewOutcome(item=item, state=rows[0].state, preferred=_prefer(rows), sides=sides)

    def undo(self) -> ReviewItem:
        """Open the item again that was scored or skipped last.

        Raises:
            ReviewUnknown: there is none, or its content is gone.
            sqlalchemy.exc.SQLAlchemyError: the database cannot be changed.
        """
        rows = reviews.undo(self._engine, self._reviewer, workspace=self._workspace)
        found = self._show(rows)
        if found is None:
            raise reviews.ReviewUnknown(f"the score is undone; the content of item {rows[0].item} is gone")
        return found

    def _show(self, rows: Sequence[StoredReview]) -> ReviewItem | None:
        """An open item; ``None``: there is none, or a content of it is gone."""
        found = [content for each in rows if (content := self._content(each)) is not None]
        if not rows or len(found) < len(rows) or rows[0].state != OPEN:
            return None
        return _show(rows[0].item, found, revealed=rows[0].revealed)

    def _content(self, row: StoredReview) -> ReviewedResult | None:
        return find_content(self._engine, row.request_id, row.life_ms, workspace=self._workspace)

    def _reveal(self, row: StoredReview) -> RevealedSide:
        scores = reviews.list_scores(self._engine, row.content_hash, workspace=self._workspace)
        others = [each.score for each in scores if each.reviewer != self._reviewer and each.score is not None]
        own = RevealedSide(
            request_id=row.request_id,
            score=row.score,
            tags=row.tags,
            note=row.note,
            others_mean=fmean(others) if others else None,
            others=len(others),
        )
        found = self._content(row)
        if found is None:
            return own
        return msgspec.structs.replace(
            own,
            **{name: getattr(found, name) for name in _SHOWN},
        )


#: Facts of a result that are shown once it is scored.
_SHOWN: Final = ("origin", "provider", "model", "prompt_version", "node", "arm", "cost", "judged")


def _target(found: ReviewedResult) -> ReviewTarget:
    return ReviewTarget(**{name: getattr(found, name) for name in ReviewTarget.__struct_fields__})


def _show(item: str, found: Sequence[ReviewedResult], *, revealed: bool) -> ReviewItem:
    return ReviewItem(
        item=item,
        mode=ReviewMode.PAIR if len(found) > 1 else ReviewMode.SINGLE,
        kind=found[0].kind,
        sides=tuple(ReviewedContent(wish=each.wish, content=each.content) for each in found),
        revealed=revealed,
    )


def _prefer(rows: Sequence[StoredReview]) -> str | None:
    scores = [each.score for each in rows if each.score is not None]
    if len(scores) < 2:  # noqa: PLR2004 - a pair
        return None
    left, right = scores
    return "left" if left > right else "right" if right > left else "tie"
