"""Doctor's check of dead letters: those whose requests were never answered."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Final

import msgspec

from contracts import pipeline, subjects
from infra.app.doctor_check import DoctorCheck, row
from infra.inspect import dead_letters
from infra.nats import log
from infra.replay.plans import ItemState

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
    """The letters whose request is past its deadline without a result, and that nobody has replayed.

    Those without a request are left out.

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
        if each.answerable
        and each.request_id not in settled
        and now_ms - each.time_ms > deadline_ms + _GRACE_MS
    ]
    filters = sorted({subjects.any_answer(each.request_id) for each in due if each.request_id is not None})
    answered: set[str] = set()
    for at in range(0, len(filters), _BATCH):
        entries = await log.last_of_each(wire, pipeline.EVENTS, filters[at : at + _BATCH])
        answered |= {entry.subject.rpartition(".")[2] for entry in entries}
    return [each for each in due if each.request_id not in answered]


async def read_latest(wire: RequestMultiplexer, *, last_sequence: int) -> list[Letter]:
    """The latest letters, oldest first, without their bodies; advisories have the id that their message has.

    Raises:
        StreamMissing, Unavailable: as :func:`infra.nats.log.read`.
    """
    start = max(1, last_sequence - _MOST + 1)
    # The bodies of 2,000 letters may take gigabytes.
    found = [
        msgspec.structs.replace(dead_letters.read(entry), letter=None, data=None)
        async for entry in log.read(wire, pipeline.DEAD, ">", start=start)
        if not pipeline.is_foreign(entry.stream, entry.subject)
    ]
    for at in range(0, len(found), _BATCH):
        part = found[at : at + _BATCH]
        found[at : at + _BATCH] = await asyncio.gather(*(_identify(wire, each) for each in part))
    return found


async def _identify(wire: RequestMultiplexer, letter: Letter) -> Letter:
    if not letter.advisory or letter.stream is None or letter.stream_sequence is None:
        return letter
    cause = await log.get(wire, letter.stream, letter.stream_sequence)
    try:
        found = None if cause is None else subjects.parse(cause.subject)
    except subjects.SubjectError:
        found = None
    if found is None:
        return letter
    return msgspec.structs.replace(letter, kind=found.kind, request_id=found.request_id)


def settled_ids(engine: Engine, ids: Iterable[str]) -> set[str]:
    """The requests that have ended, also those that the log has forgotten, and those with a replay that has ended.

    Reruns for comparison and replays that were undone are no replacement.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    from sqlalchemy import select, union  # noqa: PLC0415 - slow to import, for this row alone

    from infra.stores.database import GENERATIONS, reading  # noqa: PLC0415 - as above
    from infra.stores.replay_tables import REPLAY_ITEMS  # noqa: PLC0415 - as above

    items = REPLAY_ITEMS.c
    undone = select(items.request_id).where(
        items.request_id == GENERATIONS.c.request_id, items.state == ItemState.UNDONE
    )
    row, wanted, found = GENERATIONS.c, sorted(set(ids)), set[str]()
    with reading(engine) as connection:
        for at in range(0, len(wanted), _BATCH):
            some = wanted[at : at + _BATCH]
            query = union(
                select(row.request_id).where(row.request_id.in_(some), row.ended_at_ms.is_not(None)),
                select(row.replay_of).where(
                    row.replay_of.in_(some),
                    row.ended_at_ms.is_not(None),
                    row.shadow.is_(None),
                    ~undone.exists(),
                ),
            )
            found |= set(connection.execute(query).scalars())
    return found


def letters_row(
    letters: Collection[Letter], orphans: Collection[Letter], *, total: int, audited: bool
) -> DoctorCheck:
    """Judge the dead letters.

    Args:
        letters: those that were examined.
        orphans: those of them whose requests were never answered.
        total: number of letters in the stream.
        audited: whether the audit was asked: it also knows the results that the log has deleted.
    """
    if not total:
        return row("dead letters", "ok", "there are none")
    codes = Counter(each.code or ("advisory" if each.advisory else "unreadable") for each in letters)
    what = ", ".join(f"{count} {code}" for code, count in codes.most_common(_NAMED))
    some = f", of the latest {len(letters):,}" if len(letters) < total else ""
    nameless = sum(not each.answerable for each in letters)
    of_none = f"; {nameless:,} of no known request" if nameless else ""
    detail = f"{total:,}{some}: {what}{of_none}"
    if not orphans:
        detail = f"{detail}; none of those past their deadline is without a result"
        return row("dead letters", "info", detail, "see 'understudy dead ls'")
    names = [f"{each.sequence} ({each.request_id or each.subject})" for each in list(orphans)[:_NAMED]]
    more = [f"and {len(orphans) - _NAMED} more"] if len(orphans) > _NAMED else []
    unsure = "" if audited else "; the audit cannot be asked, and the log may have deleted their results"
    return row(
        "dead letters",
        "error" if audited else "warning",
        f"{detail}; {len(orphans):,} past their deadline without a result: {', '.join([*names, *more])}{unsure}",
        "look at each with 'understudy dead show LETTER', then 'understudy dead replay LETTER' or 'understudy dead drop LETTER'",
    )
