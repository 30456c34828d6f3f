"""Designs in the database: node configurations and scene graphs, each a draft with its earlier versions.

Every change names the state that it is based on, so that no change is lost to a later one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import Engine, and_, delete, func, insert, inspect, select, update
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from contracts.errors import UnderstudyError
from infra.stores.database import reading
from infra.stores.design_tables import DESIGN_VERSIONS, DESIGNS

DesignKind = Literal["node", "graph"]
KINDS: Final[tuple[DesignKind, ...]] = ("node", "graph")
DesignAction = Literal["save", "restore", "import", "duplicate"]
#: Workspace of designs that belong to none.
NO_WORKSPACE: Final = ""
#: Versions of a design that are kept, beside the published one.
MOST_VERSIONS: Final[Mapping[DesignKind, int]] = {"node": 200, "graph": 50}
#: Names in one query.
_CHUNK: Final = 256

_now, _old = DESIGNS.c, DESIGN_VERSIONS.c
_PUBLISHED: Final = and_(
    *(_old[name] == _now[name] for name in ("kind", "workspace", "name")), _old.version == _now.published
)


class DesignKey(msgspec.Struct, frozen=True, kw_only=True):
    """What names a design."""

    kind: DesignKind
    #: :data:`NO_WORKSPACE`: none.
    workspace: str
    name: str


class DesignAuthor(msgspec.Struct, frozen=True, kw_only=True):
    """Who changes a design, and when."""

    at_ms: int
    #: How the author is known: ``token``, ``session`` or ``local``.
    via: str
    token_id: str | None = None


class StoredDesign(msgspec.Struct, frozen=True, kw_only=True):
    """A design as it is now."""

    kind: DesignKind
    workspace: str
    name: str
    #: JSON: the draft.
    content: str
    #: Number of the draft.
    version: int
    #: Grows with every change, also of what is published.
    revision: int
    #: The version that requests use; ``None``: none.
    published: int | None = None
    disabled: bool = False
    created_ms: int
    updated_ms: int
    #: Id of the token; ``None``: somebody at this machine, without a token.
    updated_by: str | None = None

    @property
    def key(self) -> DesignKey:
        """What names it."""
        return DesignKey(kind=self.kind, workspace=self.workspace, name=self.name)

    @property
    def etag(self) -> str:
        """Entity tag of this state; a design that is deleted and created again never has an earlier one."""
        life = f"{self.kind}/{self.workspace}/{self.name}/{self.created_ms}/{self.revision}"
        return f'"{self.revision}-{hashlib.sha256(life.encode()).hexdigest()[:12]}"'


class DesignVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a design."""

    version: int
    content: str
    at_ms: int
    via: str
    token_id: str | None = None
    action: str


class PublishedDesign(msgspec.Struct, frozen=True, kw_only=True):
    """What requests use of a design."""

    version: int
    content: str
    disabled: bool


class DesignChanged(UnderstudyError):  # noqa: N818 - names a state
    """A change that is based on a state that is not the design's.

    Args:
        key: the design.
        current: its state; ``None``: there is none.
    """

    def __init__(self, key: DesignKey, current: StoredDesign | None) -> None:
        was = "does not exist" if current is None else f"has changed: it is at version {current.version}"
        super().__init__(f"the {key.kind} {key.name!r} {was}")
        self.current = current


def has_tables(engine: Engine) -> bool:
    """Whether the database has designs: one of an older version has none."""
    return inspect(engine).has_table(DESIGNS.name)


def find_design(engine: Engine, key: DesignKey) -> StoredDesign | None:
    """A design; ``None``: there is none."""
    with reading(engine) as connection:
        return _find(connection, key)


def find_published(engine: Engine, key: DesignKey) -> PublishedDesign | None:
    """What requests use of a design; ``None``: there is none, or nothing of it is published."""
    query = select(_old.version, _old.content, _now.disabled).join_from(DESIGNS, DESIGN_VERSIONS, _PUBLISHED)
    with reading(engine) as connection:
        row = connection.execute(query.where(_is(_now, key))).mappings().first()
    return None if row is None else PublishedDesign(**row)


