"""Tokens, sessions and changes in both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from infra.stores import access_tokens, database
from infra.stores.access_tokens import StoredSession, StoredToken
from infra.stores.changes import RecordedChange, add_change, list_changes
from tests.broker.audit_fixtures import database_url, engine, postgres

__all__ = ["database_url", "engine", "postgres"]

TOKEN = StoredToken(token_id="a", secret_hash="0" * 64, name="x", role="client", created_ms=5)  # noqa: S106


@pytest.fixture
def store(engine: Engine) -> Engine:
    database.migrate(engine)
    return engine


def test_a_use_is_noted_and_an_earlier_one_changes_nothing(store: Engine) -> None:
    access_tokens.add_token(store, TOKEN)
    for used_ms in (70, 60, 80):
        access_tokens.note_uses(store, {"a": used_ms, "nobody": 1})
    access_tokens.note_uses(store, {"a": 10})
    access_tokens.note_uses(store, {})
    found = access_tokens.find_token(store, "a")
    assert found is not None
    assert found.used_ms == 80
    assert access_tokens.find_token(store, "nobody") is None


def test_a_revocation_ends_sessions_and_is_not_moved_by_a_second_one(store: Engine) -> None:
    access_tokens.add_token(store, TOKEN)
    for name, ends_ms in (("s1", 10), ("s2", 99)):
        session = StoredSession(session_hash=name, token_id="a", created_ms=7, expires_ms=ends_ms)  # noqa: S106
        access_tokens.add_session(store, session)
    assert set(access_tokens.read_access(store, 10).sessions) == {"s2"}
    assert access_tokens.has_valid_token(store, 10)
    revoked = [access_tokens.revoke_token(store, "a", at_ms) for at_ms in (50, 60)]
    assert [each.revoked_ms for each in revoked if each is not None] == [50, 50]
    assert access_tokens.revoke_token(store, "nobody", 50) is None
    assert access_tokens.read_access(store, 10).sessions == {}
    assert not access_tokens.has_valid_token(store, 10)
    assert [each.token_id for each in access_tokens.list_tokens(store)] == ["a"]


def test_an_expired_session_is_deleted_with_the_next_one(store: Engine) -> None:
    for name, created_ms, ends_ms in (("s1", 1, 10), ("s2", 11, 20)):
        session = StoredSession(session_hash=name, token_id="a", created_ms=created_ms, expires_ms=ends_ms)  # noqa: S106
        access_tokens.add_session(store, session)
    assert access_tokens.count_sessions(store) == 1


def test_changes_are_listed_newest_first_whatever_their_target_is_called(store: Engine) -> None:
    for number, target in enumerate(("x" * 300, "a\x00b", "\ud800", "plain")):
        change = RecordedChange(
            at_ms=number,
            via="token",
            token_id="ab"[number % 2],
            workspace="red" if number else None,
            action="x.y",
            target=target,
        )
        add_change(store, change)
    found = list_changes(store, limit=9)
    assert [each.target for each in found] == ["plain", "?", "a\ufffdb", "x" * 255]
    assert [each.at_ms for each in list_changes(store, limit=2, before=found[0].id)] == [2, 1]
    assert [each.at_ms for each in list_changes(store, limit=9, token_id="b")] == [3, 1]  # noqa: S106
    assert [each.at_ms for each in list_changes(store, limit=9, workspace="red")] == [3, 2, 1]


def test_a_database_of_an_older_version_has_no_tokens(engine: Engine) -> None:
    with engine.begin() as connection:
        for table in ("access_sessions", "access_tokens"):
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS {table}")
    assert access_tokens.read_access(engine, 1) == access_tokens.NO_ACCESS
