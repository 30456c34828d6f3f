"""Earlier replays: what other jobs have published of the same origins, and under the same ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from sqlalchemy import Engine, and_, or_, select

from contracts.result import Status
from infra.replay.origins import ReplayOrigin
from infra.replay.plans import ItemState
from infra.stores.database import GENERATION_LOGS, reading
from infra.stores.replay_tables import REPLAY_ITEMS, REPLAY_JOBS

_jobs, _items, _logs = REPLAY_JOBS.c, REPLAY_ITEMS.c, GENERATION_LOGS.c
#: Results of replays that failed as well; not those of a model that is turned off, nor an end that somebody chose.
_FAILED: Final = frozenset(
    {Status.FAIL_FALLBACK, Status.FAIL_VALIDATION, Status.FAILED, Status.SKIPPED, Status.PLACEHOLDER}
)
#: Values in one question.
_CHUNK: Final = 500


def find_next_numbers(engine: Engine, origins: Sequence[ReplayOrigin]) -> dict[tuple[int, str, int], int]:
    """By origin, which replay of it comes next; origins without an earlier one have no entry.

    One whose replay is published has that one's number: it was replayed before.  Otherwise it is the number after the last
    one that was undone, or that failed as the past request had.
    """
    wanted = {each.key for each in origins}
    standing: dict[tuple[int, str, int], int] = {}
    over: dict[tuple[int, str, int], int] = {}
    by_stream: dict[str, set[int]] = {}
    for each in origins:
        by_stream.setdefault(each.stream, set()).add(each.sequence)
    states = [str(ItemState.PUBLISHED), str(ItemState.UNDONE)]
    with reading(engine) as connection:
        for stream, sequences in by_stream.items():
            for some in _split(sequences):
                query = (
                    select(
                        _items.letter,
                        _items.stream,
                        _items.sequence,
                        _items.number,
                        _items.state,
                        _logs.status,
                    )
                    .outerjoin(GENERATION_LOGS, _logs.request_id == _items.request_id)
                    .where(_items.stream == stream, _items.sequence.in_(some), _items.state.in_(states))
                )
                for letter, *place, number, state, status in connection.execute(query):
                    key = (letter or 0, *place)
                    # A letter comes of a message that no stage could use: it is for people to decide on.
                    failed = letter is None and status in _FAILED
                    found = over if state == ItemState.UNDONE or failed else standing
                    found[key] = max(number, found.get(key, 0))
    numbers = {key: number + 1 for key, number in over.items()} | standing
    return {key: number for key, number in numbers.items() if key in wanted}


def find_owners(engine: Engine, job: int, request_ids: Iterable[str]) -> dict[str, int]:
    """By id, the other job that published it, of those that have published or planned the same id.

    A job that was killed may not have recorded what it published; then the one that was made first has published it.

    Args:
        engine: the database.
        job: the job that found the ids in use.
        request_ids: the ids.
    """
    known = _items.state.in_([str(ItemState.PUBLISHED), str(ItemState.UNDONE)])
    unrecorded = and_(_items.state == str(ItemState.PLANNED), _jobs.started_ms.is_not(None), _items.job < job)
    found: dict[str, int] = {}
    with reading(engine) as connection:
        for some in _split(request_ids):
            query = (
                select(_items.request_id, _items.job)
                .join(REPLAY_JOBS, _jobs.job == _items.job)
                .where(_items.request_id.in_(some), _items.job != job, or_(known, unrecorded))
                .order_by(_items.job.desc())
            )
            found.update((row[0], row[1]) for row in connection.execute(query))
    return found


def find_gone(engine: Engine, job: int, request_ids: Iterable[str]) -> set[str]:
    """Those of some replays that are undone, or belong to a job that is being undone."""
    found: set[str] = set()
    with reading(engine) as connection:
        for some in _split(request_ids):
            gone = or_(
                _items.state == str(ItemState.UNDONE),
                and_(_items.job == job, _items.state == str(ItemState.PUBLISHED)),
            )
            query = select(_items.request_id).where(_items.request_id.in_(some), gone)
            found.update(connection.execute(query).scalars())
    return found


def _split(values: Iterable[str] | Iterable[int]) -> Iterator[list[str | int]]:
    left = sorted(set(values))
    return (left[start : start + _CHUNK] for start in range(0, len(left), _CHUNK))