def list_designs(
    engine: Engine, kind: DesignKind, workspace: str, *, limit: int, after: str | None = None
) -> list[StoredDesign]:
    """Designs of a workspace by name.

    Args:
        engine: the database.
        kind: node or graph.
        workspace: the workspace.
        limit: how many at most.
        after: the name of the last one before.
    """
    query = select(DESIGNS).where(_now.kind == kind, _now.workspace == workspace)
    if after is not None:
        query = query.where(_now.name > after)
    with reading(engine) as connection:
        rows = connection.execute(query.order_by(_now.name).limit(limit)).mappings()
        return [StoredDesign(**row) for row in rows]


def list_published(engine: Engine, kind: DesignKind, workspace: str) -> dict[str, str]:
    """What requests use of the designs of a workspace, by name."""
    query = select(_now.name, _old.content).join_from(DESIGNS, DESIGN_VERSIONS, _PUBLISHED)
    with reading(engine) as connection:
        rows = connection.execute(query.where(_now.kind == kind, _now.workspace == workspace))
        return {row.name: row.content for row in rows}


def find_designs(
    engine: Engine, kind: DesignKind, workspace: str, names: Iterable[str]
) -> dict[str, StoredDesign]:
    """Some designs of a workspace by their name; those that do not exist are missing."""
    wanted, found = sorted(set(names)), dict[str, StoredDesign]()
    with reading(engine) as connection:
        for start in range(0, len(wanted), _CHUNK):
            query = select(DESIGNS).where(
                _now.kind == kind, _now.workspace == workspace, _now.name.in_(wanted[start : start + _CHUNK])
            )
            for row in connection.execute(query).mappings():
                found[row["name"]] = StoredDesign(**row)
    return found


def count_designs(engine: Engine, kind: DesignKind, workspace: str) -> int:
    """How many designs a workspace has."""
    query = select(func.count()).select_from(DESIGNS).where(_now.kind == kind, _now.workspace == workspace)
    with reading(engine) as connection:
        return connection.execute(query).scalar_one()


def save_design(
    engine: Engine,
    key: DesignKey,
    content: str,
    author: DesignAuthor,
    *,
    expected: str | None,
    action: DesignAction = "save",
) -> StoredDesign:
    """Store a draft; equal content changes nothing.

    Args:
        engine: the database.
        key: the design.
        content: JSON.
        author: who changes it.
        expected: the entity tag of the state that it is based on; none: the design must not exist.
        action: what is done.

    Raises:
        DesignChanged: the design is in another state.
    """
    return save_designs(engine, {key: content}, author, expected={key: expected}, action=action)[0]


def save_designs(
    engine: Engine,
    contents: Mapping[DesignKey, str],
    author: DesignAuthor,
    *,
    expected: Mapping[DesignKey, str | None],
    action: DesignAction,
) -> list[StoredDesign]:
    """Store several drafts, all or none, as :func:`save_design`.

    Raises:
        DesignChanged: one of them is in another state.
    """
    try:
        with engine.begin() as connection:
            return [
                _save(connection, key, contents[key], author, expected[key], action)
                for key in sorted(contents, key=lambda each: (each.kind, each.workspace, each.name))
            ]
    except IntegrityError:
        # Another process created one of them meanwhile.
        for key in contents:
            current = find_design(engine, key)
            if expected[key] != (current and current.etag):
                raise DesignChanged(key, current) from None
        raise


def publish_design(engine: Engine, key: DesignKey, author: DesignAuthor, *, expected: str) -> StoredDesign:
    """Let requests use the draft.

    Raises:
        DesignChanged: the design is in another state.
    """
    with engine.begin() as connection:
        current = _require(connection, key, expected)
        if current.published == current.version:
            return current
        return _change(connection, current, author, published=current.version)


def disable_design(
    engine: Engine, key: DesignKey, author: DesignAuthor, *, disabled: bool
) -> StoredDesign | None:
    """Disable or enable a design, whatever its state; ``None``: there is none."""
    with engine.begin() as connection:
        current = _find(connection, key, lock=True)
        if current is None or current.disabled == disabled:
            return current
        return _change(connection, current, author, disabled=disabled)


