"""Reviews in the database: items that reviewers have open, their scores, and the undo of the last one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Engine, delete, insert, select, update
from sqlalchemy.engine import Connection

from contracts.errors import UnderstudyError
from contracts.reviews import ReviewScore
from infra.stores import database
from infra.stores.review_tables import REVIEWS

OPEN: Final = "open"
SCORED: Final = "scored"
SKIPPED: Final = "skipped"

_row: Final = REVIEWS.c


class ReviewUnknown(UnderstudyError):  # noqa: N818 - names what is missing
    """Nothing of this reviewer has that name."""


class ReviewConflict(UnderstudyError):  # noqa: N818 - names a state
    """The item has been scored or skipped already, otherwise than now."""


class ReviewRefused(UnderstudyError):  # noqa: N818 - names what is done with it
    """Scores that do not fit the item; the text says what to give."""


class ReviewTarget(msgspec.Struct, frozen=True, kw_only=True):
    """A result that somebody reviews."""

    request_id: str
    life_ms: int
    kind: str
    workspace: str | None
    content_hash: str


class StoredReview(ReviewTarget, frozen=True, kw_only=True):
    """What one reviewer says about one result."""

    number: int
    #: What was shown at once.
    item: str
    #: 0: alone or on the left; 1: on the right.
    side: int
    paired: bool
    reviewer: str
    #: Digest of the filter that it was asked for with.
    asked: str
    #: ``open``, ``scored`` or ``skipped``.
    state: str
    #: Milliseconds since the epoch.
    opened_ms: int
    ended_ms: int | None
    #: 1 to 5; ``None`` unless it is scored.
    score: int | None
    tags: tuple[str, ...] = ()
    note: str | None = None
    #: Its writer was shown before it was scored.
    revealed: bool = False


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What a reviewer has scored or skipped."""

    reviewer: str
    #: Hashes of contents.
    contents: frozenset[str]
    #: Items scored.
    scored: int


def find_open(engine: Engine, reviewer: str, asked: str) -> list[StoredReview]:
    """The item that a reviewer has open for a filter, side by side; empty: none.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    with database.reading(engine) as connection:
        found = _read(connection, _row.reviewer == reviewer, _row.state == OPEN, _row.asked == asked)
    return [each for each in found if each.item == found[-1].item]


def find_item(engine: Engine, reviewer: str, item: str, *, workspace: str | None) -> list[StoredReview]:
    """An item of a reviewer, side by side.

    Args:
        engine: the database.
        reviewer: whose.
        item: its name.
        workspace: the only one whose results count; ``None``: all.

    Raises:
        ReviewUnknown: there is none.
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    with database.reading(engine) as connection:
        return _find(connection, reviewer, item, workspace)


