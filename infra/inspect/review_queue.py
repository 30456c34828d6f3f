"""Queue of reviews: which results a reviewer sees next, alone or in pairs that can be compared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
from sqlalchemy import ColumnElement, Engine, exists, func, select

from contracts.policy import fingerprint
from contracts.reviews import ReviewMode
from infra.inspect.filter_conditions import build_conditions
from infra.inspect.request_filter import RequestFilter
from infra.inspect.review_contents import ENDED, WRITTEN, ReviewedResult, find_content
from infra.stores.database import GENERATION_LOGS, GENERATIONS, reading
from infra.stores.review_tables import REVIEWS
from infra.stores.reviews import OPEN, SCORED, Seen

#: Results that are looked at, the newest ones that match.
WINDOW: Final = 2_000
#: Contents that are read to find the next item.
MOST_READ: Final = 200
_DIGITS: Final = 24
_row: Final = GENERATIONS.c
_logs: Final = GENERATION_LOGS.c


class QueuedResult(msgspec.Struct, frozen=True, kw_only=True):
    """A result that a reviewer has not seen."""

    request_id: str
    life_ms: int
    kind: str
    node: str | None
    input_hash: str | None
    #: What differs between results worth comparing: arm, prompt version, model.
    variant: tuple[str | None, ...]
    #: Scores that it has.
    scores: int

    @property
    def key(self) -> tuple[str, int]:
        """Its id, and which request with this id it is."""
        return self.request_id, self.life_ms


class QueuePick(msgspec.Struct, frozen=True, kw_only=True):
    """What comes next."""

    #: One result, or the left one and the right one; empty: nothing is left.
    results: tuple[ReviewedResult, ...]
    #: Results that wait for this reviewer, of those that were looked at.
    waiting: int
    #: Results passed over because the audit does not have their content.
    gone: int


def list_candidates(
    engine: Engine, where: RequestFilter, seen: Seen, *, seed: str | None
) -> list[QueuedResult]:
    """The results that a reviewer has not seen, in the order of the queue: fewest scores first, then newest.

    Args:
        engine: the audit's database.
        where: which results.
        seen: what the reviewer has scored or skipped.
        seed: draws the order of results with equally many scores, in place of newest first.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    columns = (
        _row.request_id,
        _row.life_ms,
        _row.kind,
        _row.node_id,
        _row.input_hash,
        _row.prompt_version,
        _row.model,
    )
    with reading(engine) as connection:
        conditions = build_conditions(where, dialect=connection.dialect.name)
        query = select(*columns).where(
            *conditions,
            _row.origin.in_(WRITTEN),
            _row.status.in_(ENDED),
            ~_decided_by(seen.reviewer),
        )
        query = query.order_by(_row.requested_at_ms.desc(), _row.request_id.desc()).limit(WINDOW)
        rows = connection.execute(query).all()
        ids = select(query.subquery().c.request_id)
        counts = select(REVIEWS.c.request_id, REVIEWS.c.life_ms, func.count()).where(
            REVIEWS.c.state == SCORED, REVIEWS.c.request_id.in_(ids)
        )
        scores = {
            (one, life): number
            for one, life, number in connection.execute(
                counts.group_by(REVIEWS.c.request_id, REVIEWS.c.life_ms)
            )
        }
        tried = select(_logs.request_id, _logs.life_ms, _logs.experiment, _logs.experiment_arm).where(
            _logs.experiment.is_not(None), _logs.request_id.in_(ids)
        )
        arms = {(one, life): f"{name}/{arm}" for one, life, name, arm in connection.execute(tried)}
    found = [
        QueuedResult(
            request_id=request_id,
            life_ms=life_ms,
            kind=kind,
            node=node,
            input_hash=input_hash,
            variant=(arms.get((request_id, life_ms)), *variant),
            scores=scores.get((request_id, life_ms), 0),
        )
        for request_id, life_ms, kind, node, input_hash, *variant in rows
    ]
    if seed is not None:
        found.sort(key=lambda each: fingerprint.digest([seed, *each.key]))
    found.sort(key=lambda each: each.scores)
    return found