def remove_design(engine: Engine, key: DesignKey, *, expected: str) -> None:
    """Delete a design and its versions.

    Raises:
        DesignChanged: the design is in another state.
    """
    with engine.begin() as connection:
        _require(connection, key, expected)
        connection.execute(delete(DESIGNS).where(_is(_now, key)))
        connection.execute(delete(DESIGN_VERSIONS).where(_is(_old, key)))


def list_versions(
    engine: Engine, key: DesignKey, *, limit: int, before: int | None = None
) -> list[DesignVersion]:
    """The versions of a design, newest first.

    Args:
        engine: the database.
        key: the design.
        limit: how many at most.
        before: only versions with a lower number.
    """
    query = _versions(key).order_by(_old.version.desc()).limit(limit)
    if before is not None:
        query = query.where(_old.version < before)
    with reading(engine) as connection:
        return [DesignVersion(**row) for row in connection.execute(query).mappings()]


def find_version(engine: Engine, key: DesignKey, version: int) -> DesignVersion | None:
    """A version of a design; ``None``: there is none, or it is no longer kept."""
    with reading(engine) as connection:
        row = connection.execute(_versions(key).where(_old.version == version)).mappings().first()
    return None if row is None else DesignVersion(**row)


def _is(columns: Any, key: DesignKey) -> Any:
    return and_(columns.kind == key.kind, columns.workspace == key.workspace, columns.name == key.name)


def _versions(key: DesignKey) -> Any:
    shown = [column for column in DESIGN_VERSIONS.columns if column.name not in ("kind", "workspace", "name")]
    return select(*shown).where(_is(_old, key))


def _find(connection: Connection, key: DesignKey, *, lock: bool = False) -> StoredDesign | None:
    query = select(DESIGNS).where(_is(_now, key))
    # SQLite has one writer at a time, and no such clause.
    row = connection.execute(query.with_for_update() if lock else query).mappings().first()
    return None if row is None else StoredDesign(**row)


def _require(connection: Connection, key: DesignKey, expected: str) -> StoredDesign:
    current = _find(connection, key, lock=True)
    if current is None or current.etag != expected:
        raise DesignChanged(key, current)
    return current


def _save(
    connection: Connection,
    key: DesignKey,
    content: str,
    author: DesignAuthor,
    expected: str | None,
    action: DesignAction,
) -> StoredDesign:
    current = _find(connection, key, lock=True)
    if expected != (current and current.etag):
        raise DesignChanged(key, current)
    if current is not None and current.content == content:
        return current
    version = 1 if current is None else current.version + 1
    if current is None:
        current = StoredDesign(
            **msgspec.structs.asdict(key),
            content=content,
            version=version,
            revision=1,
            created_ms=author.at_ms,
            updated_ms=author.at_ms,
            updated_by=author.token_id,
        )
        connection.execute(insert(DESIGNS), msgspec.structs.asdict(current))
    else:
        current = _change(connection, current, author, content=content, version=version)
    entry = DesignVersion(version=version, content=content, action=action, **msgspec.structs.asdict(author))
    connection.execute(insert(DESIGN_VERSIONS), msgspec.structs.asdict(key) | msgspec.structs.asdict(entry))
    old = [_is(_old, key), _old.version <= version - MOST_VERSIONS[key.kind]]
    if current.published is not None:
        old.append(_old.version != current.published)
    connection.execute(delete(DESIGN_VERSIONS).where(*old))
    return current


def _change(
    connection: Connection, current: StoredDesign, author: DesignAuthor, **values: Any
) -> StoredDesign:
    changed = msgspec.structs.replace(
        current,
        **values,
        revision=current.revision + 1,
        updated_ms=author.at_ms,
        updated_by=author.token_id,
    )
    connection.execute(
        update(DESIGNS).where(_is(_now, current.key)).values(**msgspec.structs.asdict(changed))
    )
    return changed
