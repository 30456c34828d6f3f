"""`understudy tokens`: create, list and revoke."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from infra.cli import console
from infra.cli.console import Json

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

    from infra.gateway.token_desk import IssuedToken
    from infra.stores.access_tokens import StoredToken

app = typer.Typer(no_args_is_help=True, help="Tokens of the HTTP gateway: who may do what.")

T = TypeVar("T")


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="What the token is for, such as 'editor'.")],
    role: Annotated[
        str,
        typer.Option(
            "--role",
            help="client, viewer, designer, operator or admin; each may do what those before it may.",
        ),
    ] = "client",
    workspace: Annotated[
        str | None, typer.Option("--workspace", help="The only workspace that it sees; default: all.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", help="After which time, such as 30d; default: never.")
    ] = None,
    require_live: Annotated[
        bool,
        typer.Option("--require-live", help="Its clients of /v1 get an error instead of a stand-in."),
    ] = False,
    json: Json = False,
) -> None:
    """Create a token and print it, this once: only a hash of it is stored.

    From the first token on, the gateway needs one from everybody.
    """
    from infra.gateway.token_desk import TokenError, issue_token, issued_to_json

    now_ms = round(time.time() * 1000)
    try:
        issued = issue_token(
            name=name,
            role=role,
            workspace=workspace,
            expires=expires,
            require_live=require_live,
            now_ms=now_ms,
        )
    except TokenError as error:
        raise console.Usage(str(error)) from None
    _with_database(lambda engine: _store(engine, issued, now_ms))
    if json:
        console.emit(issued_to_json(issued, now_ms))
        return
    # The token alone, so that a shell can assign it.
    typer.echo(issued.token.text)
    console.note(f"token {issued.stored.token_id} has the role {role}; keep it, it is not shown again")


@app.command("ls")
def ls(json: Json = False) -> None:
    """List tokens with role, workspace, expiry and last use, the oldest first."""
    from infra.gateway.token_desk import token_to_json
    from infra.stores import access_tokens

    now_ms = round(time.time() * 1000)
    rows = [token_to_json(each, now_ms) for each in _with_database(access_tokens.list_tokens)]
    if json:
        console.emit(rows)
        return
    if not rows:
        console.note("there are no tokens; `understudy tokens create NAME` makes one")
        return
    from infra.cli.show import aligned

    head = ("id", "name", "role", "workspace", "state", "expires", "last used")
    cells = [
        (
            row["id"],
            row["name"],
            row["role"],
            row["workspace"] or "all",
            row["state"],
            row["expires"] or "never",
            row["last_used"] or "never",
        )
        for row in rows
    ]
    console.listed(aligned(head, cells))


@app.command("revoke")
def revoke(
    token_id: Annotated[
        str, typer.Argument(metavar="ID", help="Id of the token; the token itself is accepted too.")
    ],
    json: Json = False,
) -> None:
    """Revoke a token and end its sessions, within a second; exit status 1 if there is none with this id."""
    from infra.gateway.token_desk import token_to_json
    from infra.gateway.tokens import parse_token

    whole = parse_token(token_id.strip())
    name = token_id if whole is None else whole.token_id
    now_ms = round(time.time() * 1000)
    found = _with_database(lambda engine: _revoke(engine, name, now_ms))
    if found is None:
        console.complain(f"there is no token {name!r}; `understudy tokens ls` lists all")
        console.end(console.FAILED)
        return
    if json:
        console.emit(token_to_json(found, now_ms))
    else:
        console.note(f"token {name} is revoked")


def _store(engine: Engine, issued: IssuedToken, now_ms: int) -> None:
    from infra.stores import access_tokens

    _record(engine, "tokens.create", issued.stored.token_id, now_ms)
    access_tokens.add_token(engine, issued.stored)


def _revoke(engine: Engine, token_id: str, now_ms: int) -> StoredToken | None:
    from infra.stores import access_tokens

    if access_tokens.find_token(engine, token_id) is None:
        return None
    _record(engine, "tokens.revoke", token_id, now_ms)
    return access_tokens.revoke_token(engine, token_id, now_ms)


def _record(engine: Engine, action: str, target: str, now_ms: int) -> None:
    from infra.stores.changes import RecordedChange, add_change

    add_change(engine, RecordedChange(at_ms=now_ms, via="command", action=action, target=target))


def _with_database(work: Callable[[Engine], T]) -> T:
    """Use the database of the settings; its tables are created where they are missing.

    Raises:
        UnderstudyError: it cannot be used; the text says why and what to do.
    """
    from sqlalchemy.exc import SQLAlchemyError

    from infra.cli.audit_database import unreadable
    from infra.stores import database

    settings = console.settings()
    engine = database.engine_of(settings.database)
    try:
        database.migrate(engine)
        return work(engine)
    except SQLAlchemyError as error:
        raise unreadable(settings, error) from None
    finally:
        engine.dispose()
