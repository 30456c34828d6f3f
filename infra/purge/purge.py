"""Purge: one person's data removed from log, buckets, object store, database and caches."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from understudy_client import protocol

from contracts import pipeline, subjects
from contracts.errors import UnderstudyError
from contracts.ownership import PurgeScope
from infra.nats import log
from infra.providers import response_store
from infra.purge import database_rows, log_entries
from infra.purge.log_entries import StoredMessage
from infra.purge.persons_requests import PersonsRequests
from infra.purge.search import find_requests
from infra.stores import database
from infra.stores import samples as sample_store
from infra.stores.changes import RecordedChange, add_change
from infra.stores.stream_fill import call_api

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from infra.nats.multiplexer import RequestMultiplexer

#: Seconds within which fallback answers requests that were cancelled.
_ANSWER_S: Final = 10.0
#: Seconds within which stages acknowledge what they have of these requests.
_SETTLE_S: Final = 30.0
_LOOK_S: Final = 0.2
#: Looks for what came meanwhile.
_LOOKS: Final = 3
#: Requests in one question to the log.
_ASKED: Final = 256
#: JetStream errors: there is no such stream or consumer.
_MISSING: Final = frozenset({10014, 10059})


class StillRunning(UnderstudyError):  # noqa: N818 - names the state of the requests
    """Requests of the person have no result, and nobody gives them one."""


class Purged(msgspec.Struct, frozen=True, kw_only=True):
    """What a purge removed, or would remove."""

    scope: PurgeScope
    dry_run: bool
    #: Requests that were theirs, replays and scenes included.
    requests: int
    #: Of them, those that ran: they are cancelled first.
    running: int
    #: Messages, entries, rows and answers by store; stores without any are left out.
    removed: dict[str, int]
    #: Requests of others that had been answered with content generated for these; they are kept.
    shared: int
    #: Buckets whose files keep the deleted bytes until the broker rewrites them.
    not_erased: tuple[str, ...] = ()
    #: Golden samples that were made from results of these requests (`understudy review promote`); they are kept.
    samples: tuple[str, ...] = ()
    #: Sidecars of golden samples that cannot be read, and so may name such a request.
    unread_samples: tuple[str, ...] = ()


async def purge(
    wire: RequestMultiplexer,
    engine: Engine | None,
    scope: PurgeScope,
    *,
    answers: Path | None = None,
    samples: Sequence[Path] = (),
    dry_run: bool = False,
    answer_s: float = _ANSWER_S,
) -> Purged:
    """Remove a person's data from everything that stores it; what runs is cancelled first.

    Args:
        wire: an open wire.
        engine: the audit's database; ``None``: there is none.
        scope: whose data.
        answers: folder of the response cache, whose answers name nobody and go all; ``None``: there is none.
        samples: folders of golden samples, to say which ones were made from these requests.
        dry_run: count; change nothing.
        answer_s: seconds within which what is cancelled must have its result.

    Raises:
        StillRunning: requests get no result; nothing is removed.
        StreamMissing, Unavailable: the broker does not answer; what is removed stays removed, and may be all.
        DatabaseError: the tables are those of a newer release.
        sqlalchemy.exc.SQLAlchemyError: the same about the database.
    """
    if engine is not None:
        await asyncio.to_thread(database.migrate, engine)
    found = await find_requests(wire, engine, scope)
    running = await _find_running(wire, found)
    shared = 0
    if engine is not None:
        shared = await asyncio.to_thread(
            database_rows.count_shared, engine, sorted(found.every_id), beside=found.every_id
        )
    if running and not dry_run:
        await _cancel(wire, running)
        await _until_answered(wire, running, answer_s)
    removal = _Removal(wire, engine)
    if dry_run:
        await removal.count(found)
    else:
        await _until_settled(wire, await log_entries.find_messages(wire, found))
        for _ in range(_LOOKS):
            # What was under way then, and rows that audit has written since.
            if not await removal.remove(await find_requests(wire, engine, scope)):
                break
        await log_entries.tell_processes(wire)
    if answers is not None:
        count = await asyncio.to_thread(response_store.clear, answers, dry_run=dry_run)
        removal.counts["response cache"] += count
    promoted, unread = await asyncio.to_thread(sample_store.find_promoted, *samples)
    done = Purged(
        scope=scope,
        dry_run=dry_run,
        requests=removal.requests,
        running=len(running),
        removed={store: count for store, count in sorted(removal.counts.items()) if count},
        shared=shared,
        not_erased=tuple(sorted(removal.not_erased)),
        samples=tuple(
            each.name
            for each in promoted
            if not {each.source.request, each.source.generated_for}.isdisjoint(found.every_id)
        ),
        unread_samples=unread,
    )
    if engine is not None and not dry_run:
        await asyncio.to_thread(database_rows.rewrite, engine)
        await asyncio.to_thread(_record, engine, done)
    return done


class _Removal:
    """Removal of what one look finds, and the counts of all looks together."""

    def __init__(self, wire: RequestMultiplexer, engine: Engine | None) -> None:
        self._wire = wire
        self._engine = engine
        self._ids: set[str] = set()
        self.counts: Counter[str] = Counter()
        self.not_erased: set[str] = set()

    @property
    def requests(self) -> int:
        """Requests that something was stored of."""
        return len(self._ids)

    async def count(self, found: PersonsRequests) -> None:
        """Count what would go."""
        for each in await self._find(found):
            self.counts[each.stream] += 1
        await self._rows(found, dry_run=True)

    async def remove(self, found: PersonsRequests) -> bool:
        """Remove it; whether there was anything."""
        before = self.counts.total()
        self.counts.update(await log_entries.erase(self._wire, await self._find(found), self.not_erased))
        await self._rows(found, dry_run=False)
        return self.counts.total() > before

    async def _find(self, found: PersonsRequests) -> list[StoredMessage]:
        messages = await log_entries.find_messages(self._wire, found)
        entries = await log_entries.find_entries(self._wire, found, messages)
        objects = await log_entries.find_objects(self._wire, [*messages, *entries])
        asked = {each.subject.rpartition(".")[2] for each in messages if each.stream == pipeline.REQUESTS}
        self._ids |= asked | found.archived
        return [*messages, *entries, *objects]

    async def _rows(self, found: PersonsRequests, *, dry_run: bool) -> None:
        if self._engine is not None:
            rows = await asyncio.to_thread(database_rows.remove_rows, self._engine, found, dry_run=dry_run)
            self.counts.update(rows)


async def _find_running(wire: RequestMultiplexer, found: PersonsRequests) -> dict[str, str]:
    """Requests without a result: their kinds, by id."""
    running: dict[str, str] = {}
    ids = sorted(each for each in found.ids if subjects.addressable(each))
    for start in range(0, len(ids), _ASKED):
        some = ids[start : start + _ASKED]
        asked = [subjects.any_kind("requested", each) for each in some]
        stored = await log.last_of_each(wire, pipeline.REQUESTS, asked)
        ended = await _find_ended(wire, some)
        for entry in stored:
            _, _, kind, request_id = entry.subject.split(".")
            if request_id not in ended:
                running[request_id] = kind
    return running


async def _find_ended(wire: RequestMultiplexer, ids: Sequence[str]) -> set[str]:
    ended: set[str] = set()
    for start in range(0, len(ids), _ASKED):
        wanted = [subjects.any_answer(each) for each in ids[start : start + _ASKED]]
        found = await log.last_of_each(wire, pipeline.EVENTS, wanted)
        ended |= {entry.subject.rpartition(".")[2] for entry in found}
    return ended


async def _cancel(wire: RequestMultiplexer, running: Mapping[str, str]) -> None:
    body = msgspec.json.encode({"reason": "its data is being purged", "attempt": 1})
    for request_id, kind in running.items():
        headers = protocol.headers("cancelled", kind=kind, request_id=request_id, body=body, parent=None)
        ack = await wire.publish(subjects.gen("cancelled", kind, request_id), body, headers)
        if ack.error is not None:
            raise StillRunning(f"{request_id} runs and cannot be cancelled: {ack.error.description}")


async def _until_answered(wire: RequestMultiplexer, running: Mapping[str, str], seconds: float) -> None:
    end = time.monotonic() + seconds
    while True:
        left = sorted(set(running) - await _find_ended(wire, sorted(running)))
        if not left:
            return
        if time.monotonic() > end:
            raise StillRunning(
                f"{len(left)} requests have no result {seconds:g} s after they were cancelled, {left[0]} first, so "
                "nothing is removed: start the pipeline (`understudy up`), wait for their results, and run this again"
            )
        await asyncio.sleep(_LOOK_S)


async def _until_settled(wire: RequestMultiplexer, messages: Sequence[StoredMessage]) -> None:
    """Wait until every stage has acknowledged the messages; one that holds others back is not waited for long."""
    last: dict[str, int] = {}
    for each in messages:
        last[each.stream] = max(last.get(each.stream, 0), each.sequence)
    end = time.monotonic() + _SETTLE_S
    for route in pipeline.routes():
        while route.stream in last and time.monotonic() < end:
            info = await call_api(wire, f"CONSUMER.INFO.{route.stream}.{route.durable}", unless=_MISSING)
            if "error" in info or not (info["num_ack_pending"] or info["num_pending"]):
                break
            if int(info["ack_floor"]["stream_seq"]) >= last[route.stream]:
                break
            await asyncio.sleep(_LOOK_S)


def _record(engine: Engine, done: Purged) -> None:
    """Keep that there was a purge, without the person."""
    digest = hashlib.sha256(done.scope.value.encode()).hexdigest()
    counts = " ".join(f"{store}={count}" for store, count in done.removed.items())
    change = RecordedChange(
        at_ms=round(time.time() * 1000),
        via="command",
        action="purge",
        target=f"{done.scope.kind}:sha256:{digest[:32]} {counts}",
    )
    add_change(engine, change)
