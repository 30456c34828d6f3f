"""Doctor's check of dead letters: those whose requests were never answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Final

from contracts import pipeline, subjects
from infra.app.doctor_check import DoctorCheck, row
from infra.inspect import dead_letters
from infra.nats import log

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from infra.inspect.dead_letters import Letter
    from infra.nats.multiplexer import RequestMultiplexer

#: Letters that are examined, the latest.
_MOST: Final = 2000
#: Letters that a row names.
_NAMED: Final = 5
#: Requests that one call asks about.
_BATCH: Final = 256
#: Milliseconds beside the deadline after which a request has its result.
_GRACE_MS: Final = 60_000


async def find_orphans(
    wire: RequestMultiplexer,
    letters: Collection[Letter],
    *,
    settled: Collection[str],
    now_ms: int,
    deadline_ms: int,
) -> list[Letter]:
    """The letters whose request has no result, and that nobody has replayed.

    Args:
        wire: an open wire.
        letters: dead letters.
        settled: ids whose requests have ended or were replayed, as far as the audit knows.
        now_ms: ms since the epoch, by the broker's clock.
        deadline_ms: deadline of requests that name none, ms.

    Raises:
        StreamMissing, Unavailable: as :func:`infra.nats.log.last_of_each`.
    """
    due = [
        each
        for each in letters
        if now_ms - each.time_ms > deadline_ms + _GRACE_MS and each.request_id not in settled
    ]
    ids = {each.request_id for each in due if each.request_id and subjects.addressable(each.request_id)}
    filters = [subjects.any_kind(subjects.answer(request_id), request_id) for request_id in sorted(ids)]
    answered: set[str] = set()
    for at in range(0, len(filters), _BATCH):
        entries = await log.last_of_each(wire, pipeline.EVENTS, filters[at : at + _BATCH])
        answered |= {entry.subject.rpartition(".")[2] for entry in entries}
    return [each for each in due if each.request_id not in answered]


async def read_latest(wire: RequestMultiplexer, *, last_sequence: int) -> list[Letter]:
    """The latest letters, oldest first.

    Raises:
        StreamMissing, Unavailable: as :func:`infra.nats.log.read`.
    """
    start = max(1, last_sequence - _MOST + 1)
    return [dead_letters.read(each) async for each in log.read(wire, pipeline.DEAD, ">", start=start)]


def settled_ids(engine: Engine, ids: Iterable[str]) -> set[str]:
    """The requests that have ended, also those that the log has forgotten, and those that were replayed.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    from sqlalchemy import select, union  # noqa: PLC0415 - slow to import, for this row alone

    from infra.stores.database import GENERATIONS, reading  # noqa: PLC0415 - as above

    row, wanted, found = GENERATIONS.c, sorted(set(ids)), set[str]()
    with reading(engine) as connection:
        for at in range(0, len(wanted), _BATCH):
            some = wanted[at : at + _BATCH]
            query = union(
                select(row.request_id).where(row.request_id.in_(some), row.ended_at_ms.is_not(None)),
                select(row.replay_of).where(row.replay_of.in_(some)),
            )
            found |= set(connection.execute(query).scalars())
    return found


def letters_row(letters: Collection[Letter], orphans: Collection[Letter], *, total: int) -> DoctorCheck:
    """Judge the dead letters.

    Args:
        letters: those that were examined.
        orphans: those of them whose requests were never answered.
        total: number of letters in the stream.
    """
    if not total:
        return row("dead letters", "ok", "there are none")
    codes = Counter(each.code or ("advisory" if each.advisory else "unreadable") for each in letters)
    what = ", ".join(f"{count} {code}" for code, count in codes.most_common(_NAMED))
    detail = f"{total:,}: {what}"
    if not orphans:
        return row(
            "dead letters", "info", f"{detail}; every request has its result", "see 'understudy dead ls'"
        )
    names = [f"{each.sequence} ({each.request_id or each.subject})" for each in list(orphans)[:_NAMED]]
    more = [f"and {len(orphans) - _NAMED} more"] if len(orphans) > _NAMED else []
    return row(
        "dead letters",
        "error",
        f"{detail}; {len(orphans):,} without a result for their request: {', '.join([*names, *more])}",
        "look at each with 'understudy dead show LETTER', then 'understudy dead replay LETTER' or 'understudy dead drop LETTER'",
    )
