"""`understudy tokens`: what it prints, and what it stores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.gateway.tokens import parse_token
from infra.stores import database
from infra.stores.changes import list_changes
from tests.unit.conftest import Understudy


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'audit.db'}"


def test_a_token_is_printed_once_alone_then_listed_and_revoked(understudy: Understudy, url: str) -> None:
    where = {"UNDERSTUDY_DATABASE_URL": url}
    made = understudy("tokens", "create", "editor", "--role", "designer", "--expires", "30d", **where)
    token = parse_token(made.out.strip())
    assert token is not None
    assert token.secret not in made.err
    listed = understudy("tokens", "ls", **where)
    assert token.token_id in listed.out
    assert "designer" in listed.out
    assert token.secret not in listed.out
    # Whoever has only the token finds it so, too.
    revoked = understudy("tokens", "revoke", token.text, "--json", **where)
    assert json.loads(revoked.out)["state"] == "revoked"
    assert token.secret not in revoked.out + revoked.err
    engine = database.engine_of(url)
    changes = [(each.action, each.target, each.via) for each in list_changes(engine, limit=9)]
    engine.dispose()
    assert changes == [
        ("tokens.revoke", token.token_id, "command"),
        ("tokens.create", token.token_id, "command"),
    ]


def test_json_has_the_same_fields_everywhere(understudy: Understudy, url: str) -> None:
    where = {"UNDERSTUDY_DATABASE_URL": url}
    made = json.loads(
        understudy("tokens", "create", "x", "--workspace", "red", "--require-live", "--json", **where).out
    )
    (listed,) = json.loads(understudy("tokens", "ls", "--json", **where).out)
    assert made.pop("token").startswith(f"us_{listed['id']}_")
    assert made == listed
    assert listed["require_live"] is True
    assert (listed["role"], listed["workspace"], listed["expires"]) == ("client", "red", None)


@pytest.mark.parametrize(
    ("args", "status", "text"),
    [
        (("create", "x", "--role", "king"), 2, "the roles are client, viewer"),
        (("create", "x", "--expires", "soon"), 2, "is not a duration"),
        (("create", ""), 2, "name must have"),
        (("revoke", "nobody"), 1, "there is no token 'nobody'"),
    ],
)
def test_what_cannot_be_done_says_why(
    understudy: Understudy, url: str, args: tuple[str, ...], status: int, text: str
) -> None:
    ended = understudy("tokens", *args, UNDERSTUDY_DATABASE_URL=url)
    assert (ended.status, text in ended.err) == (status, True), ended


def test_an_empty_list_says_how_to_make_one(understudy: Understudy, url: str) -> None:
    ended = understudy("tokens", "ls", UNDERSTUDY_DATABASE_URL=url)
    assert (ended.status, ended.out) == (0, "")
    assert "understudy tokens create" in ended.err
