"""Rows of the audit database that are a person's: found, counted and deleted."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import Engine, case, delete, func, or_, select, text, update
from sqlalchemy.engine import Connection

from contracts.ownership import Claims, PurgeScope, ScopeKind, claims_of
from infra.stores import database
from infra.stores.access_tables import ACCESS_SESSIONS, ACCESS_TOKENS, CHANGES
from infra.stores.database import ANOMALIES, GENERATION_LOGS, GENERATIONS
from infra.stores.design_tables import DESIGN_VERSIONS, DESIGNS
from infra.stores.evaluation_tables import EVALUATION_RESULTS
from infra.stores.foreign_messages import FOREIGN
from infra.stores.replay_tables import REPLAY_ITEMS, REPLAY_JOBS
from infra.stores.review_tables import REVIEWS
from infra.stores.rows import CHUNK
from stages.audit.fold import NO_LIFE, RequestRecord

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Table

    from infra.purge.persons_requests import PersonsRequests

#: What stands where something of the person's stood in a row that stays.
REMOVED: Final = "(purged)"
#: Tables that a purge deletes from or rewrites.
_TABLES: Final = (
    GENERATIONS,
    GENERATION_LOGS,
    ANOMALIES,
    REPLAY_JOBS,
    REPLAY_ITEMS,
    REVIEWS,
    EVALUATION_RESULTS,
    CHANGES,
    DESIGNS,
    DESIGN_VERSIONS,
    ACCESS_TOKENS,
    ACCESS_SESSIONS,
)
#: Milliseconds for which a rewrite waits for other users of an SQLite file.
_PATIENCE_MS: Final = 20_000
#: States in which a replay job may publish more.
_GOES_ON: Final = ("planning", "planned", "running", "paused")
_decode: Final = msgspec.json.Decoder(RequestRecord).decode


class OwnedRow(msgspec.Struct, frozen=True, kw_only=True):
    """One request in the audit, and what it says of its owner."""

    request_id: str
    life_ms: int
    claims: Claims
    #: Whether the audit knows the request itself, and so its owner.
    known: bool


def find_rows(engine: Engine, scope: PurgeScope) -> list[OwnedRow]:
    """The rows that may be somebody's, and all that follow from another request; blocks.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database does not answer.
    """
    row = GENERATIONS.c
    own: ColumnElement[bool]
    match scope.kind:
        case ScopeKind.ID:
            own = row.request_id == scope.value
        case ScopeKind.WORKSPACE:
            own = row.workspace == scope.value
        case ScopeKind.PLAYER:
            # As it stands in the record's JSON; the claims decide.
            own = _contains(engine, row.record, msgspec.json.encode(scope.value).decode())
    derived = row.replay_of.is_not(None) | _contains(engine, row.record, '"scene_of"')
    with database.reading(engine) as connection:
        query = select(row.request_id, row.life_ms, row.workspace, row.record).where(own | derived)
        return [_row(*each) for each in connection.execute(query)]


def _contains(engine: Engine, column: Any, needle: str) -> Any:
    return (func.strpos if engine.dialect.name == "postgresql" else func.instr)(column, needle) > 0


def _row(request_id: str, life_ms: int, workspace: str | None, record: str) -> OwnedRow:
    asked = _decode(record.encode()).asked
    claims = Claims() if asked is None else claims_of(asked.parameters)
    if claims.workspace is None and workspace is not None:
        # Known from a later event alone.
        claims = msgspec.structs.replace(claims, workspace=workspace)
    return OwnedRow(request_id=request_id, life_ms=life_ms, claims=claims, known=asked is not None)


class _Selection:
    """What of a table is a person's, as conditions; ids go in chunks."""

    def __init__(self, connection: Connection, found: PersonsRequests) -> None:
        self.lives: dict[str, list[int]] = {}
        #: Ids without a row of anybody else.
        self.whole: list[str] = []
        for ids in _chunks(found.every_id):
            self._read(connection, found, ids)

    def _read(self, connection: Connection, found: PersonsRequests, ids: list[str]) -> None:
        row = GENERATIONS.c
        query = select(row.request_id, row.life_ms, row.workspace, row.record)
        others: set[str] = set()
        for each in connection.execute(query.where(row.request_id.in_(ids))):
            one = _row(*each)
            if self._is_theirs(one, found):
                self.lives.setdefault(one.request_id, []).append(one.life_ms)
            else:
                others.add(one.request_id)
        self.whole += [each for each in ids if each not in others]

    @staticmethod
    def _is_theirs(one: OwnedRow, found: PersonsRequests) -> bool:
        if found.scope.includes(one.request_id, one.claims, found.ids):
            return True
        if one.request_id not in found.ids:
            return False
        # The request in the log; or events of it alone, which say nothing of their owner.
        return found.stored_ms.get(one.request_id) == one.life_ms or not one.known

    def of_lives(self, table: Table) -> Iterator[ColumnElement[bool]]:
        """Conditions for a table with ids and lives."""
        partial = {each for each in self.lives if each not in set(self.whole)}
        for ids in _chunks(self.whole):
            yield table.c.request_id.in_(ids)
        for each in sorted(partial):
            yield (table.c.request_id == each) & table.c.life_ms.in_(
                [life for life in self.lives[each] if life != NO_LIFE]
            )


def _chunks(ids: Collection[str]) -> Iterator[list[str]]:
    ordered = sorted(ids)
    for start in range(0, len(ordered), CHUNK):
        yield ordered[start : start + CHUNK]