def _decided_by(reviewer: str) -> ColumnElement[bool]:
    review = REVIEWS.c
    return exists().where(
        review.request_id == _row.request_id,
        review.life_ms == _row.life_ms,
        review.reviewer == reviewer,
        review.state != OPEN,
    )


def pick_next(
    engine: Engine, where: RequestFilter, mode: ReviewMode, seen: Seen, *, seed: str | None
) -> QueuePick:
    """Find what a reviewer sees next.

    Args:
        engine: the audit's database.
        where: which results.
        mode: alone or in pairs.
        seen: what the reviewer has scored or skipped.
        seed: draws the order, as in :func:`list_candidates`.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    waiting = list_candidates(engine, where, seen, seed=seed)
    reader = _Reader(engine, seen)
    found = _first(reader, waiting) if mode is ReviewMode.SINGLE else _first_pair(reader, waiting)
    return QueuePick(results=found, waiting=len(waiting), gone=reader.gone)


def name_item(reviewer: str, results: Sequence[ReviewedResult]) -> str:
    """The name of an item, which tells nothing of its results."""
    keys = sorted([each.request_id, each.life_ms] for each in results)
    return fingerprint.digest(["review", reviewer, keys])[:_DIGITS]


def put_on_sides(item: str, results: Sequence[ReviewedResult]) -> tuple[ReviewedResult, ...]:
    """Left and right, by a hash of the item's name, which has the reviewer in it."""
    ordered = sorted(results, key=lambda each: (each.request_id, each.life_ms))
    turned = int(fingerprint.digest_text(f"side {item}")[:2], 16) % 2
    return tuple(reversed(ordered)) if turned else tuple(ordered)


class _Reader:
    """Reads the contents of candidates, and counts those that are gone."""

    def __init__(self, engine: Engine, seen: Seen) -> None:
        self._engine = engine
        self._seen = seen
        self._known: dict[tuple[str, int], ReviewedResult | None] = {}
        self.gone = 0

    @property
    def spent(self) -> bool:
        """Whether no more is read."""
        return len(self._known) >= MOST_READ

    def read(self, candidate: QueuedResult) -> ReviewedResult | None:
        """Its content; ``None``: it is gone, or the reviewer has seen the same content."""
        if candidate.key not in self._known:
            found = find_content(self._engine, *candidate.key)
            self.gone += found is None
            if found is not None and found.content_hash in self._seen.contents:
                found = None
            self._known[candidate.key] = found
        return self._known[candidate.key]


def _first(reader: _Reader, waiting: Sequence[QueuedResult]) -> tuple[ReviewedResult, ...]:
    for each in waiting:
        if reader.spent:
            break
        found = reader.read(each)
        if found is not None:
            return (found,)
    return ()


def _first_pair(reader: _Reader, waiting: Sequence[QueuedResult]) -> tuple[ReviewedResult, ...]:
    for one, other in _pairs(waiting):
        if reader.spent:
            break
        left = reader.read(one)
        right = None if left is None else reader.read(other)
        if left is not None and right is not None and left.content_hash != right.content_hash:
            return left, right
    return ()


def _pairs(waiting: Sequence[QueuedResult]) -> Iterator[tuple[QueuedResult, QueuedResult]]:
    """Pairs in the order of the queue: the same request, then the same node, then the same kind."""
    for group in (_same_request, _same_node, _same_kind):
        groups: dict[tuple[str, ...], list[QueuedResult]] = defaultdict(list)
        for each in waiting:
            name = group(each)
            if name is not None:
                groups[name].append(each)
        for one in waiting:
            name = group(one)
            others = groups[name] if name is not None else []
            # Sorting keeps the queue's order among those that differ, and among those that do not.
            partners = sorted(others, key=lambda each: each.variant == one.variant)
            yield from ((one, each) for each in partners if each.key != one.key)


def _same_request(each: QueuedResult) -> tuple[str, ...] | None:
    return None if each.input_hash is None else (each.kind, each.input_hash)


def _same_node(each: QueuedResult) -> tuple[str, ...] | None:
    return None if each.node is None else (each.kind, each.node)


def _same_kind(each: QueuedResult) -> tuple[str, ...] | None:
    return (each.kind,)
