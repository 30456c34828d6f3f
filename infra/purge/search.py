"""Search for the requests of a person: in the log, in dead letters and in the audit."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec

from contracts import events as ev
from contracts import pipeline
from contracts.errors import Unavailable
from contracts.ownership import Claims, PurgeScope, ScopeKind, read_claims
from contracts.result import ContentRef
from infra.nats import log
from infra.purge import database_rows
from infra.purge.persons_requests import PersonsRequests
from infra.stores.assets import Assets

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from infra.nats.log import LogEntry
    from infra.nats.multiplexer import RequestMultiplexer

_REQUESTED: Final = "gen.requested."
_letter: Final = msgspec.json.Decoder(ev.DeadLetter)


class _Family:
    """Requests by what they follow from."""

    def __init__(self) -> None:
        self._children: defaultdict[str, set[str]] = defaultdict(set)

    def add(self, request_id: str, claims: Claims) -> None:
        for parent in claims.parents:
            self._children[parent].add(request_id)

    def close(self, ids: Iterable[str]) -> set[str]:
        """Ids, and those that follow from them."""
        found: set[str] = set()
        waiting = list(ids)
        while waiting:
            one = waiting.pop()
            if one not in found:
                found.add(one)
                waiting += self._children[one]
        return found


class _Search:
    """One search; the log is read once."""

    def __init__(self, wire: RequestMultiplexer, scope: PurgeScope) -> None:
        self._wire = wire
        self._assets = Assets(wire)
        self._scope = scope
        #: When the log's request with an id was stored, ms since the epoch.
        self.owners: dict[str, int] = {}
        self.own: set[str] = set()
        self.family = _Family()
        #: Messages that are theirs by their content, with the id that they stand under.
        self.messages: set[tuple[str, int, str]] = set()

    async def read(self) -> None:
        """Read requests and letters.

        Raises:
            StreamMissing, Unavailable: the broker does not answer.
        """
        for stream in (pipeline.REQUESTS, pipeline.EVENTS):
            # Somebody may have stored a copy among the events.
            async for entry in log.read(self._wire, stream, f"{_REQUESTED}>"):
                self._take(entry, _id(entry), read_claims(entry.body))
        async for entry in log.read(self._wire, pipeline.DEAD, "dead.>"):
            request_id, claims = await self._letter(entry)
            if self._scope.owns(request_id, claims):
                self.messages.add((entry.stream, entry.sequence, _id(entry)))

    def _take(self, entry: LogEntry, request_id: str, claims: Claims) -> None:
        first = request_id not in self.owners and entry.stream == pipeline.REQUESTS
        if first:
            self.owners[request_id] = entry.time_ms
            self.family.add(request_id, claims)
        if self._scope.owns(request_id, claims):
            if first:
                self.own.add(request_id)
            self.messages.add((entry.stream, entry.sequence, request_id))

    async def _letter(self, entry: LogEntry) -> tuple[str, Claims]:
        """The id that a letter is about, and what the request in it claims."""
        try:
            letter = _letter.decode(entry.body)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return _id(entry), Claims()
        about, body = letter.subject.rpartition(".")[2], letter.body
        if not letter.subject.startswith(_REQUESTED):
            return about, Claims()
        if body is None and letter.body_ref is not None:
            with suppress(Unavailable, msgspec.ValidationError):
                body = await self._assets.get(msgspec.convert(letter.body_ref, ContentRef))
        return about, read_claims(body or b"")


def _id(entry: LogEntry) -> str:
    return entry.subject.rpartition(".")[2]


async def find_requests(
    wire: RequestMultiplexer, engine: Engine | None, scope: PurgeScope
) -> PersonsRequests:
    """Find everything that is somebody's.

    Replays and shadows of a request and the scenes of a plot are whose the request is.

    Args:
        wire: an open wire.
        engine: the audit's database; ``None``: there is none.
        scope: whose data.

    Raises:
        StreamMissing, Unavailable: the broker does not answer.
        sqlalchemy.exc.SQLAlchemyError: the database does not answer.
    """
    search = _Search(wire, scope)
    await search.read()
    rows = [] if engine is None else await asyncio.to_thread(database_rows.find_rows, engine, scope)
    for row in rows:
        search.family.add(row.request_id, row.claims)
    # A row may be of an earlier request whose id somebody else uses now.
    archived = {row.request_id for row in rows if scope.owns(row.request_id, row.claims)}
    reused = {each for each in archived & search.owners.keys() if each not in search.own}
    start = search.own | (archived - reused)
    if scope.kind is ScopeKind.ID:
        start.add(scope.value)
    ids = search.family.close(start)
    return PersonsRequests(
        scope=scope,
        ids=frozenset(ids),
        reused=frozenset(reused - ids),
        stored_ms={each: search.owners[each] for each in ids & search.owners.keys()},
        archived=frozenset(archived),
        messages=frozenset((stream, seq) for stream, seq, one in search.messages if one not in ids),
    )