def remove_rows(engine: Engine, found: PersonsRequests, *, dry_run: bool) -> dict[str, int]:
    """Delete what the database has of a person; rows by table.  Blocks.

    Args:
        engine: the database.
        found: the person's requests.
        dry_run: count; delete nothing.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database does not answer; nothing is deleted.
    """
    if dry_run:
        with database.reading(engine) as connection:
            return _Removal(connection, found, dry_run=True).run()
    with database.writing(engine) as connection:
        if connection.dialect.name == "sqlite":
            # Zeros over what is deleted, until the file is rewritten.
            connection.exec_driver_sql("PRAGMA secure_delete=ON")
        return _Removal(connection, found, dry_run=False).run()


class _Removal:
    def __init__(self, connection: Connection, found: PersonsRequests, *, dry_run: bool) -> None:
        self._connection = connection
        self._found = found
        self._dry_run = dry_run
        self._counts: dict[str, int] = {table.name: 0 for table in _TABLES}

    def run(self) -> dict[str, int]:
        selection = _Selection(self._connection, self._found)
        for table in (REVIEWS, GENERATION_LOGS, GENERATIONS):
            for condition in selection.of_lives(table):
                self._delete(table, condition)
        for ids in _chunks(selection.whole):
            self._delete(ANOMALIES, ANOMALIES.c.request_id.in_(ids))
            self._delete(EVALUATION_RESULTS, EVALUATION_RESULTS.c.request_id.in_(ids))
            self._overwrite(CHANGES, CHANGES.c.target.in_(ids), target=REMOVED)
            item = REPLAY_ITEMS.c
            self._delete(
                REPLAY_ITEMS,
                or_(item.request_id.in_(ids), item.replay_of.in_(ids), item.named.in_(ids)),
            )
        self._delete_foreign()
        self._clean_jobs()
        if self._found.scope.kind is ScopeKind.WORKSPACE:
            self._remove_workspace(self._found.scope.value)
        return self._counts

    def _delete_foreign(self) -> None:
        """Delete what names copies of the person's messages under foreign subjects."""
        odd = ANOMALIES.c
        query = select(odd.request_id, odd.subject).where(odd.kind == FOREIGN)
        named = [
            row[0] for row in self._connection.execute(query) if row[1].rpartition(".")[2] in self._found.ids
        ]
        for some in _chunks(named):
            self._delete(ANOMALIES, odd.request_id.in_(some))

    def _clean_jobs(self) -> None:
        """Empty the texts of jobs that name the person or one of their requests, which a filter or a patch may."""
        job = REPLAY_JOBS.c
        names = {self._found.scope.value, *self._found.every_id}
        told = self._connection.execute(select(job.job, job.source, job.options, job.note)).all()
        some = [row[0] for row in told if _names_any(" ".join(str(each or "") for each in row[1:]), names)]
        for numbers in (some[start : start + CHUNK] for start in range(0, len(some), CHUNK)):
            # Without its patch it must not go on.
            state = case((job.state.in_(_GOES_ON), "stopped"), else_=job.state)
            self._overwrite(
                REPLAY_JOBS, job.job.in_(numbers), source=REMOVED, options="{}", note=REMOVED, state=state
            )

    def _remove_workspace(self, name: str) -> None:
        tokens = select(ACCESS_TOKENS.c.token_id).where(ACCESS_TOKENS.c.workspace == name)
        jobs = select(REPLAY_JOBS.c.job).where(REPLAY_JOBS.c.workspace == name)
        self._delete(ACCESS_SESSIONS, ACCESS_SESSIONS.c.token_id.in_(tokens))
        self._delete(REPLAY_ITEMS, REPLAY_ITEMS.c.job.in_(jobs))
        for table in (ACCESS_TOKENS, REPLAY_JOBS, DESIGNS, DESIGN_VERSIONS):
            self._delete(table, table.c.workspace == name)
        # Who did something, and when, stays.
        self._overwrite(CHANGES, CHANGES.c.workspace == name, workspace=None, target=REMOVED)

    def _delete(self, table: Table, condition: ColumnElement[bool]) -> None:
        if self._dry_run:
            query = select(func.count()).select_from(table).where(condition)
            self._counts[table.name] += int(self._connection.execute(query).scalar_one())
        else:
            self._counts[table.name] += self._connection.execute(delete(table).where(condition)).rowcount

    def _overwrite(self, table: Table, condition: ColumnElement[bool], **values: Any) -> None:
        if self._dry_run:
            query = select(func.count()).select_from(table).where(condition)
            self._counts[table.name] += int(self._connection.execute(query).scalar_one())
        else:
            changed = self._connection.execute(update(table).where(condition).values(**values))
            self._counts[table.name] += changed.rowcount


def _names_any(told: str, names: Iterable[str]) -> bool:
    """Whether a text has one of some names as a whole word."""
    words = set(re.findall(r"[^\s\"'=,{}\[\]]+", told))
    return any(each in words or (not each.isascii() and each in told) for each in names)


def count_shared(engine: Engine, ids: Sequence[str], *, beside: Collection[str]) -> int:
    """Requests of others that got content which was generated for one of these.  Blocks."""
    row = GENERATIONS.c
    found: set[str] = set()
    with database.reading(engine) as connection:
        for some in _chunks(ids):
            query = select(row.request_id).where(row.generated_for.in_(some))
            found.update(connection.execute(query).scalars())
    return len(found - set(beside))


def rewrite(engine: Engine) -> None:
    """Write the database's files anew, so that nothing deleted is left in them.  Blocks.

    Raises:
        sqlalchemy.exc.OperationalError: another process uses the database.
    """
    if engine.dialect.name == "sqlite":
        # Without a transaction, which SQLAlchemy would begin.
        with closing(engine.raw_connection()) as plain:
            cursor = plain.cursor()
            cursor.execute(f"PRAGMA busy_timeout={_PATIENCE_MS}")
            cursor.execute("VACUUM")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            plain.invalidate()
        return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for table in _TABLES:
            connection.execute(text(f"VACUUM {table.name}"))