def find_seen(engine: Engine, reviewer: str) -> Seen:
    """What a reviewer has scored or skipped.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    query = select(_row.content_hash, _row.item, _row.state)
    with database.reading(engine) as connection:
        rows = connection.execute(query.where(_row.reviewer == reviewer, _row.state != OPEN)).all()
    return Seen(
        reviewer=reviewer,
        contents=frozenset(each.content_hash for each in rows),
        scored=len({each.item for each in rows if each.state == SCORED}),
    )


def open_item(
    engine: Engine, reviewer: str, asked: str, item: str, targets: Sequence[ReviewTarget], *, now_ms: int
) -> None:
    """Open an item for a reviewer, in place of what else is open for that reviewer.

    Args:
        engine: the database.
        reviewer: who looks at it.
        asked: digest of the filter.
        item: its name; one that the reviewer has open already stays as it is.
        targets: one result, or the left one and the right one.
        now_ms: milliseconds since the epoch.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be changed.
    """
    with database.writing(engine) as connection:
        if _read(connection, _row.reviewer == reviewer, _row.item == item):
            return
        connection.execute(delete(REVIEWS).where(_row.reviewer == reviewer, _row.state == OPEN))
        for side, each in enumerate(targets):
            values: dict[str, Any] = msgspec.structs.asdict(each) | {
                "item": item,
                "side": side,
                "paired": len(targets) > 1,
                "reviewer": reviewer,
                "asked": asked,
                "state": OPEN,
                "opened_ms": now_ms,
                "revealed": False,
            }
            connection.execute(insert(REVIEWS), values)


def decide(
    engine: Engine,
    reviewer: str,
    item: str,
    scores: Sequence[ReviewScore] | None,
    *,
    workspace: str | None,
    now_ms: int,
) -> list[StoredReview]:
    """Score an item or skip it; the same once more changes nothing.

    Args:
        engine: the database.
        reviewer: who decides.
        item: its name.
        scores: one for each side; ``None``: it is skipped.
        workspace: the only one whose results count; ``None``: all.
        now_ms: milliseconds since the epoch.

    Returns:
        the item as it is now, side by side.

    Raises:
        ReviewUnknown: the reviewer has no such item.
        ReviewRefused: there are more scores or fewer than sides.
        ReviewConflict: it is decided already, otherwise.
        sqlalchemy.exc.SQLAlchemyError: the database cannot be changed.
    """
    with database.writing(engine) as connection:
        found = _find(connection, reviewer, item, workspace)
        if scores is not None and len(scores) != len(found):
            raise ReviewRefused(
                f"item {item} has {len(found)} {'contents' if len(found) > 1 else 'content'}: give "
                f"{'a score for each side' if len(found) > 1 else 'one score'}"
            )
        wanted = [_outcome(each) for each in scores or [None] * len(found)]
        if found[0].state != OPEN:
            if [_outcome_of(each) for each in found] == wanted:
                return found
            raise ReviewConflict(f"item {item} is {found[0].state} already; undo it first")
        for each, outcome in zip(found, wanted, strict=True):
            change = update(REVIEWS).where(_row.number == each.number)
            connection.execute(change.values(**outcome, ended_ms=now_ms))
        return _find(connection, reviewer, item, workspace)


def undo(engine: Engine, reviewer: str, *, workspace: str | None) -> list[StoredReview]:
    """Open the item again that a reviewer scored or skipped last; its scores are removed.

    Args:
        engine: the database.
        reviewer: whose.
        workspace: the only one whose results count; ``None``: all.

    Returns:
        the item, side by side.

    Raises:
        ReviewUnknown: there is nothing to undo.
        sqlalchemy.exc.SQLAlchemyError: the database cannot be changed.
    """
    with database.writing(engine) as connection:
        own = _row.reviewer == reviewer
        latest = select(_row.item, _row.state).where(own, _row.state != OPEN)
        if workspace is not None:
            latest = latest.where(_row.workspace == workspace)
        last = connection.execute(latest.order_by(_row.ended_ms.desc(), _row.number.desc()).limit(1)).first()
        if last is None:
            raise ReviewUnknown(f"{reviewer} has scored and skipped nothing that could be undone")
        connection.execute(delete(REVIEWS).where(own, _row.state == OPEN))
        values: dict[str, Any] = {"state": OPEN, "score": None, "tags": None, "note": None, "ended_ms": None}
        if last.state == SCORED:
            values["revealed"] = True
        connection.execute(update(REVIEWS).where(own, _row.item == last.item).values(**values))
        return _find(connection, reviewer, last.item, workspace)


def list_scores(engine: Engine, content_hash: str, *, workspace: str | None = None) -> list[StoredReview]:
    """The scores of a content, whichever request it answered, the oldest first.

    Args:
        engine: the database.
        content_hash: SHA-256 of the canonical content.
        workspace: the only one whose results count; ``None``: all.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    conditions = [_row.content_hash == content_hash, _row.state == SCORED]
    if workspace is not None:
        conditions.append(_row.workspace == workspace)
    with database.reading(engine) as connection:
        return _read(connection, *conditions)


def _find(connection: Connection, reviewer: str, item: str, workspace: str | None) -> list[StoredReview]:
    found = _read(connection, _row.reviewer == reviewer, _row.item == item)
    if not found or (workspace is not None and any(each.workspace != workspace for each in found)):
        raise ReviewUnknown(
            f"{reviewer} has no item {item}; `understudy review next` opens the next one, and closes what is open"
        )
    return found


def _read(connection: Connection, *conditions: Any) -> list[StoredReview]:
    query = select(REVIEWS).where(*conditions).order_by(_row.number)
    return [to_review(row) for row in connection.execute(query).mappings()]


def to_review(row: Any) -> StoredReview:
    """The review in a row of the table."""
    values = dict(row)
    tags: list[str] = msgspec.json.decode(values.pop("tags") or "[]")
    return StoredReview(**values, tags=tuple(tags))


def _outcome(score: ReviewScore | None) -> dict[str, Any]:
    if score is None:
        return {"state": SKIPPED, "score": None, "tags": None, "note": None}
    return {
        "state": SCORED,
        "score": score.score,
        "tags": msgspec.json.encode(score.tags).decode(),
        "note": _storable(score.note or "") or None,
    }


def _storable(text: str) -> str:
    # PostgreSQL refuses NUL, and UTF-8 has no half of a surrogate pair.
    return text.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")


def _outcome_of(review: StoredReview) -> dict[str, Any]:
    tags = msgspec.json.encode(review.tags).decode() if review.state == SCORED else None
    return {"state": review.state, "score": review.score, "tags": tags, "note": review.note}
